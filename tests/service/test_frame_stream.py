"""FrameStream, with plain numbers as frames."""

import asyncio
from dataclasses import dataclass

import pytest

from service.errors import EngineUnavailable, InvalidParameter
from service.frame_stream import MAX_PENDING_REPLIES, End, FrameStream, StreamLimits
from service.limits.held_bytes import Account, ByteBudget

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Frame:
    frame_id: int
    size: int = 0


class Work:
    """Doubles ids. Each frame waits until it is released, unless `free`."""

    def __init__(self, *, free: bool = False) -> None:
        self.free, self.started, self.running, self.most = free, [], 0, 0
        self.gates: dict[int, asyncio.Event] = {}

    async def __call__(self, frame: Frame) -> int:
        self.started.append(frame.frame_id)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if not self.free:
                await self.gates.setdefault(frame.frame_id, asyncio.Event()).wait()
            return 2 * frame.frame_id
        finally:
            self.running -= 1

    def let_go(self, frame_id: int) -> None:
        self.gates.setdefault(frame_id, asyncio.Event()).set()


class Source:
    """Frames with given ids; counts how many have been read."""

    def __init__(self, *ids: int, then_hang: bool = False) -> None:
        self._ids, self._hang, self.read = list(ids), then_hang, 0

    def __aiter__(self) -> "Source":
        return self

    async def __anext__(self) -> Frame:
        if not self._ids:
            if self._hang:
                await asyncio.Event().wait()
            raise StopAsyncIteration
        self.read += 1
        return Frame(self._ids.pop(0))


def stream_of(source, work, *, max_in_flight=2, drop_oldest=False, idle_s=5.0, total_s=60.0, draining=None):
    limits = StreamLimits(max_in_flight, drop_oldest, idle_s, total_s)
    account = Account(ByteBudget(2**20), "")
    return FrameStream(source, work, limits, account=account, draining=draining or asyncio.Event())


async def settle() -> None:
    """Let all tasks run until they wait."""
    await asyncio.sleep(0.02)


async def test_every_frame_has_one_outcome_in_order_though_later_ones_finish_first():
    work = Work()
    stream = stream_of(Source(1, 5, 9), work, max_in_flight=3)
    outcomes = stream.outcomes()
    first = asyncio.ensure_future(anext(outcomes))
    await settle()

    work.let_go(9), work.let_go(5)
    await settle()
    assert not first.done()
    work.let_go(1)

    found = [await first] + [outcome async for outcome in outcomes]
    assert [(outcome.frame_id, outcome.result) for outcome in found] == [(1, 2), (5, 10), (9, 18)]
    assert stream.end is End.COMPLETED and stream.tally.frames == stream.tally.results == 3


async def test_the_sender_is_held_back_while_the_client_does_not_read():
    source, work = Source(*range(100)), Work(free=True)
    outcomes = stream_of(source, work, max_in_flight=3).outcomes()

    await anext(outcomes)
    await settle()

    assert source.read == 3 and work.most <= 3
    assert len([outcome async for outcome in outcomes]) == 99


async def test_an_error_is_the_answer_to_its_frame_alone():
    async def work(frame: Frame) -> int:
        if frame.frame_id == 2:
            raise EngineUnavailable("gone")
        return frame.frame_id

    stream = stream_of(Source(1, 2, 3), work)
    found = [outcome async for outcome in stream.outcomes()]

    assert [(outcome.result, outcome.error and outcome.error.code) for outcome in found] == [
        (1, None),
        (None, "engine-unavailable"),
        (3, None),
    ]
    assert (stream.tally.results, stream.tally.errors) == (2, 1)


async def test_the_newest_frames_win_and_the_others_are_reported_as_dropped():
    source, work = Source(*range(10)), Work()
    stream = stream_of(source, work, max_in_flight=2, drop_oldest=True)
    outcomes = stream.outcomes()
    first = asyncio.ensure_future(anext(outcomes))
    await settle()

    assert source.read == 10 and work.started == [0, 1]  # 9 waits, 2 to 8 are dropped
    for frame_id in (0, 1, 9):
        work.let_go(frame_id)
    found = [await first] + [outcome async for outcome in outcomes]

    assert [outcome.frame_id for outcome in found] == list(range(10))
    assert [outcome.frame_id for outcome in found if outcome.result is None] == list(range(2, 9))
    assert (stream.tally.results, stream.tally.dropped) == (3, 7)


async def test_even_dropped_frames_hold_the_sender_back_while_the_client_does_not_read():
    source, work = Source(*range(10_000)), Work()
    outcomes = stream_of(source, work, drop_oldest=True).outcomes()
    reading = asyncio.ensure_future(anext(outcomes))
    await asyncio.sleep(0.2)

    assert source.read <= MAX_PENDING_REPLIES + 1
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await outcomes.aclose()


@pytest.mark.parametrize("ids", [(3, 3), (3, 2), (0, 0)])
async def test_ids_that_do_not_increase_end_the_stream(ids):
    stream = stream_of(Source(*ids), Work(free=True))

    with pytest.raises(InvalidParameter, match=f"must increase from frame to frame, got {ids[1]} after {ids[0]}"):
        [outcome async for outcome in stream.outcomes()]


async def test_the_largest_id_is_an_id():
    found = [outcome async for outcome in stream_of(Source(0, 2**64 - 1), Work(free=True)).outcomes()]

    assert [outcome.frame_id for outcome in found] == [0, 2**64 - 1]


@pytest.mark.parametrize(
    ("limits", "end"),
    [
        ({"idle_s": 0.05}, End.IDLE),
        ({"total_s": 0.05}, End.TOO_LONG),
        ({"idle_s": 0.05, "total_s": 0.01}, End.TOO_LONG),
    ],
)
async def test_a_silent_stream_ends_after_its_running_frames(limits, end):
    stream = stream_of(Source(1, 2, then_hang=True), Work(free=True), **limits)

    found = [outcome async for outcome in stream.outcomes()]

    assert len(found) == 2 and stream.end is end


async def test_time_that_the_service_needs_is_not_the_clients_silence():
    work = Work()
    stream = stream_of(Source(1, 2, 3), work, max_in_flight=1, idle_s=0.05)
    outcomes = stream.outcomes()
    first = asyncio.ensure_future(anext(outcomes))
    await asyncio.sleep(0.2)

    for frame_id in (1, 2, 3):
        work.let_go(frame_id)
    assert (await first).frame_id == 1
    assert len([outcome async for outcome in outcomes]) == 2 and stream.end is End.COMPLETED


async def test_draining_ends_the_stream_after_its_running_frames():
    draining, work = asyncio.Event(), Work()
    stream = stream_of(Source(1, then_hang=True), work, draining=draining)
    outcomes = stream.outcomes()
    first = asyncio.ensure_future(anext(outcomes))
    await settle()

    draining.set()
    await settle()
    work.let_go(1)

    assert (await first).result == 2 and [outcome async for outcome in outcomes] == []
    assert stream.end is End.DRAINING


@pytest.mark.parametrize(("total_s", "end"), [(0.05, End.TOO_LONG), (60.0, End.DRAINING)])
async def test_a_stream_that_is_not_read_still_ends_in_time(total_s, end):
    draining, source = asyncio.Event(), Source(*range(100))
    stream = stream_of(source, Work(free=True), max_in_flight=3, total_s=total_s, draining=draining)
    outcomes = stream.outcomes()

    await anext(outcomes)
    await settle()
    if end is End.DRAINING:
        draining.set()
    async with asyncio.timeout(5):
        while stream.end is not end:
            await asyncio.sleep(0.01)

    assert [outcome.frame_id async for outcome in outcomes] == [1, 2] and source.read == 3


async def test_frames_discarded_after_the_end_release_their_bytes():
    account, draining, held = Account(ByteBudget(1000), ""), asyncio.Event(), []

    async def frames():
        for frame_id in range(5):
            if frame_id == 1:
                draining.set()
                await settle()
            account.add_received(100)
            held.append(account.held)
            yield Frame(frame_id, 100)

    limits = StreamLimits(2, False, 5.0, 60.0)
    stream = FrameStream(frames(), Work(free=True), limits, account=account, draining=draining)
    found = [outcome.frame_id async for outcome in stream.outcomes()]
    await stream.linger(5)

    assert found == [0] and held == [100] * 5 and account.held == 0


async def test_closing_the_stream_cancels_its_work():
    work, others = Work(), asyncio.all_tasks()
    outcomes = stream_of(Source(1, 2, 3, then_hang=True), work).outcomes()
    reading = asyncio.ensure_future(anext(outcomes))
    await settle()
    assert work.running == 2

    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await outcomes.aclose()

    assert work.running == 0 and asyncio.all_tasks() <= others


async def test_closing_a_stream_that_has_ended_leaves_no_read_behind():
    others = asyncio.all_tasks()
    stream = stream_of(Source(1, then_hang=True), Work(free=True), idle_s=0.05)
    outcomes = stream.outcomes()
    await anext(outcomes)
    async with asyncio.timeout(5):
        while stream.end is not End.IDLE:
            await asyncio.sleep(0.01)

    await outcomes.aclose()

    assert asyncio.all_tasks() <= others


async def test_an_internal_error_ends_the_stream():
    async def work(frame: Frame) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        [outcome async for outcome in stream_of(Source(1), work).outcomes()]


async def test_results_are_settled_one_by_one_and_in_order():
    work, seen = Work(), []

    async def settle(result: int) -> int:
        seen.append(result)
        await asyncio.sleep(0)
        if result == 4:
            raise InvalidParameter.named("capture_time", "too early")
        return -result

    limits = StreamLimits(3, False, 5.0, 60.0)
    account = Account(ByteBudget(2**20), "")
    stream = FrameStream(Source(1, 2, 3), work, limits, account=account, draining=asyncio.Event(), settle=settle)
    for frame_id in (3, 2, 1):
        work.let_go(frame_id)
    found = [outcome async for outcome in stream.outcomes()]

    assert seen == [2, 4, 6]
    assert [(outcome.result, outcome.error and outcome.error.code) for outcome in found] == [
        (-2, None),
        (None, "invalid-parameter"),
        (-6, None),
    ]
    assert (stream.tally.results, stream.tally.errors) == (2, 1)
