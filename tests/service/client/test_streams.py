"""Streams: every frame answered once, in order; nothing kept in memory; nothing left behind, however a stream ends."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager

import grpc
import pytest

from service.client import (
    AsyncClient,
    BadReply,
    Client,
    ConnectionFailed,
    DeadlineExceeded,
    Dropped,
    Frame,
    FrameError,
    InvalidUse,
    KeyRefused,
    Ready,
    RequestRefused,
    Result,
    ServiceFailed,
    ServiceUnavailable,
    Summary,
)
from service.client.loop_thread import shared_loop_thread
from service.rpc.pb import reconstruction_pb2 as pb

Answer = pb.ReconstructStreamResponse
READY = Answer(ready=pb.StreamReady(max_in_flight=4))


def result(frame_id: int) -> Answer:
    reconstruction = pb.Reconstruction(width=4, camera_source=pb.CAMERA_SOURCE_DEFAULT)
    return Answer(result=pb.FrameResult(frame_id=frame_id, reconstruction=reconstruction))


def summary(frames: int) -> Answer:
    return Answer(summary=pb.StreamSummary(frames=frames, results=frames, end_reason=pb.END_REASON_COMPLETED))


def echo(requests, context):
    """A service that answers everything at once."""
    next(requests)
    yield READY
    count = 0
    for request in requests:
        yield result(request.frame.frame_id)
        count += 1
    yield summary(count)


def kinds(events) -> list[str]:
    return [type(event).__name__ for event in events]


def tasks() -> int:
    """Tasks on the loop of the synchronous clients, without the one that counts and the one that waits for the end."""

    async def count() -> int:
        return len(asyncio.all_tasks()) - 2

    return shared_loop_thread().run(count)


def eventually(condition, timeout_s: float = 5.0) -> bool:
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


async def settled(before: set) -> None:
    """Waits until no tasks but those of `before` are there; fails after five seconds."""
    async with asyncio.timeout(5):
        while not asyncio.all_tasks() <= before:
            await asyncio.sleep(0.01)


def test_every_frame_is_answered_in_order_and_summed_up(grpc_address, people_jpeg, empty_jpeg):
    with Client(grpc_address) as client:
        events = list(client.stream([people_jpeg, b"Dear sir", empty_jpeg, people_jpeg]))

    assert kinds(events) == ["Ready", "Result", "FrameError", "Result", "Result", "Summary"]
    ready, first, error, second, third, total = events
    assert ready.info.model.name == "tiny" and ready.max_in_flight >= 1
    assert [len(event.reconstruction.people) for event in (first, second, third)] == [2, 0, 2]
    assert first.reconstruction.info == ready.info
    assert (error.code, error.reason, error.frame_id) == ("INVALID_ARGUMENT", "unsupported-media", 1)
    assert total == Summary(frames=4, results=3, errors=1, dropped=0, end_reason="completed")


@pytest.mark.anyio
async def test_an_asynchronous_source_streams_too(grpc_address, people_jpeg):
    async def frames():
        for frame_id in (3, 7):
            yield Frame(people_jpeg, frame_id, capture_time_s=frame_id / 10)

    async with AsyncClient(grpc_address) as client:
        events = [event async for event in client.stream(frames(), vertices=True)]

    assert [event.frame_id for event in events if isinstance(event, Result)] == [3, 7]
    assert events[1].reconstruction.people[0].vertices.shape[1] == 3


def test_people_keep_their_tracks(grpc_address, people_jpeg):
    with Client(grpc_address) as client:
        events = list(client.stream([people_jpeg] * 4, track=True, max_gap_s=1.0, smooth=True, strength=2.0))

    tracks = [[person.track_id for person in e.reconstruction.people] for e in events if isinstance(e, Result)]
    assert tracks == [[None, None], [1, 2], [1, 2], [1, 2]]  # who was seen once is not yet sure


def test_the_newest_frames_win_when_told_so(grpc_address, people_jpeg):
    with Client(grpc_address) as client:
        events = list(client.stream([people_jpeg] * 60, policy="drop-oldest", max_in_flight=1))

    answers = [event for event in events if isinstance(event, Result | Dropped)]
    assert [event.frame_id for event in answers] == list(range(60))
    assert events[-1].dropped == sum(isinstance(event, Dropped) for event in answers)
    assert isinstance(answers[-1], Result)


def test_a_stream_of_nothing_is_summed_up(grpc_address):
    with Client(grpc_address) as client:
        assert kinds(client.stream([])) == ["Ready", "Summary"]


def test_a_config_that_is_wrong_is_refused(grpc_address, people_jpeg):
    with Client(grpc_address) as client:
        with pytest.raises(RequestRefused, match="threshold"):
            list(client.stream([people_jpeg], threshold=7))
        with pytest.raises(RequestRefused, match="max_in_flight"):
            list(client.stream([people_jpeg], max_in_flight=1000))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"policy": "newest"}, "expected a policy of block or drop-oldest, got 'newest'"),
        ({"max_gap_s": 1.0}, "max_gap_s needs track=True"),
        ({"strength": 1.0}, "strength needs smooth=True"),
    ],
)
def test_options_that_make_no_sense_are_refused_here(options, message):
    with Client("grpc://127.0.0.1:9") as client, pytest.raises(InvalidUse, match=message):
        list(client.stream([b"x"], **options))


def test_ids_that_do_not_increase_are_refused_here(fake_grpc):
    with Client(fake_grpc(ReconstructStream=echo)) as client, pytest.raises(InvalidUse, match="6 or more, got 5"):
        list(client.stream([Frame(b"x", 5), Frame(b"x", 5)]))


class Watched:
    """A service that answers for ever, and knows when its call has begun and ended."""

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()

    def __call__(self, requests, context):
        context.add_callback(self.ended.set)
        self.begun.set()
        yield READY
        for request in requests:
            if request.WhichOneof("message") == "frame":
                yield result(request.frame.frame_id)


def test_leaving_the_loop_ends_the_call(fake_grpc):
    service = Watched()
    with Client(fake_grpc(ReconstructStream=service)) as client:
        for event in client.stream(b"x" for _ in iter(int, 1)):
            if isinstance(event, Result):
                break
        assert service.ended.wait(5) and eventually(lambda: tasks() == 0)


def test_closing_the_generator_ends_the_call(fake_grpc):
    service = Watched()
    with Client(fake_grpc(ReconstructStream=service)) as client:
        events = client.stream(b"x" for _ in iter(int, 1))
        next(events)
        events.close()

        assert service.ended.wait(5) and eventually(lambda: tasks() == 0)
        assert list(events) == []


@pytest.mark.anyio
async def test_an_abandoned_asynchronous_iterator_ends_the_call(fake_grpc):
    service, before = Watched(), asyncio.all_tasks()
    async with AsyncClient(fake_grpc(ReconstructStream=service)) as client:
        async for _ in client.stream(b"x" for _ in iter(int, 1)):
            break
        gc.collect()

        assert await asyncio.to_thread(service.ended.wait, 5)
        await settled(before)


@pytest.mark.anyio
async def test_cancelling_the_reader_ends_the_call(fake_grpc):
    service, before = Watched(), asyncio.all_tasks()

    async def read(client: AsyncClient) -> None:
        async with aclosing(client.stream(waiting())) as events:
            async for _ in events:
                pass

    async def waiting():
        await asyncio.sleep(60)
        yield b""

    async with AsyncClient(fake_grpc(ReconstructStream=service)) as client:
        reader = asyncio.create_task(read(client))
        assert await asyncio.to_thread(service.begun.wait, 5)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

        assert await asyncio.to_thread(service.ended.wait, 5)
        await settled(before)


def test_a_finished_stream_leaves_nothing_behind(grpc_address, people_jpeg):
    with Client(grpc_address) as client:
        for _ in range(5):
            list(client.stream([people_jpeg]))
        assert eventually(lambda: tasks() == 0)

    assert eventually(lambda: not [x for x in threading.enumerate() if x.name == "depthhmr frames"])


def test_a_source_that_fails_ends_the_call_and_is_told(fake_grpc):
    service = Watched()

    def frames():
        yield b"x"
        service.begun.wait(5)
        raise OSError("the camera fell down")

    with Client(fake_grpc(ReconstructStream=service)) as client:
        with pytest.raises(OSError, match="the camera fell down"):
            list(client.stream(frames()))
        assert service.ended.wait(5) and eventually(lambda: tasks() == 0)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "error",
    [
        asyncio.InvalidStateError("the camera fell down"),
        grpc.aio.UsageError("the camera fell down"),
        grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), grpc.aio.Metadata(), "no camera"),
        asyncio.CancelledError("the camera fell down"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_of_the_source_is_the_sources_though_the_call_has_errors_of_this_kind(fake_grpc, error):
    service = Watched()

    async def frames():
        yield b"x"
        await asyncio.to_thread(service.begun.wait, 5)  # else there is no call yet that could end
        raise error

    async with AsyncClient(fake_grpc(ReconstructStream=service)) as client, asyncio.timeout(20):
        with pytest.raises(type(error)) as raised:
            async with aclosing(client.stream(frames())) as events:
                async for _ in events:
                    pass
        assert await asyncio.to_thread(service.ended.wait, 5)

    assert raised.value is error


def test_a_source_that_never_gives_does_not_hold_up_the_end(fake_grpc):
    def frames():
        yield b"x"
        threading.Event().wait()

    with Client(fake_grpc(ReconstructStream=echo)) as client, closing(client.stream(frames())) as events:
        assert kinds([next(events), next(events)]) == ["Ready", "Result"]
    assert eventually(lambda: tasks() == 0)


def test_the_sender_waits_for_a_service_that_does_not_read(fake_grpc):
    """Held back by flow control: of a gigabyte only a few pictures leave the source."""
    taken = []

    def silent(requests, context):
        yield READY
        context.add_callback(done.set)
        done.wait(10)

    done = threading.Event()

    def frames():
        for number in range(1000):
            taken.append(number)
            yield bytes(2**20)

    with Client(fake_grpc(ReconstructStream=silent)) as client, closing(client.stream(frames())) as events:
        next(events)
        time.sleep(0.5)
        first = len(taken)
        time.sleep(0.3)

        assert first == len(taken) <= 10


def test_a_service_that_goes_down_has_answered_what_it_answered(fake_grpc):
    def leaving(requests, context):
        next(requests)
        yield READY
        for _ in range(3):
            yield result(next(requests).frame.frame_id)
        next(requests)
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    seen = []
    with Client(fake_grpc(ReconstructStream=leaving)) as client, pytest.raises(ConnectionFailed) as failed:
        for event in client.stream([b"x"] * 9):
            seen.append(type(event))

    assert seen == [Ready, Result, Result, Result]
    assert "frames were sent but not answered" in str(failed.value)


def test_a_stream_that_breaks_is_never_begun_again(fake_grpc):
    calls = []

    def unavailable(requests, context):
        calls.append(1)
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        yield

    with Client(fake_grpc(ReconstructStream=unavailable)) as client, pytest.raises(ServiceUnavailable):
        list(client.stream([b"x"]))

    assert calls == [1]


def test_a_stream_that_is_refused_early_tells_the_refusal_itself(fake_grpc):
    """grpc.aio would say INTERNAL in five of six cases: grpc #36066."""

    def refusing(requests, context):
        next(requests)
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        yield

    with Client(fake_grpc(ReconstructStream=refusing)) as client:
        for _ in range(60):
            with pytest.raises(KeyRefused, match="who are you"):
                list(client.stream(bytes(20_000) for _ in range(30)))


def test_nobody_there_is_told_at_once():
    begin = time.monotonic()

    with Client("grpc://127.0.0.1:9") as client, pytest.raises(ConnectionFailed, match="cannot reach the service"):
        list(client.stream([b"x"]))

    assert time.monotonic() - begin < 2


def test_a_stream_may_have_a_deadline(fake_grpc):
    def slow(requests, context):
        yield READY
        time.sleep(1)

    with Client(fake_grpc(ReconstructStream=slow)) as client, pytest.raises(DeadlineExceeded):
        list(client.stream([b"x"], timeout_s=0.3))


def sequence(*answers):
    """A service that says this, whatever it hears."""

    def say(requests, context):
        for _ in range(4):
            next(requests)
        yield from answers

    return say


@pytest.mark.parametrize(
    "answers, message",
    [
        ([READY, result(1)], "answers frame 1, expected frame 0"),
        ([READY, result(0), result(0)], "answers frame 0, expected frame 1"),
        ([READY, result(0), result(1), result(2), result(3)], "expected no frame"),
        ([READY, result(0), result(1), result(2)], "ended without its summary"),
        ([READY, result(0), summary(1)], "ended with frames unanswered"),
        ([result(0)], "has a result before `ready`"),
        ([READY, Answer()], "holds an empty message"),
        ([READY, b"\xff" * 9], "not a response message"),
    ],
)
def test_a_service_that_breaks_the_contract_is_told_so(fake_grpc, answers, message):
    with Client(fake_grpc(ReconstructStream=sequence(*answers))) as client, pytest.raises(BadReply) as failed:
        list(client.stream([b"x"] * 3))

    assert message in str(failed.value)


def test_a_result_that_makes_no_sense_is_told_so(fake_grpc):
    broken = result(0)
    broken.result.reconstruction.people.add(betas=[1.0])

    with Client(fake_grpc(ReconstructStream=sequence(READY, broken))) as client, pytest.raises(BadReply, match="shape"):
        list(client.stream([b"x"] * 3))


def test_frame_errors_say_when_to_ask_again(fake_grpc):
    error = pb.Error(code=14, reason="overloaded", message="full")
    error.retry_after.FromSeconds(2)
    failed = Answer(error=pb.FrameError(frame_id=0, error=error))

    def say(requests, context):
        list(requests)
        yield from (READY, failed, summary(1))

    with Client(fake_grpc(ReconstructStream=say)) as client:
        events = list(client.stream([b"x"]))

    assert events[1] == FrameError(0, "UNAVAILABLE", "overloaded", "full", 2.0)


def test_a_call_that_the_service_cancels_is_no_cancellation_here(fake_grpc):
    def cancelled(requests, context):
        next(requests)
        yield READY
        context.abort(grpc.StatusCode.CANCELLED, "somebody pulled the plug")

    with (
        Client(fake_grpc(ReconstructStream=cancelled)) as client,
        pytest.raises(ServiceFailed, match="pulled the plug"),
    ):
        list(client.stream([b"x"]))


@contextmanager
def program(source: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """Ended with the block, whatever it is doing."""
    command = [sys.executable, "-W", "error", "-c", source, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


ENDLESS = (
    "import sys, time\nfrom service.client import Client\n"
    "client = Client(sys.argv[1])\n"
    "with open(sys.argv[2], 'rb') as file: photo = file.read()\n"
    "events = client.stream(iter(lambda: photo, None))\n"
    "print(type(next(events)).__name__, type(next(events)).__name__, flush=True)\n"
)


@pytest.fixture
def photo(tmp_path, people_jpeg) -> str:
    (tmp_path / "photo.jpg").write_bytes(people_jpeg)
    return str(tmp_path / "photo.jpg")


def test_a_program_that_forgets_its_stream_still_ends(grpc_address, photo):
    with program(ENDLESS, grpc_address, photo) as started:
        out, error = started.communicate(timeout=20)

    assert (started.returncode, out, error) == (0, "Ready Result\n", "")


def test_ctrl_c_ends_a_stream(grpc_address, photo):
    source = (
        ENDLESS
        + "try:\n    for event in events: pass\nexcept KeyboardInterrupt:\n    events.close(); client.close(); print('kept')\n"
    )
    with program(source, grpc_address, photo) as started:
        assert started.stdout and started.stdout.readline() == "Ready Result\n"
        time.sleep(0.3)
        os.kill(started.pid, signal.SIGINT)
        out, error = started.communicate(timeout=20)

    assert (started.returncode, out, error) == (0, "kept\n", "")
