"""What is known of the request at hand: filled in as it is answered, then logged, counted and traced.

Holds names, numbers and statuses alone: nothing of an image, no key, no query and no file name can get in here.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from service.frame_stream import Tally
from service.telemetry.request_ids import request_id_or_new

NO_ROUTE = "none"  # of a request that no route of ours answers


@dataclass
class Record:
    """One REST request, one gRPC call or one gRPC stream. Changed on the event loop alone."""

    protocol: str = ""  # rest or grpc
    method: str = ""
    request_id: str = ""
    route: str = NO_ROUTE  # the template, never the path itself
    quiet: bool = False  # probes and the like: counted, but neither logged nor traced
    trace_id: str = ""
    client: str = ""  # name of the API key
    network: str = ""  # where the request came from; in no log, no metric and no trace
    status: str = ""  # 200, or OK
    outcome: str = "ok"  # or the code of the error
    bytes_in: int = 0
    bytes_out: int = 0
    images: int = 0
    people: int = 0
    tally: Tally | None = None  # of a stream
    begin: float = field(default_factory=time.perf_counter)

    @property
    def caller(self) -> str:
        """Who gets one share of places and bytes."""
        return f"key {self.client}" if self.client else f"network {self.network}"

    @property
    def duration_ms(self) -> float:
        return 1e3 * (time.perf_counter() - self.begin)

    def end(self, status: str, outcome: str) -> None:
        """Say how it ended; the first to say it knows best."""
        if not self.status:
            self.status, self.outcome = status, outcome

    def facts(self) -> dict[str, Any]:
        """All of it that there is, by name."""
        facts: dict[str, Any] = {
            "protocol": self.protocol,
            **({"method": self.method} if self.method else {}),
            "route": self.route,
            "status": int(self.status) if self.status.isdecimal() else self.status,
            "outcome": self.outcome,
            "duration_ms": round(self.duration_ms, 3),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        }
        if self.images:
            facts |= {"images": self.images, "people": self.people}
        if self.client:
            facts["client"] = self.client
        if (tally := self.tally) is not None:
            facts |= {"frames": tally.frames, "frame_errors": tally.errors, "frames_dropped": tally.dropped}
        return facts


_current: ContextVar[Record | None] = ContextVar("record", default=None)


def current() -> Record:
    """The record of the request that this code works for; one that nobody reads where there is none."""
    return _current.get() or Record()


def current_or_none() -> Record | None:
    return _current.get()


def set_request_id(given: str) -> str:
    """The id of the request at hand, which is `given` when that is sane."""
    record = current()
    record.request_id = request_id_or_new(given) if given or not record.request_id else record.request_id
    return record.request_id


def set_current(record: Record) -> None:
    """Make it the current one of this task, to the task's end."""
    _current.set(record)


@contextmanager
def as_current(record: Record) -> Iterator[None]:
    token = _current.set(record)
    try:
        yield
    finally:
        try:
            _current.reset(token)
        except ValueError:
            pass  # a generator that was given up is closed in another task, whose own record must stay
