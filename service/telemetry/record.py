"""The record of the current request: filled in while it is handled, then logged, counted and traced.

Holds names, numbers and statuses only: never image data, keys, queries or file names.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from service.frame_stream import Tally
from service.telemetry.request_ids import request_id_or_new

NO_ROUTE = "none"  # for a request that matches no route


@dataclass
class Record:
    """One REST request, gRPC call or gRPC stream. Modified on the event loop only."""

    protocol: str = ""  # rest or grpc
    method: str = ""
    request_id: str = ""
    route: str = NO_ROUTE  # the template, never the path itself
    quiet: bool = False  # probes and similar: counted, but neither logged nor traced
    trace_id: str = ""
    client: str = ""  # name of the API key
    network: str = ""  # where the request came from; never logged, counted or traced
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
        """The unit of fair sharing: the key's name, or the network of an unauthenticated caller."""
        return f"key {self.client}" if self.client else f"network {self.network}"

    @property
    def duration_ms(self) -> float:
        return 1e3 * (time.perf_counter() - self.begin)

    def end(self, status: str, outcome: str) -> None:
        """Set the result of the request. The first call wins."""
        if not self.status:
            self.status, self.outcome = status, outcome

    def facts(self) -> dict[str, Any]:
        """The known fields by name."""
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
    """The record of the current request, or a throwaway one outside of a request."""
    return _current.get() or Record()


def current_or_none() -> Record | None:
    return _current.get()


def set_request_id(given: str) -> str:
    """Set and return the current request's id: `given` if it is valid."""
    record = current()
    record.request_id = request_id_or_new(given) if given or not record.request_id else record.request_id
    return record.request_id


def set_current(record: Record) -> None:
    """Make `record` the current one until this task ends."""
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
            pass  # an abandoned generator is closed in another task, whose own record must stay
