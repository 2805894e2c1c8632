"""Traces: the spans that a real collector receives, and that no collector can harm a request."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, suppress

import grpc
import httpx
import pytest

from bodykit.errors import UserError
from service.errors import EngineFailed
from service.rest.app import create_app
from service.rpc.limits import RpcLimits
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub
from service.rpc.server import RpcServer
from service.serve import open_core
from service.settings import Settings
from service.telemetry import frames, otel
from service.telemetry.frames import FrameSpans
from service.telemetry.otel import OtelTracer
from service.telemetry.tracing import NullTracer, open_tracer

pytestmark = pytest.mark.anyio

JPEG = {"Content-Type": "image/jpeg"}
STAGES = ("queue", "decode", "infer", "post", "encode")
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
UNARY, STREAM = (f"depthhmr.v1.ReconstructionService/{name}" for name in ("Reconstruct", "ReconstructStream"))


def rest_client(core) -> httpx.AsyncClient:
    app = create_app(core, max_body_bytes=2**20)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://test", timeout=20
    )


@asynccontextmanager
async def rpc_stub(core):
    server = RpcServer(core, "127.0.0.1:0", RpcLimits(2**20, 64))
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield ReconstructionServiceStub(channel)
    finally:
        await server.stop(0)


def attributes(span) -> dict:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}


def children(collector, parent) -> list:
    found = [span for span in collector.spans if span.parent_span_id == parent.span_id]
    return sorted(found, key=lambda span: span.start_time_unix_nano)


def in_time(parent, spans) -> bool:
    edges = [edge for span in spans for edge in (span.start_time_unix_nano, span.end_time_unix_nano)]
    return [parent.start_time_unix_nano, *edges, parent.end_time_unix_nano] == sorted(
        [parent.start_time_unix_nano, *edges, parent.end_time_unix_nano]
    )


async def test_a_request_is_a_span_with_one_for_each_stage(traced_core, collector, people_jpeg):
    async with rest_client(traced_core) as client:
        headers = JPEG | {"X-Request-ID": "abc", "traceparent": TRACEPARENT}
        response = await client.post("/v1/reconstruct", content=people_jpeg, headers=headers)

    (span,) = await asyncio.to_thread(collector.named, "POST /v1/reconstruct")
    stages = children(collector, span)
    assert [stage.name for stage in stages] == list(STAGES) and in_time(span, stages)
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.kind) == (TRACE, PARENT, span.SPAN_KIND_SERVER)
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.route": "/v1/reconstruct",
        "http.response.status_code": 200,
        "depthhmr.request_id": "abc",
        "depthhmr.outcome": "ok",
        "depthhmr.bytes_in": len(people_jpeg),
        "depthhmr.bytes_out": len(response.content),
        "depthhmr.images": 1,
        "depthhmr.people": 2,
    }


async def test_a_call_of_grpc_continues_the_trace_of_its_metadata(traced_core, collector, people_jpeg):
    async with rpc_stub(traced_core) as stub:
        request = pb.ReconstructRequest(image=people_jpeg, request_id="abc")
        response = await stub.Reconstruct(request, metadata=[("traceparent", TRACEPARENT)])

    (span,) = await asyncio.to_thread(collector.named, UNARY)
    assert [stage.name for stage in children(collector, span)] == list(STAGES)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    found = attributes(span)
    assert found["rpc.system.name"] == "grpc" and found["rpc.response.status_code"] == "OK"
    assert (found["depthhmr.request_id"], found["depthhmr.people"]) == ("abc", 2)
    assert (found["depthhmr.bytes_in"], found["depthhmr.bytes_out"]) == (request.ByteSize(), response.ByteSize())


@pytest.mark.parametrize("tracked", [False, True])
async def test_a_stream_is_a_span_with_one_for_each_frame(traced_core, collector, people_jpeg, tracked):
    async def messages():
        yield pb.ReconstructStreamRequest(config=pb.StreamConfig(tracking=pb.Tracking() if tracked else None))
        for number in (3, 2**64 - 1):
            yield pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=number, image=people_jpeg))

    async with rpc_stub(traced_core) as stub:
        kinds = [answer.WhichOneof("message") async for answer in stub.ReconstructStream(messages())]

    assert kinds == ["ready", "result", "result", "summary"]
    (span,) = await asyncio.to_thread(collector.named, STREAM)
    found = children(collector, span)
    assert [attributes(it)["depthhmr.frame_id"] for it in found if it.name == "frame"] == ["3", str(2**64 - 1)]
    stages = STAGES[:-1] if tracked else STAGES  # a tracked frame is encoded after the frames before it
    for frame in [it for it in found if it.name == "frame"]:
        assert [stage.name for stage in children(collector, frame)] == list(stages)
    for following in [it for it in found if it.name == "follow"]:
        assert [stage.name for stage in children(collector, following)] == ["encode"]
    assert len(found) == (4 if tracked else 2)
    assert attributes(span)["depthhmr.frames"] == 2


async def test_a_batch_has_a_span_for_each_image(traced_core, collector, people_jpeg, empty_jpeg):
    async with rest_client(traced_core) as client:
        files = [("image", ("secret-name.jpg", content, "image/jpeg")) for content in (people_jpeg, empty_jpeg)]
        response = await client.post("/v1/reconstruct/batch", files=files)

    assert response.status_code == 200
    (span,) = await asyncio.to_thread(collector.named, "POST /v1/reconstruct/batch")
    assert [it.name for it in children(collector, span)] == ["image", "image"]
    assert (attributes(span)["depthhmr.images"], attributes(span)["depthhmr.people"]) == (2, 2)
    assert b"secret-name" not in b"".join(it.SerializeToString() for it in collector.spans)


async def test_no_input_of_a_caller_is_in_a_span(traced_core, collector):
    hidden = {"x-api-key": "dhmr_hidden", "authorization": "Bearer hidden", "cookie": "hidden", "baggage": "a=hidden"}
    async with rest_client(traced_core) as client:
        await client.post("/v1/reconstruct?hidden=hidden", content=b"hidden", headers=hidden | JPEG)
        await client.get("/hidden/hidden")
        await client.get("/v1/models/hidden")
        await client.request("HIDDEN", "/v1/reconstruct")

    await asyncio.to_thread(collector.named, "_OTHER /v1/reconstruct")
    names = [span.name for span in collector.spans if not span.parent_span_id]
    assert names == ["POST /v1/reconstruct", "GET none", "GET /v1/models/{name}", "_OTHER /v1/reconstruct"]
    assert b"hidden" not in b"".join(span.SerializeToString() for span in collector.spans).lower()


async def test_a_failure_shows_where_it_happened_and_whose_it_is(traced_core, collector, people_jpeg, monkeypatch):
    async def fail(*_):
        raise EngineFailed("secret details")

    async with rest_client(traced_core) as client:
        await client.post("/v1/reconstruct", content=people_jpeg[:200], headers=JPEG)
        monkeypatch.setattr(traced_core.engine, "infer", fail)
        await client.post("/v1/reconstruct", content=people_jpeg, headers=JPEG)

    theirs, ours = await asyncio.to_thread(collector.named, "POST /v1/reconstruct", 2)
    _, decode = children(collector, theirs)
    assert attributes(theirs)["error.type"] == attributes(decode)["error.type"] == "invalid-image"
    assert (theirs.status.code, ours.status.code) == (theirs.status.STATUS_CODE_UNSET, ours.status.STATUS_CODE_ERROR)
    assert [span.name for span in children(collector, ours)] == ["queue", "decode", "infer"]
    assert attributes(ours)["error.type"] == attributes(children(collector, ours)[-1])["error.type"] == "engine-failed"
    assert b"secret details" not in ours.SerializeToString()


async def test_an_internal_error_is_a_failed_span(traced_core, collector, monkeypatch):
    monkeypatch.setattr(type(traced_core), "ready", property(lambda _: 1 / 0))
    monkeypatch.setattr(traced_core, "check_capacity", lambda *_, **__: 1 / 0)

    async with rest_client(traced_core) as client:
        response = await client.post("/v1/reconstruct", content=b"x", headers=JPEG)

    assert response.status_code == 500
    (span,) = await asyncio.to_thread(collector.named, "POST /v1/reconstruct")
    found = attributes(span)
    assert (found["http.response.status_code"], found["error.type"]) == (500, "internal")
    assert span.status.code == span.status.STATUS_CODE_ERROR


async def test_probes_are_not_traced(traced_core, collector):
    async with rest_client(traced_core) as client:
        for path in ("/v1/health/live", "/v1/health/ready", "/metrics", "/static/page.js", "/v1/version"):
            assert (await client.get(path)).status_code == 200

    await asyncio.to_thread(collector.named, "GET /v1/version")
    assert len(collector.spans) == 1


@pytest.mark.parametrize("traceparent", ["", "rubbish", "00-" + 32 * "0" + "-" + PARENT + "-01", 5000 * "0"])
async def test_a_trace_that_makes_no_sense_is_not_continued(traced_core, collector, traceparent):
    async with rest_client(traced_core) as client:
        await client.get("/v1/version", headers={"traceparent": traceparent})

    (span,) = await asyncio.to_thread(collector.named, "GET /v1/version")
    assert not span.parent_span_id and any(span.trace_id)


@pytest.mark.parametrize(("length", "kept"), [(100, True), (5000, False)])
async def test_a_trace_state_without_end_is_not_carried_on(traced_core, collector, length, kept):
    async with rest_client(traced_core) as client:
        state = "vendor=" + length * "a" if kept else ",".join(f"v{number}={200 * 'a'}" for number in range(25))
        await client.get("/v1/version", headers={"traceparent": TRACEPARENT, "tracestate": state})

    (span,) = await asyncio.to_thread(collector.named, "GET /v1/version")
    assert span.trace_state == (state if kept else "")


async def test_the_standard_variables_choose_what_is_traced(collector, model_dir, people_jpeg, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    core = open_core(Settings(model_dir=model_dir, traces="otlp"))
    await core.warm_up()
    seen = []
    infer = core.engine.infer
    monkeypatch.setattr(core.engine, "infer", lambda inputs, call: seen.append(call.headers) or infer(inputs, call))

    async with rest_client(core) as client:
        response = await client.post(
            "/v1/reconstruct", content=people_jpeg, headers=JPEG | {"traceparent": TRACEPARENT}
        )
    await core.aclose()

    assert response.status_code == 200 and collector.spans == []
    (headers,) = seen  # the decision not to trace is propagated
    assert headers["traceparent"].startswith(f"00-{TRACE}-") and headers["traceparent"].endswith("-00")


async def test_the_service_is_named_by_the_standard_variable(monkeypatch, collector):
    arrived = []
    monkeypatch.setattr(collector, "arrive", arrived.append)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "camera-hall-3")
    tracer = OtelTracer.open()

    with tracer.request({}):
        pass
    await asyncio.to_thread(tracer.close)

    assert b"camera-hall-3" in arrived[0] and b"service.version" in arrived[0]


async def times_of(client, people_jpeg, count: int = 15) -> list[float]:
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        response = await client.post("/v1/reconstruct", content=people_jpeg, headers=JPEG)
        assert response.status_code == 200
        times.append(time.perf_counter() - begin)
    return times


@pytest.mark.parametrize("manner", ["hangs", "refuses", "dawdles", "breaks"])
async def test_a_collector_that_misbehaves_slows_and_fails_nothing(
    manner, collector, model_dir, people_jpeg, monkeypatch
):
    released = threading.Event()
    if manner == "hangs":
        collector.take = lambda: released.wait(30)
    elif manner == "dawdles":
        collector.take = lambda: released.wait(0.3)
    elif manner == "breaks":
        collector.status = 503
    else:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(otel, "CLOSE_TIMEOUT_S", 0.5)
    core = open_core(Settings(model_dir=model_dir, traces="otlp"))
    await core.warm_up()

    async with rest_client(core) as client:
        times = await times_of(client, people_jpeg)
    begin = time.perf_counter()
    await core.aclose()
    closed_s = time.perf_counter() - begin
    released.set()

    assert sorted(times)[len(times) // 2] < 0.3  # 10 ms on a quiet machine; the collector takes 0.3 s or never answers
    assert closed_s < 3  # half a second for the last spans; the SDK itself would take half a minute


async def test_spans_without_a_collector_are_dropped_and_not_hoarded(collector, model_dir, people_jpeg, monkeypatch):
    released = threading.Event()
    collector.take = lambda: released.wait(30)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    core = open_core(Settings(model_dir=model_dir, traces="otlp"))
    await core.warm_up()

    async with rest_client(core) as client:
        await times_of(client, people_jpeg)  # 15 requests of 6 spans
    released.set()
    await core.aclose()

    assert 5 <= len(collector.spans) <= 20


async def test_a_stream_that_is_given_up_ends_its_span(traced_core, collector, people_jpeg, caplog):
    async with rpc_stub(traced_core) as stub:
        call = stub.ReconstructStream()
        await call.write(pb.ReconstructStreamRequest(config=pb.StreamConfig()))
        await call.write(pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=1, image=people_jpeg)))
        await call.read()
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call.code()
        (span,) = await asyncio.to_thread(collector.named, STREAM)

    assert attributes(span)["error.type"] == "cancelled"
    assert attributes(span)["rpc.response.status_code"] == "CANCELLED"
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_long_stream_stops_being_traced_at_the_limit(collector, monkeypatch):
    monkeypatch.setattr(frames, "MAX_SPANS", 2)
    tracer = OtelTracer.open()

    with tracer.request({}):
        spans = FrameSpans(tracer)
        for number in range(5):
            with spans.span("frame", frame_id=str(number)), tracer.span("decode"):
                pass
    tracer.close()

    assert [span.name for span in collector.spans] == ["decode", "frame", "decode", "frame", "request"]


def test_a_span_outside_of_a_request_is_none(collector):
    tracer = OtelTracer.open()

    with tracer.span("decode"):
        assert tracer.headers() == {}
    tracer.close()

    assert collector.spans == []


def test_the_standard_variable_turns_all_of_it_off(collector, monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracer = OtelTracer.open()

    with tracer.request({}) as span, tracer.span("decode"):
        span.describe("GET /", {"http.route": "/"}, error="internal", ours=True)
        assert (span.trace_id, tracer.headers()) == ("", {})
    tracer.close()

    assert collector.spans == []


def test_off_is_a_tracer_that_does_nothing():
    tracer = open_tracer("off")

    with tracer.request({"traceparent": TRACEPARENT}) as span, tracer.span("decode"), tracer.muted():
        assert (span.trace_id, tracer.headers()) == ("", {})
    tracer.close()

    assert isinstance(tracer, NullTracer)


def test_another_protocol_is_refused_in_plain_words(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")

    with pytest.raises(UserError, match="expected the trace protocol http/protobuf, got grpc"):
        open_tracer("otlp")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "OTEL_BSP_MAX_QUEUE_SIZE",
            "-1",
            r"the OTEL_\* variables are invalid: max_queue_size must be a positive integer",
        )
    ],
)
def test_a_wrong_variable_is_refused_in_plain_words(monkeypatch, name, value, expected):
    monkeypatch.setenv(name, value)

    with pytest.raises(UserError, match=expected):
        open_tracer("otlp")


PROGRAM = """
import sys
sys.modules["opentelemetry.sdk"] = sys.modules["opentelemetry.exporter"] = None
from depthhmr_cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_without_the_package_the_setting_says_what_to_install(model_dir):
    command = [sys.executable, "-c", PROGRAM, "serve", "--model-dir", str(model_dir), "--port", "0"]
    done = subprocess.run(
        command, env=os.environ | {"DEPTHHMR_TRACES": "otlp"}, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 2
    assert "needs the package opentelemetry, which is not installed: scripts/install otel" in done.stderr


def test_without_the_package_the_service_runs(model_dir):
    without = PROGRAM.replace('["opentelemetry.sdk"]', '["opentelemetry.sdk"] = sys.modules["opentelemetry.proto"]')
    program = without.partition("from depthhmr_cli")[0] + "import service.serve\n"
    program += "from service.settings import Settings\n"
    program += f"print(service.serve.open_core(Settings(model_dir={str(model_dir)!r})).tracer.headers())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, "{}\n"), done.stderr
