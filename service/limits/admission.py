"""Who may have an image worked on, and when: one queue in front of all work, whatever protocol it came by.

Knows nothing of protocols, of images or of the engine. A request is admitted when it can be done in its time, by the pace
that was measured, or refused at once. Turns go round robin over clients, and within a client over its streams; work that
somebody waits for goes before bulk work.
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

DEADLINE_SHARE = 0.75  # of a deadline may be promised away: the pace is a mean
BULK_EVERY = 5  # one start in so many is bulk work's when both kinds wait
PACE_WINDOW_IMAGES = 32  # images that the pace is the mean of: two batches of Triton's largest size, and more
MAX_RETRY_S = 60


@dataclass(frozen=True)
class AdmissionTicket:
    """Whose image it is. `flow` tells a client's streams and batches apart; its single images share one."""

    client: str = ""
    flow: Hashable = None
    bulk: bool = False  # nobody sits waiting for it

    @property
    def priority(self) -> str:
        return "bulk" if self.bulk else "interactive"


class QueueObserver(Protocol):
    """Who is told what happens in the queue."""

    def queued(self, priority: str, change: int) -> None: ...

    def waited(self, priority: str, seconds: float) -> None: ...

    def refused(self, reason: str) -> None: ...

    def paced(self, images_per_s: float) -> None: ...


class AdmissionQueue:
    """`places` images are in work at once; of requests, `max_images` are in work or waiting. Until the pace has been seen, it
    is taken for that of `parallel` images done side by side.

    Frames of streams wait without being counted among the `max_images`: their number is bounded by that of the streams.
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
        self._before_bulk = BULK_EVERY - 1  # interactive starts until it is the turn of what waits as bulk
        self._full_since: float | None = None  # a start or end since which all places were taken without a break

    @property
    def admitted(self) -> int:
        """Images of requests in work or waiting."""
        return self._admitted.total()

    @property
    def running(self) -> int:
        """Images in work, those of streams too."""
        return self._running

    @property
    def waiting(self) -> int:
        """Images that wait for their turn, those of streams too."""
        return len(self._interactive) + len(self._bulk)

    def check(self, ticket: AdmissionTicket, within_s: float, images: int = 1) -> None:
        """Raise Overloaded when a request for so many images, the first of them within so many seconds, cannot be taken."""
        if (admitted := self.admitted) + images > self.max_images:
            raise self._refusal("places", f"{admitted} images are in work or waiting already", self._one_s)
        if self._running < self.places and not self.waiting:
            return
        if (pace_s := self.pace.seconds) is None:
            room = float(self.max_images)
        else:
            room = min(self.max_images, DEADLINE_SHARE * within_s / pace_s)
            done_s = (self._running + self._before(ticket) + 1) * pace_s
            if done_s > DEADLINE_SHARE * within_s:
                late_s = done_s - DEADLINE_SHARE * within_s
                text = f"the images before this one take about {done_s:.1f} s, and it has {within_s:g} s"
                raise self._refusal("deadline", text, late_s)
        # As many as are left free: one client alone then gets half, and whoever comes next finds room (dynamic
        # thresholds, Choudhury and Hahne 1998). What it was promised still holds when a second one shares the pace.
        mine = self._admitted[ticket.client]
        if mine and mine + images > (left := room - admitted):
            over_s = (mine + images - max(left, 0)) * self._one_s
            raise self._refusal("share", f"{mine} images of this client are in work or waiting already", over_s)

    @contextmanager
    def admission(self, ticket: AdmissionTicket, within_s: float, images: int = 1) -> Iterator[None]:
        """Count a request's images in while it lasts. Raises as `check`."""
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
        """A place to work in, for the block, when it is this ticket's turn. Raises TimeoutError when that comes after
        `until` on the clock; cancelled, it gives back its place or its place in the queue at once.
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
            finished = not isinstance(error, DeadlineExceeded)  # what fails otherwise was worked on, too
            raise
        finally:
            self._leave(self._clock() - begin if finished else None)

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
            elif waiter.started:  # its turn and its end came at the same moment
                self._leave(None)
            raise

    def _leave(self, worked_s: float | None) -> None:
        """A place is free again; None was cut short, which says nothing of the pace."""
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
        if waiter.turn.done():  # cancelled a moment ago
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

    def _before(self, ticket: AdmissionTicket) -> int:
        """Images that will be started before one that came now, if nobody else came."""
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
        return Overloaded(f"{text}; ask again in a moment", retry_after_s=retry_after(wait_s))


def retry_after(wait_s: float) -> int:
    """Whole seconds until there may be room, spread so that those who were refused together do not come back together."""
    return max(1, min(MAX_RETRY_S, math.ceil(wait_s * random.uniform(1, 2))))


class Pace:
    """Seconds from one image done to the next while all `places` are taken: the inverse of the throughput."""

    def __init__(self, places: int, parallel: int = 1) -> None:
        self._places, self._parallel = places, min(parallel, places)
        self._worked, self._between = _Mean(), _Mean()

    def learn(self, worked_s: float, between_s: float | None) -> None:
        """An image was in its place for so long, and ended so long after the one before; None: a place was free between."""
        self._worked.add(worked_s)
        if between_s is not None:
            self._between.add(between_s)

    @property
    def seconds(self) -> float | None:
        """None before the first image is done."""
        if (worked_s := self._worked.value) is None:
            return None
        between_s = self._between.value
        # Images can be done one after the other at the slowest, side by side at the fastest; this mends an old figure.
        return (
            worked_s / self._parallel if between_s is None else min(max(between_s, worked_s / self._places), worked_s)
        )


class _Mean:
    """Of the last values, the newer the heavier."""

    def __init__(self) -> None:
        self.value: float | None = None
        self._count = 0

    def add(self, value: float) -> None:
        self._count = min(self._count + 1, PACE_WINDOW_IMAGES)
        before = self.value or 0.0
        self.value = before + (value - before) / self._count


class _Waiter:
    """A ticket in the queue. `turn` is done when it may start, or has an error when that came too late."""

    def __init__(self, ticket: AdmissionTicket, until: float | None) -> None:
        self.ticket, self.until = ticket, until
        self.queued, self.started = True, False
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class _RoundRobin:
    """Waiters by client and flow. In each round every client has one turn; its flows take these in rounds of their own."""

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
        """The next one. Its client and its flow go to the end of their rounds."""
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
        """Turns before that of one that came now."""
        flows = self._clients.get(ticket.client, OrderedDict())
        mine = len(flows.get(ticket.flow, ()))
        own = mine + sum(min(len(waiters), mine + 1) for flow, waiters in flows.items() if flow != ticket.flow)
        return own + sum(min(count, own + 1) for client, count in self._counts.items() if client != ticket.client)

    def _gone(self, ticket: AdmissionTicket) -> None:
        """Forget the flow and the client of which nothing waits any more."""
        flows = self._clients[ticket.client]
        self._counts[ticket.client] -= 1
        if not flows[ticket.flow]:
            del flows[ticket.flow]
        if not flows:
            del self._clients[ticket.client], self._counts[ticket.client]
