"""Processes the frames of one stream: several at once, answered in order, each exactly once.

Knows nothing of gRPC or of people: `work` is any coroutine that turns a frame into a result.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from service.errors import InvalidParameter, ServiceError
from service.limits.held_bytes import Account

# Replies that may wait for a client that does not read, when frames are dropped rather than held back. Each takes a few
# hundred bytes, because a dropped frame's picture is released at once.
MAX_PENDING_REPLIES = 256


class Numbered(Protocol):
    @property
    def frame_id(self) -> int: ...

    @property
    def size(self) -> int:
        """Bytes that the stream's account holds for this frame."""
        ...


FrameT = TypeVar("FrameT", bound=Numbered)
Result = TypeVar("Result")


class End(Enum):
    """Why no more frames are accepted."""

    COMPLETED = "the client has closed its side"
    IDLE = "the client sent nothing for too long"
    TOO_LONG = "the stream has reached its maximum duration"
    DRAINING = "the service is shutting down"


@dataclass(frozen=True)
class StreamLimits:
    max_in_flight: int
    drop_oldest: bool  # else the sender is held back
    idle_s: float  # longest wait for a frame that could be accepted
    total_s: float


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """The outcome of one frame: a result, an error, or neither if it was dropped."""

    frame_id: int
    result: Result | None = None
    error: ServiceError | None = None


@dataclass
class Tally:
    """Frames by outcome."""

    results: int = 0
    errors: int = 0
    dropped: int = 0

    @property
    def frames(self) -> int:
        return self.results + self.errors + self.dropped


class FrameStream(Generic[FrameT, Result]):
    """Reads frames from `frames` and yields their outcomes in order.

    A frame holds its place until its outcome has been consumed, so a consumer that stops also stops the producer, and memory
    stays bounded. No frame is read while `account` has no room; a frame releases its bytes when its work ends or it is
    dropped. Raises InvalidParameter unless frame ids increase. `settle` is a second step, called for one result at a time, in
    order.
    """

    def __init__(
        self,
        frames: AsyncIterator[FrameT],
        work: Callable[[FrameT], Coroutine[Any, Any, Result]],
        limits: StreamLimits,
        *,
        account: Account,
        draining: asyncio.Event,
        settle: Callable[[Result], Awaitable[Result]] | None = None,
    ) -> None:
        self.tally, self.end = Tally(), End.COMPLETED
        self._frames, self._work, self._limits, self._draining = frames, work, limits, draining
        self._account, self._settle = account, settle
        self._slots = asyncio.Semaphore(MAX_PENDING_REPLIES if limits.drop_oldest else limits.max_in_flight)
        self._order: asyncio.Queue[_Place[FrameT, Result] | Exception | None] = asyncio.Queue()
        self._in_flight = 0
        self._waiting: _Place[FrameT, Result] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._unread: asyncio.Task[FrameT | None] | None = None  # the read that was pending when the stream ended

    async def outcomes(self) -> AsyncGenerator[Outcome[Result], None]:
        """Each frame's outcome. Raises the errors of reading a frame, and then cancels the running work.

        After the last outcome, call `linger`.
        """
        reading = asyncio.create_task(self._read())
        try:
            while (place := await self._order.get()) is not None:
                if isinstance(place, Exception):
                    raise place
                outcome = await self._settled(await place.outcome)
                self._count(outcome)
                yield outcome
                self._release(place)
        except BaseException:  # no `linger` follows
            if self._unread is not None:
                await _cancelled(self._unread)
            raise
        finally:
            await _cancelled(reading, *self._tasks)

    async def linger(self, seconds: float) -> None:
        """Discard what the client still sends for `seconds`, so it can notice that the stream has ended.

        A client that is cut off in the middle of a message may lose the last replies, too.
        """
        if self.end is End.COMPLETED:
            return
        unread = self._unread or asyncio.create_task(self._one())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    frame = await unread
                    while frame is not None:
                        self._account.release(frame.size)
                        frame = await self._one()
        finally:
            await _cancelled(unread)

    async def _read(self) -> None:
        """Accept frames until there are no more, then mark the end of the order."""
        last = -1
        begin = asyncio.get_running_loop().time()
        draining = asyncio.ensure_future(self._draining.wait())
        try:
            while await self._has_slot(begin, draining):
                frame = await self._next(begin, draining)
                if frame is None:
                    break
                if frame.frame_id <= last:
                    raise InvalidParameter.named(
                        "frame_id", f"must increase from frame to frame, got {frame.frame_id} after {last}"
                    )
                last = frame.frame_id
                self._accept(frame)
        except Exception as error:  # raised by `outcomes`
            self._order.put_nowait(error)
        else:
            self._order.put_nowait(None)
        finally:
            draining.cancel()

    async def _has_slot(self, begin: float, draining: "asyncio.Future[Any]") -> bool:
        """Wait until a frame may be read. Returns False, with `end` set, if the stream must end first.

        This wait does not count as the client being idle.
        """
        waiting = asyncio.create_task(self._acquire_slot())
        try:
            return await self._in_time(waiting, math.inf, begin, draining)
        finally:
            await _cancelled(waiting)

    async def _acquire_slot(self) -> None:
        await self._slots.acquire()
        await self._account.wait_for_space()

    async def _next(self, begin: float, draining: "asyncio.Future[Any]") -> FrameT | None:
        """The next frame; None, with `end` set, if there is none."""
        reading = asyncio.create_task(self._one())
        reading.add_done_callback(_retrieve_exception)
        try:
            if await self._in_time(reading, self._limits.idle_s, begin, draining):
                return reading.result()
        except asyncio.CancelledError:
            await _cancelled(reading)
            raise
        self._unread = reading
        return None

    async def _in_time(
        self, task: "asyncio.Task[Any]", idle_s: float, begin: float, draining: "asyncio.Future[Any]"
    ) -> bool:
        """Whether `task` finishes before the stream must end; if not, `end` says why."""
        total_left = begin + self._limits.total_s - asyncio.get_running_loop().time()
        done, _ = await asyncio.wait(
            (task, draining), timeout=max(0.0, min(idle_s, total_left)), return_when=asyncio.FIRST_COMPLETED
        )
        if task in done:
            return True
        if draining in done:
            self.end = End.DRAINING
        else:
            self.end = End.IDLE if idle_s <= total_left else End.TOO_LONG
        return False

    async def _one(self) -> FrameT | None:
        try:
            return await anext(self._frames)
        except StopAsyncIteration:
            return None

    async def _settled(self, outcome: Outcome[Result]) -> Outcome[Result]:
        if self._settle is None or outcome.result is None:
            return outcome
        try:
            return Outcome(outcome.frame_id, result=await self._settle(outcome.result))
        except ServiceError as error:
            return Outcome(outcome.frame_id, error=error)

    def _accept(self, frame: FrameT) -> None:
        place: _Place[FrameT, Result] = _Place(frame, self._account)
        self._order.put_nowait(place)
        if self._in_flight < self._limits.max_in_flight:
            self._start(place)
            return
        if self._waiting is not None:
            self._waiting.drop()
        self._waiting = place

    def _start(self, place: "_Place[FrameT, Result]") -> None:
        self._in_flight += 1
        place.started = True
        task = asyncio.create_task(place.run(self._work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _release(self, place: "_Place[FrameT, Result]") -> None:
        """Called when the place's outcome has been consumed."""
        self._slots.release()
        if place.started:
            self._in_flight -= 1
            if self._waiting is not None:
                waiting, self._waiting = self._waiting, None
                self._start(waiting)

    def _count(self, outcome: Outcome[Result]) -> None:
        if outcome.error is not None:
            self.tally.errors += 1
        elif outcome.result is not None:
            self.tally.results += 1
        else:
            self.tally.dropped += 1


class _Place(Generic[FrameT, Result]):
    """One frame's place in the order."""

    def __init__(self, frame: FrameT, account: Account) -> None:
        self._frame: FrameT | None = frame
        self._frame_id, self._size, self._account = frame.frame_id, frame.size, account
        self.started = False
        self.outcome: asyncio.Future[Outcome[Result]] = asyncio.get_running_loop().create_future()

    def drop(self) -> None:
        self._frame = None
        self._account.release(self._size)
        self.outcome.set_result(Outcome(self._frame_id))

    async def run(self, work: Callable[[FrameT], Awaitable[Result]]) -> None:
        assert self._frame is not None
        frame, self._frame = self._frame, None  # the picture is freed as soon as `work` releases it
        try:
            try:
                result = await work(frame)
            finally:
                del frame
                self._account.release(self._size)
        except ServiceError as error:
            self.outcome.set_result(Outcome(self._frame_id, error=error))
        except Exception as error:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(Outcome(self._frame_id, result=result))


def _retrieve_exception(task: "asyncio.Task[Any]") -> None:
    """Avoids asyncio's log message about the error of an abandoned read."""
    if not task.cancelled():
        task.exception()


async def _cancelled(*futures: "asyncio.Future[Any]") -> None:
    """Cancel the futures and wait until they are done, ignoring their results."""
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)
