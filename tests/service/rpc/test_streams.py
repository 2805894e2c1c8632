"""ReconstructStream against a real server: every frame has one answer, and no client can harm another."""

import asyncio

import grpc
import numpy as np
import pytest

from service.errors import EngineUnavailable
from service.rpc.pb import reconstruction_pb2 as pb

pytestmark = pytest.mark.anyio

CODE = grpc.StatusCode
DROP = pb.OVERLOAD_POLICY_DROP_OLDEST


async def test_config_ready_frames_answers_summary(open_stream, core, people_jpeg):
    stream = open_stream()
    await stream.config(max_in_flight=2)
    ready = await stream.ready()
    for frame_id in (3, 7, 1000):
        await stream.frame(frame_id, people_jpeg)
    await stream.call.done_writing()

    first = await stream.read()
    rest = await stream.rest()

    assert ready.max_in_flight == 2 and ready.info.model.sha256 == core.manifest.sha256
    assert ready.limits.max_in_flight == 8 and len(ready.info.joint_names) == 24
    assert first[0] == "result" and [person.translation[2] for person in first[1].reconstruction.people] == [2.0, 3.0]
    *answers, summary, status = rest
    assert [first[1].frame_id, *(answer[1] for answer in answers)] == [3, 7, 1000]
    assert (summary.frames, summary.results, summary.end_reason) == (3, 3, pb.END_REASON_COMPLETED)
    assert status is CODE.OK


async def test_a_frame_may_have_a_camera_of_its_own(open_stream, people_jpeg):
    stream = open_stream()
    await stream.config(options=pb.Options(camera=pb.Camera(fx=100, fy=100, cx=48, cy=32)))
    await stream.ready()
    await stream.frame(1, people_jpeg)
    await stream.frame(2, people_jpeg, camera=pb.Camera(fx=50, fy=50, cx=48, cy=32))
    await stream.frame(3, people_jpeg, camera=pb.Camera(fx=-1, fy=50, cx=48, cy=32))
    await stream.call.done_writing()

    (_, first), (_, second), (kind, third) = [await stream.read() for _ in range(3)]

    assert [frame.reconstruction.camera.fx for frame in (first, second)] == [100, 50]
    assert kind == "error" and third.error.reason == "invalid-parameter" and "fx must be" in third.error.message


async def send(stream, *steps) -> None:
    """`steps` are configs (dicts), frames (id, image) or "close"."""
    for step in steps:
        if step == "close":
            await stream.call.done_writing()
        elif isinstance(step, dict):
            await stream.config(**step)
        elif step is None:
            await stream.call.write(pb.ReconstructStreamRequest())
        else:
            await stream.frame(*step)


GOOD = "a good image"
BREACHES = {
    "nothing at all": (["close"], "expected a config as the first message, got none"),
    "frame before config": ([(1, GOOD)], "expected a config as the first message, got frame"),
    "empty first message": ([None], "expected a config as the first message, got an empty message"),
    "two configs": ([{}, {}], "expected a frame, got another config"),
    "empty message later": ([{}, None], "expected a frame, got an empty message"),
    "repeated id": ([{}, (5, GOOD), (5, GOOD)], "must increase from frame to frame, got 5 after 5"),
    "decreasing id": ([{}, (5, GOOD), (4, GOOD)], "must increase from frame to frame, got 4 after 5"),
    "too many in flight": ([{"max_in_flight": 9}], "max_in_flight: must be at most 8, got 9"),
    "unknown policy": ([{"overload_policy": 7}], "unknown policy 7"),
    "bad options": ([{"options": pb.Options(threshold=3)}], "must lie in (0, 1]"),
}


@pytest.mark.parametrize(("steps", "words"), BREACHES.values(), ids=BREACHES)
async def test_a_breach_of_the_protocol_ends_the_stream_and_says_why(open_stream, people_jpeg, steps, words):
    stream = open_stream()
    await send(stream, *((step[0], people_jpeg) if isinstance(step, tuple) else step for step in steps))

    await stream.rest()
    code, details = await stream.status()

    assert code is CODE.INVALID_ARGUMENT and words in details


async def test_the_largest_id_is_an_id(open_stream, people_jpeg):
    stream = open_stream()
    await send(stream, {}, (0, people_jpeg), (2**64 - 1, people_jpeg), "close")
    await stream.ready()

    assert (await stream.rest())[:2] == [("result", 0), ("result", 2**64 - 1)]


async def test_a_bad_frame_is_an_answer_and_the_next_one_succeeds(open_stream, people_jpeg):
    stream = open_stream()
    steps = [{}, (1, people_jpeg), (2, b""), (3, people_jpeg), (4, b"GIF89a"), (5, people_jpeg[:99]), (6, people_jpeg)]
    await send(stream, *steps, "close")
    await stream.ready()

    *answers, summary, status = await stream.rest()

    assert answers == [
        ("result", 1),
        ("error", 2, "invalid-image"),
        ("result", 3),
        ("error", 4, "unsupported-media"),
        ("error", 5, "invalid-image"),
        ("result", 6),
    ]
    assert (summary.frames, summary.results, summary.errors) == (6, 3, 3) and status is CODE.OK


async def test_a_thousand_bad_frames_have_a_thousand_answers(open_stream, people_jpeg):
    stream = open_stream()
    await stream.config()
    await stream.ready()

    async def write() -> None:
        for frame_id in range(1000):
            await stream.frame(frame_id, b"nonsense %d" % frame_id)
        await stream.frame(1000, people_jpeg)
        await stream.call.done_writing()

    writing = asyncio.create_task(write())
    *answers, summary, status = await stream.rest()
    await writing

    assert answers == [("error", frame_id, "unsupported-media") for frame_id in range(1000)] + [("result", 1000)]
    assert (summary.errors, summary.results) == (1000, 1) and status is CODE.OK


async def test_a_message_over_the_limit_ends_only_its_own_stream(open_stream, stub, people_jpeg):
    stream, other = open_stream(), open_stream()
    for each in (stream, other):
        await each.config()
        await each.ready()
    await stream.frame(1, b"\0" * 300_000)

    assert (await stream.rest())[-1] is CODE.RESOURCE_EXHAUSTED
    await send(other, (1, people_jpeg), "close")
    assert (await other.rest())[0] == ("result", 1)


async def test_closing_at_once_is_a_short_stream(open_stream):
    stream = open_stream()
    await send(stream, {}, "close")
    await stream.ready()

    summary, status = await stream.rest()

    assert (summary.frames, summary.end_reason, status) == (0, pb.END_REASON_COMPLETED, CODE.OK)


async def test_the_newest_frames_win_where_the_client_wants_it(stalling, people_jpeg):
    stream, engine = stalling
    await send(stream, {"overload_policy": DROP, "max_in_flight": 2})
    await stream.ready()
    for frame_id in range(20):
        await stream.frame(frame_id, people_jpeg)
    await stream.call.done_writing()
    await asyncio.sleep(0.3)

    engine.go.set()
    *answers, summary, status = await stream.rest()

    assert [answer[1] for answer in answers] == list(range(20))
    assert [frame_id for kind, frame_id in answers if kind == "result"] == [0, 1, 19]
    assert (summary.results, summary.dropped, summary.frames, status) == (3, 17, 20, CODE.OK)


async def test_a_fast_sender_is_held_back(stalling, people_jpeg):
    stream, engine = stalling
    await stream.config(max_in_flight=2)
    await stream.ready()
    written = 0

    async def write() -> None:
        nonlocal written
        for frame_id in range(2000):
            await stream.frame(frame_id, people_jpeg + b"\0" * 50_000)
            written += 1

    writing = asyncio.create_task(write())
    await asyncio.sleep(1.0)
    held_at = written
    await asyncio.sleep(0.5)

    # What is in gRPC's own buffers is a few megabytes at the most; 2,000 frames are 100.
    assert written == held_at < 200 and engine.calls <= 2
    writing.cancel()
    stream.call.cancel()


@pytest.mark.parametrize("moment", ["before ready", "during inference", "with answers unread"])
async def test_a_client_that_leaves_leaves_nothing_behind(stalling, people_jpeg, moment):
    stream, engine = stalling
    if moment != "before ready":
        await stream.config(max_in_flight=4)
        await stream.ready()
        for frame_id in range(4):
            await stream.frame(frame_id, people_jpeg)
        await asyncio.wait_for(engine.called.wait(), 5)
    if moment == "with answers unread":
        engine.go.set()
        await asyncio.sleep(0.2)

    stream.call.cancel()
    await asyncio.sleep(0.3)

    assert engine.running == 0
    assert stream.servicer._streams == 0
    assert b"depthhmr_images_in_work 0.0" in stream.core.metrics.text()


async def test_a_deadline_with_frames_in_flight_ends_the_stream_and_its_work(stalling, people_jpeg):
    _, engine = stalling
    stream = stalling[0].another(timeout=0.6)
    await send(stream, {}, (1, people_jpeg), (2, people_jpeg))
    await stream.ready()

    assert (await stream.rest())[-1] is CODE.DEADLINE_EXCEEDED
    await asyncio.sleep(0.2)
    assert engine.running == 0 and engine.shortest_s <= 0.6


async def test_an_engine_that_dies_is_the_answer_to_its_frames(stalling, people_jpeg):
    stream, engine = stalling
    await send(stream, {}, (1, people_jpeg), (2, people_jpeg))
    await stream.ready()
    await asyncio.wait_for(engine.called.wait(), 5)

    engine.error = EngineUnavailable("the engine cannot be reached")
    engine.go.set()
    answers = [await stream.read() for _ in range(2)]
    engine.error = None
    await send(stream, (3, people_jpeg), "close")
    *last, summary, status = await stream.rest()

    assert [(kind, message.error.reason) for kind, message in answers] == [("error", "engine-unavailable")] * 2
    assert all(message.error.retry_after.seconds >= 1 for _, message in answers)
    assert all(message.error.code == CODE.UNAVAILABLE.value[0] for _, message in answers)
    assert last == [("result", 3)] and (summary.errors, summary.results, status) == (2, 1, CODE.OK)


async def test_a_silent_stream_is_ended_with_its_summary(rpc_over, core, people_jpeg, make_stream):
    async with rpc_over(core, limits={"stream_idle_s": 0.3}) as (stub, _):
        stream = make_stream(stub)
        await send(stream, {}, (1, people_jpeg))
        await stream.ready()

        answer, summary, status = await stream.rest()

        assert answer == ("result", 1) and summary.end_reason == pb.END_REASON_IDLE
        assert status is CODE.DEADLINE_EXCEEDED and "sent nothing for too long" in (await stream.status())[1]


async def test_a_stream_without_a_config_is_ended(rpc_over, core, make_stream):
    async with rpc_over(core, limits={"stream_idle_s": 0.2}) as (stub, _):
        stream = make_stream(stub)

        assert await stream.rest() == [CODE.DEADLINE_EXCEEDED]
        assert "no config came within 0.2 s" in (await stream.status())[1]


async def test_a_stream_has_a_longest_time(rpc_over, core, people_jpeg, make_stream):
    async with rpc_over(core, limits={"stream_timeout_s": 0.5}) as (stub, _):
        stream = make_stream(stub)
        await stream.config()
        await stream.ready()

        over = asyncio.Event()

        async def write() -> None:
            frame_id = 0
            while not over.is_set():
                await stream.frame(frame_id := frame_id + 1, people_jpeg)
            await stream.call.done_writing()

        writing = asyncio.create_task(write())
        *answers, summary, status = await stream.rest(after_summary=over.set)
        await writing

        assert summary.end_reason == pb.END_REASON_TOO_LONG and status is CODE.DEADLINE_EXCEEDED
        assert summary.results == len(answers) > 0


async def test_draining_answers_what_is_in_work_and_says_goodbye(stalling, people_jpeg):
    stream, engine = stalling
    await send(stream, {}, (1, people_jpeg), (2, people_jpeg))
    await stream.ready()
    await asyncio.wait_for(engine.called.wait(), 5)

    while engine.calls < 2:
        await asyncio.sleep(0.01)
    await stream.server.drain()
    engine.go.set()
    *answers, summary, status = await stream.rest()
    late = stream.another()

    assert answers == [("result", 1), ("result", 2)]
    assert summary.end_reason == pb.END_REASON_DRAINING and status is CODE.UNAVAILABLE
    assert await late.rest() == [CODE.UNAVAILABLE]


async def test_too_many_streams_are_told_so(rpc_over, core, make_stream):
    async with rpc_over(core, limits={"max_streams": 2}) as (stub, _):
        first, second = make_stream(stub), make_stream(stub)
        for stream in (first, second):
            await stream.config()
            await stream.ready()
        third = make_stream(stub)

        assert await third.rest() == [CODE.RESOURCE_EXHAUSTED]
        assert "2 streams are open already" in (await third.status())[1]
        await first.call.done_writing()
        await first.rest()
        fourth = make_stream(stub)
        await fourth.config()
        assert await fourth.ready()


@pytest.mark.slow
async def test_a_thousand_streams_at_once_are_all_served(rpc_over, core, people_jpeg, make_stream):
    async with rpc_over(core) as (stub, server):
        streams = [make_stream(stub) for _ in range(1000)]
        await asyncio.gather(*(stream.config() for stream in streams))
        await asyncio.gather(*(stream.ready() for stream in streams))
        assert server._servicer._streams == 1000

        await asyncio.gather(*(send(stream, (1, people_jpeg), "close") for stream in streams))
        rests = await asyncio.gather(*(stream.rest() for stream in streams))

        assert all(rest[0] == ("result", 1) and rest[-1] is CODE.OK for rest in rests)


async def test_streams_share_the_service_and_leave_room_for_single_images(stalling, people_jpeg):
    """Streams wait for a place; a single image has places of its own."""
    stream, engine = stalling
    others = [stream.another() for _ in range(20)]
    for other in others:
        await send(other, {"max_in_flight": 8}, *((frame_id, people_jpeg) for frame_id in range(8)), "close")
        await other.ready()
    await asyncio.sleep(0.3)

    single = asyncio.ensure_future(stream.unary(people_jpeg))
    await asyncio.sleep(0.2)
    engine.go.set()

    assert (await single).request_id
    for other in others:
        *answers, _, status = await other.rest()
        assert answers == [("result", frame_id) for frame_id in range(8)] and status is CODE.OK


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_messages_are_understood(open_stream, people_jpeg, compression):
    stream = open_stream(compression=compression)
    await send(stream, {}, (1, people_jpeg), "close")
    await stream.ready()

    assert (await stream.rest())[0] == ("result", 1)


async def test_a_message_that_grows_over_the_limit_when_unpacked_is_refused(open_stream):
    stream = open_stream(compression=grpc.Compression.Gzip)
    await stream.config()
    await stream.ready()
    await stream.frame(1, b"\0" * 50_000_000)  # 50 kB on the wire

    assert (await stream.rest())[-1] is CODE.RESOURCE_EXHAUSTED


async def test_huge_metadata_is_refused_and_harms_nobody(stub, open_stream, people_jpeg):
    stream = open_stream(metadata=[("x-note", "a" * 200_000)])

    assert (await stream.rest())[-1] in (CODE.RESOURCE_EXHAUSTED, CODE.UNAVAILABLE, CODE.INTERNAL)
    other = open_stream()
    await send(other, {}, (1, people_jpeg), "close")
    await other.ready()
    assert (await other.rest())[0] == ("result", 1)


def seconds(value: float) -> dict:
    return {"capture_time": {"nanos": round(1e9 * value)}}


async def test_people_keep_their_ids_over_the_frames(open_stream, people_jpeg, empty_jpeg):
    stream = open_stream()
    await stream.config(tracking=pb.Tracking())
    await stream.ready()
    pictures = [people_jpeg] * 4 + [empty_jpeg] * 2 + [people_jpeg] * 2
    for frame_id, picture in enumerate(pictures):
        await stream.frame(frame_id, picture, **seconds(0.04 * frame_id))
    await stream.call.done_writing()

    ids = []
    for _ in pictures:
        _, result = await stream.read()
        people = result.reconstruction.people
        ids.append([person.track_id if person.HasField("track_id") else None for person in people])

    assert ids == [[None, None], [1, 2], [1, 2], [1, 2], [], [], [1, 2], [1, 2]]


async def test_smoothed_people_are_still_whole(open_stream, people_jpeg):
    stream = open_stream()
    outputs = [pb.OUTPUT_VERTICES, pb.OUTPUT_JOINTS, pb.OUTPUT_GLB]
    smoothing = pb.Smoothing(strength=3)
    await stream.config(tracking=pb.Tracking(), smoothing=smoothing, options=pb.Options(outputs=outputs))
    await stream.ready()
    for frame_id in range(3):
        await stream.frame(frame_id, people_jpeg, **seconds(0.04 * frame_id))
    await stream.call.done_writing()

    for _ in range(3):
        _, result = await stream.read()
        for person in result.reconstruction.people:
            assert person.vertices and len(person.joints_3d) == 72
            assert np.allclose(person.joints_3d[:3], person.translation, atol=1e-4)
        assert result.reconstruction.glb.startswith(b"glTF")
    assert (await stream.rest())[-1] is CODE.OK


async def test_a_frame_from_the_past_is_an_error_of_its_own(open_stream, people_jpeg):
    stream = open_stream()
    await stream.config(tracking=pb.Tracking())
    await stream.ready()
    for frame_id, time_s in enumerate((0.0, 0.2, 0.1, 0.3)):
        await stream.frame(frame_id, people_jpeg, **seconds(time_s))
    await stream.call.done_writing()

    *answers, summary, status = await stream.rest()

    expected = [("result", 0), ("result", 1), ("error", 2, "invalid-parameter"), ("result", 3)]
    assert answers == expected and (summary.results, summary.errors, status) == (3, 1, CODE.OK)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"smoothing": pb.Smoothing()}, "smoothing: needs tracking"),
        ({"tracking": pb.Tracking(), "smoothing": pb.Smoothing(strength=99)}, "must lie in [0.1, 10], got 99"),
        ({"tracking": pb.Tracking(), "smoothing": pb.Smoothing(strength=float("nan"))}, "got nan"),
        ({"tracking": pb.Tracking(max_gap={"seconds": 60})}, "must lie in (0, 10] s, got 60"),
    ],
)
async def test_following_that_makes_no_sense_is_refused_at_the_start(open_stream, config, words):
    stream = open_stream()
    await stream.config(**config)

    assert await stream.rest() == [CODE.INVALID_ARGUMENT]
    assert words in (await stream.status())[1]
