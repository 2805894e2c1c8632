"""Reconstruct and GetInfo: what comes back, and what every bad request is told."""

import asyncio

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from service.rpc.pb import reconstruction_pb2 as pb

pytestmark = pytest.mark.anyio


def request(image: bytes, request_id: str = "", **options) -> pb.ReconstructRequest:
    return pb.ReconstructRequest(image=image, request_id=request_id, options=pb.Options(**options))


async def refused(call) -> tuple[grpc.StatusCode, str, dict]:
    """Status, message, and details by their type's short name."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    status = rpc_status.from_call(raised.value)
    details = {}
    for packed in status.details:
        message = getattr(error_details_pb2, packed.type_url.rpartition(".")[2])()
        packed.Unpack(message)
        details[packed.type_url.rpartition(".")[2]] = message
    return raised.value.code(), raised.value.details(), details


async def test_a_photo_comes_back_as_people(stub, core, people_jpeg):
    reply = await stub.Reconstruct(request(people_jpeg))

    people = reply.reconstruction.people
    assert [person.id for person in people] == [0, 1]
    assert [person.translation[2] for person in people] == [2.0, 3.0]
    assert (reply.reconstruction.width, reply.reconstruction.height) == (96, 64)
    assert reply.reconstruction.camera_source == pb.CAMERA_SOURCE_DEFAULT and reply.reconstruction.camera.fx > 0
    first = people[0]
    assert (len(first.body_pose), len(first.betas), len(first.joints_3d), len(first.joints_2d)) == (69, 10, 72, 48)
    assert not first.vertices and not first.HasField("track_id") and 1.4 < first.height_m < 2.1
    assert reply.info.model.sha256 == core.manifest.sha256 and reply.info.body.sha256 == core.body.sha256
    assert reply.info.units == "metres" and len(reply.info.joint_names) == 24
    assert reply.reconstruction.timings.infer_ms > 0


async def test_both_protocols_say_the_same(stub, client, people_jpeg):
    rest = (await client.post("/v1/reconstruct", content=people_jpeg, headers={"Content-Type": "image/jpeg"})).json()
    reply = await stub.Reconstruct(request(people_jpeg))

    for there, here in zip(rest["people"], reply.reconstruction.people, strict=True):
        for name in ("box", "translation", "global_orient", "betas"):
            assert np.allclose(there[name], getattr(here, name), atol=1e-5)
        assert np.allclose(np.ravel(there["body_pose"]), here.body_pose, atol=1e-5)
        assert np.allclose(np.ravel(there["joints_3d"]), here.joints_3d, atol=1e-5)


async def test_outputs_choose_what_is_sent(stub, core, people_jpeg):
    bare = await stub.Reconstruct(request(people_jpeg, outputs=[pb.OUTPUT_PARAMETERS]))
    full = await stub.Reconstruct(
        request(people_jpeg, outputs=[pb.OUTPUT_VERTICES, pb.OUTPUT_DEPTH, pb.OUTPUT_GLB, pb.OUTPUT_JOINTS])
    )

    assert not bare.reconstruction.people[0].joints_3d and not bare.reconstruction.glb
    vertices = np.frombuffer(full.reconstruction.people[0].vertices, "<f4").reshape(-1, 3)
    assert len(vertices) == len(core.body.template) and np.isfinite(vertices).all()
    depth = full.reconstruction.depth
    assert np.frombuffer(depth.values, "<f4").shape == (depth.width * depth.height,) and len(depth.region) == 4
    assert full.reconstruction.glb.startswith(b"glTF") and full.reconstruction.people[0].joints_2d


async def test_options_are_those_of_the_core(stub, people_jpeg):
    one = await stub.Reconstruct(request(people_jpeg, max_people=1))
    given = await stub.Reconstruct(request(people_jpeg, camera=pb.Camera(fx=80, fy=80, cx=48, cy=32)))

    assert len(one.reconstruction.people) == 1
    assert given.reconstruction.camera_source == pb.CAMERA_SOURCE_GIVEN and given.reconstruction.camera.fx == 80


async def test_info_tells_what_is_loaded_and_its_limits(stub, core):
    info = await stub.GetInfo(pb.GetInfoRequest(include_faces=True))
    bare = await stub.GetInfo(pb.GetInfoRequest())

    faces = np.frombuffer(info.faces, "<i4").reshape(-1, 3)
    assert (faces == core.body.faces).all() and info.vertex_count == len(core.body.template) and not bare.faces
    assert info.limits.max_image_bytes == 100_000 and info.limits.stream_idle_timeout.seconds == 30


async def test_the_clients_request_id_comes_back_when_it_is_sane(stub, people_jpeg):
    assert (await stub.Reconstruct(request(people_jpeg, "photo-7"))).request_id == "photo-7"
    made_up = (await stub.Reconstruct(request(people_jpeg, "two words\n"))).request_id
    call = stub.Reconstruct(request(people_jpeg), metadata=[("x-request-id", "from-metadata")])

    assert len(made_up) == 32
    assert (await call).request_id == dict(await call.trailing_metadata())["x-request-id"] == "from-metadata"


CODE = grpc.StatusCode
BAD = {
    "empty image": (request(b""), "invalid-image", "got an empty body", None),
    "no image at all": (pb.ReconstructRequest(), "invalid-image", "got an empty body", None),
    "text": (request(b"Dear sir"), "unsupported-media", "expected a JPEG, PNG or WebP", None),
    "truncated": (request(b"\xff\xd8\xff\xe0" + b"\0" * 50), "invalid-image", "damaged or truncated", None),
    "threshold of 2": (request(b"x", threshold=2), "invalid-parameter", "must lie in", "threshold"),
    "threshold of 0": (request(b"x", threshold=0), "invalid-parameter", "must lie in", "threshold"),
    "threshold NaN": (request(b"x", threshold=float("nan")), "invalid-parameter", "must lie in", "threshold"),
    "field of view of 0": (request(b"x", fov_degrees=0), "invalid-parameter", r"[1, 175]", "fov_degrees"),
    "camera without focal length": (request(b"x", camera=pb.Camera(cx=1)), "invalid-parameter", "fx must be", "camera"),
    "camera not finite": (
        request(b"x", camera=pb.Camera(fx=1, fy=1, cx=float("inf"))),
        "invalid-parameter",
        "cx must be",
        "camera",
    ),
    "camera absurdly long": (
        request(b"x", camera=pb.Camera(fx=1e308, fy=1, cx=1, cy=1)),
        "invalid-parameter",
        "[0.001, 1e+07] pixels, got 1e+308",
        "fx",
    ),
    "unknown output": (request(b"x", outputs=[77]), "invalid-parameter", "unknown output 77", "outputs"),
}


@pytest.mark.parametrize(("message", "reason", "words", "field"), BAD.values(), ids=BAD)
async def test_a_bad_request_is_told_what_was_wrong(stub, message, reason, words, field):
    code, text, details = await refused(stub.Reconstruct(message))

    assert code is CODE.INVALID_ARGUMENT and words in text
    assert (details["ErrorInfo"].reason, details["ErrorInfo"].domain) == (reason, "depthhmr")
    violations = details["BadRequest"].field_violations if field else []
    assert [violation.field for violation in violations] == ([field] if field else [])


async def test_a_message_over_the_limit_is_refused(stub):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Reconstruct(request(b"\xff\xd8\xff" + b"\0" * 300_000))

    assert raised.value.code() is CODE.RESOURCE_EXHAUSTED


async def test_an_image_over_the_limit_in_a_message_that_is_not(stub, core, people_jpeg, monkeypatch):
    from dataclasses import replace

    monkeypatch.setattr(core, "limits", replace(core.limits, max_bytes=100))

    code, text, details = await refused(stub.Reconstruct(request(people_jpeg)))

    assert code is CODE.RESOURCE_EXHAUSTED and "at most 100 bytes" in text
    assert details["ErrorInfo"].reason == "body-too-large"


async def test_a_full_service_says_when_to_ask_again(stub, core, people_jpeg, monkeypatch):
    monkeypatch.setitem(core.queue._admitted, "somebody", core.queue.max_images)

    code, _, details = await refused(stub.Reconstruct(request(people_jpeg)))

    assert code is CODE.RESOURCE_EXHAUSTED and details["RetryInfo"].retry_delay.seconds >= 1


async def test_a_service_that_has_not_started_is_unavailable(stub, core, people_jpeg):
    core.warm = False

    code, _, details = await refused(stub.Reconstruct(request(people_jpeg)))

    assert code is CODE.UNAVAILABLE and details["ErrorInfo"].reason == "starting" and "RetryInfo" in details


async def test_a_fault_of_ours_says_nothing_of_itself(stub, core, people_jpeg, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("secret path /root")

    monkeypatch.setattr(core.engine, "run", fail)

    code, text, _ = await refused(stub.Reconstruct(request(people_jpeg)))

    assert code is CODE.INTERNAL and "secret" not in text and "secret path" in caplog.text


async def test_a_deadline_reaches_the_core_and_stops_the_work(stub, core, people_jpeg, monkeypatch):
    calls, ended = [], asyncio.Event()

    async def stall(tensors, call):
        calls.append(call.remaining_s)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(core.engine, "infer", stall)

    code, _, _ = await refused_plainly(stub.Reconstruct(request(people_jpeg), timeout=0.4))

    assert code is CODE.DEADLINE_EXCEEDED and 0 < calls[0] <= 0.4
    await asyncio.wait_for(ended.wait(), 2)
    await asyncio.sleep(0.05)
    assert core.queue.admitted == core.queue.running == 0


async def test_a_deadline_of_a_millisecond_ends_in_time_and_leaves_nothing(stub, core, people_jpeg):
    code, _, _ = await refused_plainly(stub.Reconstruct(request(people_jpeg), timeout=0.001))

    assert code is CODE.DEADLINE_EXCEEDED
    await asyncio.sleep(0.2)
    assert core.queue.admitted == core.queue.running == 0
    assert (await stub.Reconstruct(request(people_jpeg))).reconstruction.people


async def test_a_client_that_cancels_stops_the_work(stub, core, people_jpeg, monkeypatch):
    started, stopped = asyncio.Event(), asyncio.Event()

    async def stall(tensors, call):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    monkeypatch.setattr(core.engine, "infer", stall)
    call = stub.Reconstruct(request(people_jpeg))
    waiting = asyncio.ensure_future(call.code())
    await asyncio.wait_for(started.wait(), 5)

    call.cancel()

    await asyncio.wait_for(stopped.wait(), 5)
    assert await waiting is CODE.CANCELLED
    await asyncio.sleep(0.05)
    assert core.queue.admitted == core.queue.running == 0


async def refused_plainly(call) -> tuple[grpc.StatusCode, str, None]:
    """For what gRPC itself ends, without details of ours."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details(), None
