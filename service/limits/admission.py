"""Admission control: one queue for the images of all protocols.

A request is admitted if, at the measured pace, it can finish before its deadline; otherwise it is refused at once. Turns go
round robin over clients, and within a client over its streams. Interactive work goes before bulk work. Knows nothing of
protocols, images or the engine.
"""

import asyncio
import math
import random
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from service.errors import DeadlineExceeded, Overloaded

DEADLINE_SHARE = 0.75  # the part of a deadline that is planned with, because the pace is a mean
BULK_EVERY = 5  # when both kinds wait, every fifth start is bulk work
PACE_WINDOW_IMAGES = 32  # images that the pace is averaged over: more than two batches of Triton's largest size
MAX_RETRY_S = 60


@dataclass(frozen=True)
class AdmissionTicket:
    """Whose image it is. `flow` separates a client's streams and batches; its single images share one flow."""

    client: str = ""
    flow: Hashable = None
    bulk: bool = False

    @property
    def priority(self) -> str:
        return "bulk" if self.bulk else "interactive"


class QueueObserver(Protocol):
    """Receives what happens in the queue."""

    def queued(self, priority: str, change: int) -> None: ...

    def waited(self, priority: str, seconds: float) -> None: ...

    def refused(self, reason: str) -> None: ...

    def paced(self, images_per_s: float) -> None: ...


class AdmissionQueue:
    """Runs `places` images at once, and admits requests up to `max_images` images running or waiting.

    Until a pace has been measured, it is estimated for `parallel` images running side by side. Frames of streams do not count
    towards `max_images`: their number is bounded by the number of streams.
    """

    def __init__(
        self,
        places: int,
        max_images: int,
        observer: QueueObserver,
        *,
        parallel: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert 1 <= places <= max_images, (places, max_images)
        self.places, self.max_images = places, max_images
        self.pace = Pace(places, parallel)
        self._observer, self._clock = observer, clock
        self._admitted: Counter[str] = Counter()  # images of requests, by client
        self._running = 0
        self._interactive, self._bulk = _RoundRobin(), _RoundRobin()
        self._before_bulk = BULK_EVERY - 1  # interactive starts before the next bulk start
        self._full_since: float | None = None  # the last start or end, if all places have been taken since

    @property
    def admitted(self) -> int:
        """Images of requests, running or waiting."""
        return self._admitted.total()

    @property
    def running(self) -> int:
        """Running images, including frames of streams."""
        return self._running

    @property
    def waiting(self) -> int:
        """Images waiting for their turn, including frames of streams."""
        return len(self._interactive) + len(self._bulk)

    def check(self, ticket: AdmissionTicket, within_s: float, images: int = 1) -> None:
        """Raises Overloaded unless a request of `images` images can be admitted, the first to finish within `within_s`."""
        if (admitted := self.admitted) + images > self.max_images:
            raise self._refusal("places", f"{admitted} images are already running or waiting", self._one_s)
        if self._running < self.places and not self.waiting:
            return
        if (pace_s := self.pace.seconds) is None:
            room = float(self.max_images)
        else:
            room = min(self.max_images, DEADLINE_SHARE * within_s / pace_s)
            done_s = (self._running + self._images_ahead(ticket) + 1) * pace_s
            if done_s > DEADLINE_SHARE * within_s:
                late_s = done_s - DEADLINE_SHARE * within_s
                text = f"this image would be done in about {done_s:.1f} s, and its deadline is {within_s:g} s"
                raise self._refusal("deadline", text, late_s)
        # A client may hold as many images as are left free, so one client alone gets half and the next one finds room (dynamic
        # thresholds, Choudhury and Hahne 1998). Its deadlines still hold when a second client shares the pace.
        mine = self._admitted[ticket.client]
        if mine and mine + images > (left := room - admitted):
            over_s = (mine + images - max(left, 0)) * self._one_s
            raise self._refusal("share", f"{mine} images of this client are already running or waiting", over_s)

    @contextmanager
    def admission(self, ticket: AdmissionTicket, within_s: float, images: int = 1) -> Iterator[None]:
        """Counts the images of a request while the block runs. Raises like `check`."""
        self.check(ticket, within_s, images)
        self._admitted[ticket.client] += images
        try:
            yield
        finally:
            self._admitted[ticket.client] -= images
            if not self._admitted[ticket.client]:
                del self._admitted[ticket.client]

    @asynccontextmanager
    async def place(self, ticket: AdmissionTicket, until: float | None = None) -> AsyncIterator[None]:
        """Waits for this ticket's turn and holds a place for the block. Raises TimeoutError if the turn comes after `until`
        on the clock. On cancellation the place, or the position in the queue, is released at once.
        """
        begin = self._clock()
        try:
            await self._turn(ticket, until)
        finally:
            self._observer.waited(ticket.priority, self._clock() - begin)
        begin = self._clock()
        finished = False
        try:
            yield
            finished = True
        except Exception as error:
            finished = not isinstance(error, DeadlineExceeded)  # other failures have done their work, too
            raise
        finally:
            self._release(self._clock() - begin if finished else None)

    async def _turn(self, ticket: AdmissionTicket, until: float | None) -> None:
        if self._running < self.places and not self.waiting:
            self._running += 1
            return
        waiter = _Waiter(ticket, until)
        self._rounds(ticket).add(waiter)
        self._observer.queued(ticket.priority, 1)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.queued:
                self._rounds(ticket).remove(waiter)
                self._observer.queued(ticket.priority, -1)
            elif waiter.started:  # cancelled just when its turn came
                self._release(None)
            raise

    def _release(self, worked_s: float | None) -> None:
        """Frees a place. None means that the work was cut short, which says nothing about the pace."""
        now = self._clock()
        if worked_s is not None:
            since, self._full_since = self._full_since, now
            self.pace.learn(worked_s, None if since is None else now - since)
            self._observer.paced(1 / max(self.pace.seconds or 0.0, 1e-6))
        self._running -= 1
        while self._running < self.places and self.waiting:
            self._start(self._next(), now)
        if self._running < self.places:
            self._full_since = None

    def _start(self, waiter: "_Waiter", now: float) -> None:
        self._observer.queued(waiter.ticket.priority, -1)
        waiter.queued = False
        if waiter.turn.done():  # just cancelled
            return
        if waiter.until is not None and now >= waiter.until:
            waiter.turn.set_exception(TimeoutError())
            return
        self._running += 1
        waiter.started = True
        waiter.turn.set_result(None)

    def _next(self) -> "_Waiter":
        if not self._bulk:
            return self._interactive.pop()
        if self._interactive and self._before_bulk > 0:
            self._before_bulk -= 1
            return self._interactive.pop()
        self._before_bulk = BULK_EVERY - 1
        return self._bulk.pop()

    def _images_ahead(self, ticket: AdmissionTicket) -> int:
        """Images that would start before a new one with this ticket, if no others arrive."""
        before = self._rounds(ticket).before(ticket)
        if ticket.bulk:
            return before + min(len(self._interactive), (BULK_EVERY - 1) * (before + 1))
        return before + min(len(self._bulk), (before + 1) // (BULK_EVERY - 1))

    def _rounds(self, ticket: AdmissionTicket) -> "_RoundRobin":
        return self._bulk if ticket.bulk else self._interactive

    @property
    def _one_s(self) -> float:
        return self.pace.seconds or 1.0

    def _refusal(self, reason: str, text: str, wait_s: float) -> Overloaded:
        self._observer.refused(reason)
        return Overloaded(f"{text}; try again in a moment", retry_after_s=retry_after(wait_s))


def retry_after(wait_s: float) -> int:
    """Whole seconds until there may be room, randomised so that clients refused together do not retry together."""
    return max(1, min(MAX_RETRY_S, math.ceil(wait_s * random.uniform(1, 2))))


class Pace:
    """Seconds between two finished images while all `places` are taken: the inverse of the throughput."""

    def __init__(self, places: int, parallel: int = 1) -> None:
        self._places, self._parallel = places, min(parallel, places)
        self._worked, self._between = _Mean(), _Mean()

    def learn(self, worked_s: float, between_s: float | None) -> None:
        """Adds an image that ran for `worked_s` and ended `between_s` after the previous one (None: a place was free)."""
        self._worked.add(worked_s)
        if between_s is not None:
            self._between.add(between_s)

    @property
    def seconds(self) -> float | None:
        """None until the first image has finished."""
        if (worked_s := self._worked.value) is None:
            return None
        between_s = self._between.value
        # Bounds that correct an outdated mean: images run one after the other at the slowest, side by side at the fastest.
        return (
            worked_s / self._parallel if between_s is None else min(max(between_s, worked_s / self._places), worked_s)
        )


class _Mean:
    """A moving average that weights newer values more."""

    def __init__(self) -> None:
        self.value: float | None = None
        self._count = 0

    def add(self, value: float) -> None:
        self._count = min(self._count + 1, PACE_WINDOW_IMAGES)
        before = self.value or 0.0
        self.value = before + (value - before) / self._count


class _Waiter:
    """A ticket in the queue. `turn` completes when it may start, with TimeoutError if that is too late."""

    def __init__(self, ticket: AdmissionTicket, until: float | None) -> None:
        self.ticket, self.until = ticket, until
        self.queued, self.started = True, False
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class _RoundRobin:
    """Waiters by client and flow. Each client has one turn per round, and its flows share these turns round robin."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, OrderedDict[Hashable, deque[_Waiter]]] = OrderedDict()
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, waiter: _Waiter) -> None:
        ticket = waiter.ticket
        self._clients.setdefault(ticket.client, OrderedDict()).setdefault(ticket.flow, deque()).append(waiter)
        self._counts[ticket.client] += 1

    def pop(self) -> _Waiter:
        """The next waiter. Its client and its flow move to the end of their rounds."""
        client, flows = next(iter(self._clients.items()))
        flow, waiters = next(iter(flows.items()))
        self._clients.move_to_end(client)
        flows.move_to_end(flow)
        waiter = waiters.popleft()
        self._gone(waiter.ticket)
        return waiter

    def remove(self, waiter: _Waiter) -> None:
        self._clients[waiter.ticket.client][waiter.ticket.flow].remove(waiter)
        self._gone(waiter.ticket)

    def before(self, ticket: AdmissionTicket) -> int:
        """Turns before that of a new waiter with this ticket."""
        flows = self._clients.get(ticket.client, OrderedDict())
        mine = len(flows.get(ticket.flow, ()))
        own = mine + sum(min(len(waiters), mine + 1) for flow, waiters in flows.items() if flow != ticket.flow)
        return own + sum(min(count, own + 1) for client, count in self._counts.items() if client != ticket.client)

    def _gone(self, ticket: AdmissionTicket) -> None:
        """Forgets the flow and the client once none of their tickets wait."""
        flows = self._clients[ticket.client]
        self._counts[ticket.client] -= 1
        if not flows[ticket.flow]:
            del flows[ticket.flow]
        if not flows:
            del self._clients[ticket.client], self._counts[ticket.client]
