"""The log: what a line contains, what it never contains, and that an unread log blocks nothing."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import asynccontextmanager

import grpc
import httpx
import pytest

from service.access.keys import ApiKeys, hash_of
from service.rest.app import create_app
from service.rpc.limits import RpcLimits
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub
from service.rpc.server import RpcServer
from service.telemetry import logs
from service.telemetry.logs import BackgroundHandler, JsonFormatter, TextFormatter
from service.telemetry.observer import sentence
from service.telemetry.record import Record, as_current

pytestmark = pytest.mark.anyio

JPEG = {"Content-Type": "image/jpeg"}
KEYS = ApiKeys({hash_of("hidden-key"): "camera-1"})


@pytest.fixture
def lines():
    """The service's log as parsed lines of JSON."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(self.format(record)))

    found, handler, log = [], Lines(), logging.getLogger("service")
    handler.setFormatter(JsonFormatter())
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)
    yield found
    log.setLevel(level)
    log.removeHandler(handler)


def rest_client(core, authenticator=None) -> httpx.AsyncClient:
    app = create_app(core, max_body_bytes=2**20, authenticator=authenticator)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://test", timeout=20
    )


@asynccontextmanager
async def rpc_stub(core, authenticator=None):
    server = RpcServer(core, "127.0.0.1:0", RpcLimits(2**20, 64), authenticator=authenticator)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield ReconstructionServiceStub(channel), channel
    finally:
        await server.stop(0)


def access(lines) -> list[dict]:
    return [line for line in lines if line["logger"] == "service.access"]


async def test_a_request_is_one_line(core, lines, people_jpeg):
    async with rest_client(core, KEYS) as client:
        headers = JPEG | {"X-API-Key": "hidden-key", "X-Request-ID": "abc"}
        response = await client.post("/v1/reconstruct?threshold=0.5", content=people_jpeg, headers=headers)

    (line,) = lines
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert 0 < line.pop("duration_ms") < 10_000 and line.pop("message").startswith("rest POST /v1/reconstruct 200 ok ")
    assert line == {
        "level": "info",
        "logger": "service.access",
        "request_id": "abc",
        "protocol": "rest",
        "method": "POST",
        "route": "/v1/reconstruct",
        "status": 200,
        "outcome": "ok",
        "bytes_in": len(people_jpeg),
        "bytes_out": len(response.content),
        "images": 1,
        "people": 2,
        "client": "camera-1",
    }


async def test_a_traced_request_has_the_id_of_its_trace(traced_core, lines):
    async with rest_client(traced_core) as client:
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        await client.get("/v1/version", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})

    assert access(lines)[0]["trace_id"] == trace


async def test_no_input_of_a_caller_is_logged(core, lines, people_jpeg):
    file = {"image": ("hidden-name.jpg", people_jpeg, "image/jpeg")}
    hidden = {"x-api-key": "hidden-key", "authorization": "Bearer hidden", "cookie": "hidden", "user-agent": "hidden"}
    async with rest_client(core, KEYS) as client:
        await client.post("/v1/reconstruct?hidden=hidden", files=file, headers=hidden)
        await client.post("/v1/reconstruct/batch", files=[("image", file["image"])], headers=hidden)
        await client.get("/hidden/hidden", headers=hidden)
        await client.get("/v1/models/hidden", headers=hidden)
        await client.get("/v1/version", headers={"x-api-key": "hidden"})

    assert [(line["route"], line["status"], line["outcome"]) for line in lines] == [
        ("/v1/reconstruct", 422, "invalid-parameter"),
        ("/v1/reconstruct/batch", 200, "ok"),
        ("none", 404, "not-found"),
        ("/v1/models/{name}", 404, "not-found"),
        ("/v1/version", 401, "unauthenticated"),
    ]
    assert "hidden" not in json.dumps(lines)


async def test_a_call_of_grpc_is_one_line(core, lines, people_jpeg):
    async with rpc_stub(core, KEYS) as (stub, _):
        key = [("x-api-key", "hidden-key")]
        await stub.Reconstruct(pb.ReconstructRequest(image=people_jpeg, request_id="abc"), metadata=key)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Reconstruct(pb.ReconstructRequest(image=b"x"), metadata=key)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetInfo(pb.GetInfoRequest())

    facts = [(line["route"].rpartition("/")[2], line["status"], line["outcome"], line.get("client")) for line in lines]
    assert facts == [
        ("Reconstruct", "OK", "ok", "camera-1"),
        ("Reconstruct", "INVALID_ARGUMENT", "unsupported-media", "camera-1"),
        ("GetInfo", "UNAUTHENTICATED", "unauthenticated", None),
    ]
    assert lines[0]["request_id"] == "abc" and lines[0]["people"] == 2 and lines[0]["bytes_in"] > len(people_jpeg)
    assert "hidden" not in json.dumps(lines)


async def test_an_unknown_call_of_grpc_is_one_line_without_its_name(core, lines):
    async with rpc_stub(core) as (_, channel):
        for name in ("/hidden.Service/Hidden", "/depthhmr.v1.ReconstructionService/Hidden"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(name)(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    assert [(line["route"], line["status"]) for line in lines] == [("none", "UNIMPLEMENTED")] * 2
    assert "Hidden" not in json.dumps(lines)


async def test_a_stream_is_one_line_at_its_end(core, lines, people_jpeg):
    async def messages():
        yield pb.ReconstructStreamRequest(config=pb.StreamConfig())
        for number, content in enumerate((people_jpeg, b"no image", people_jpeg)):
            yield pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=number, image=content))

    async with rpc_stub(core) as (stub, _):
        call = stub.ReconstructStream(messages(), metadata=[("x-request-id", "abc")])
        answers = [answer async for answer in call]

    (line,) = lines
    assert (line["status"], line["outcome"], line["request_id"]) == ("OK", "ok", "abc")
    assert (line["frames"], line["frame_errors"], line["frames_dropped"]) == (3, 1, 0)
    assert (line["images"], line["people"]) == (2, 4)
    assert line["bytes_out"] == sum(answer.ByteSize() for answer in answers)


async def test_probes_are_not_logged(core, lines):
    async with rest_client(core) as client:
        for path in ("/v1/health/live", "/v1/health/ready", "/metrics", "/static/page.js"):
            await client.get(path)

    assert lines == []


async def test_an_internal_error_logs_its_traceback_with_the_ids(traced_core, lines, monkeypatch):
    monkeypatch.setattr(traced_core, "check_capacity", lambda *_, **__: 1 / 0)

    async with rest_client(traced_core) as client:
        response = await client.post("/v1/reconstruct", content=b"x", headers=JPEG)

    line, error = sorted(lines, key=lambda line: line["level"], reverse=True)
    assert (line["status"], line["outcome"]) == (500, "internal")
    assert "ZeroDivisionError" in error["error"] and "check_capacity" in error["error"]
    assert error["request_id"] == line["request_id"] == response.json()["request_id"]
    assert error["trace_id"] == line["trace_id"] and len(error["trace_id"]) == 32


async def test_a_fault_in_a_thread_is_logged_under_the_ids(core, lines, monkeypatch, people_jpeg):
    monkeypatch.setattr(core, "_select", lambda *_: 1 / 0)

    async with rpc_stub(core) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Reconstruct(pb.ReconstructRequest(image=people_jpeg, request_id="abc"))

    assert [(line["level"], line["request_id"]) for line in lines] == [("error", "abc"), ("info", "abc")]
    assert "ZeroDivisionError" in lines[0]["error"] and lines[1]["outcome"] == "internal"


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("service", logging.WARNING, __file__, 1, message, arguments, None)
    made.__dict__.update(extra)
    return made


@pytest.mark.parametrize("text", ["two\nlines", 'a "quote"', "\x1b[31m", "\udcff", "höhe 人", "\x00"])
def test_a_line_of_json_is_one_line_whatever_it_says(text):
    written = JsonFormatter().format(record("%s", text))

    assert written.isascii() and written.isprintable() and json.loads(written)["message"] == text


def test_a_line_for_people_ends_with_the_ids():
    with as_current(Record("rest", "GET", "abc", trace_id="def")):
        assert (
            TextFormatter()
            .format(record("hello %s", "you"))
            .endswith(" WARNING service: hello you request_id=abc trace_id=def")
        )
    assert TextFormatter().format(record("hello")).endswith("WARNING service: hello")


def test_a_caller_whose_name_has_a_line_break_does_not_make_a_line():
    facts = Record("rest", "GET", "abc", client="jwt:a\nb c", status="200").facts()

    assert sentence(facts).endswith(r" client='jwt:a\nb c'")


class Stuck:
    """A stream whose reader does not read."""

    def __init__(self) -> None:
        self.go, self.written = threading.Event(), []

    def write(self, content: memoryview) -> int:
        self.go.wait(10)
        self.written.append(bytes(content[:100]))
        return len(self.written[-1])


def test_a_blocked_log_loses_lines_and_delays_nothing(monkeypatch):
    monkeypatch.setattr(logs, "MAX_QUEUED_LINES", 10)
    stream = Stuck()
    handler = BackgroundHandler(stream)

    begin = time.perf_counter()
    for number in range(100):
        handler.emit(record("line %d", number))
    elapsed = time.perf_counter() - begin
    handler.close()  # does not wait for a blocked writer
    stream.go.set()

    assert elapsed < 1 and 89 <= handler.dropped <= 90


def test_closing_the_log_writes_the_remaining_lines():
    stream = Stuck()
    stream.go.set()
    handler = BackgroundHandler(stream)

    for number in range(100):
        handler.emit(record("line %d", number))
    handler.close()

    assert stream.written == [b"line %d\n" % number for number in range(100)] and handler.dropped == 0


def test_a_long_line_is_written_part_by_part():
    stream = Stuck()
    stream.go.set()
    handler = BackgroundHandler(stream)

    handler.emit(record("%s", 250 * "ö" + "\udcff"))
    handler.close()

    assert [len(part) for part in stream.written] == [100] * 5 + [7]
    assert b"".join(stream.written).decode() == 250 * "ö" + "\\udcff\n"


def test_a_message_that_does_not_fit_its_arguments_is_dropped():
    handler = BackgroundHandler(Stuck())

    handler.emit(record("%d", "text"))
    handler.close()

    assert handler.dropped == 1


@pytest.mark.parametrize("access_log", [True, False])
def test_the_access_log_can_be_turned_off(access_log):
    program = (
        "import logging; from service.telemetry.logs import start_logging\n"
        f"start_logging('info', 'json', access={access_log})\n"
        "for name in ('service', 'service.access', 'elsewhere'): logging.getLogger(name).info('hello')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)

    loggers = [json.loads(line)["logger"] for line in done.stderr.splitlines()]
    assert loggers == (["service", "service.access", "elsewhere"] if access_log else ["service", "elsewhere"])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_ready(port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            with opener.open(f"http://127.0.0.1:{port}/v1/health/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the service did not become ready")


opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
CLOSE = """
import os, sys
for number in map(int, sys.argv[1].split(",")):
    os.close(number)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@pytest.mark.slow
@pytest.mark.parametrize("manner", ["closed", "full", "reader gone", "reader asleep"])
def test_the_service_works_when_its_log_is_not_read(manner, model_dir, people_jpeg):
    port = free_port()
    serve = ["-m", "depthhmr_cli", "serve", "--model-dir", str(model_dir), "--port", str(port), "--grpc-port", "0"]
    reading, writing = os.pipe()
    with open("/dev/full", "w") as full:
        command, streams = [sys.executable, *serve], {"stdout": writing, "stderr": writing}
        if manner == "closed":
            command = [sys.executable, "-c", CLOSE, "0,1,2", *serve]
        elif manner == "full":
            streams = {"stdout": full, "stderr": full}
        process = subprocess.Popen(command, **streams)
    os.close(writing)
    if manner == "reader gone":
        os.close(reading)
    try:
        wait_ready(port)
        for number in range(400):  # of 250 bytes: more than a pipe holds
            address = f"http://127.0.0.1:{port}/v1/version"
            with opener.open(urllib.request.Request(address, headers={"X-Request-ID": 100 * "a"}), timeout=5) as reply:
                assert reply.status == 200, number
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/reconstruct", people_jpeg, JPEG)
        with opener.open(request, timeout=20) as reply:
            assert len(json.load(reply)["people"]) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
        if manner != "reader gone":
            os.close(reading)


@pytest.mark.slow
def test_the_process_writes_json_when_asked(model_dir):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "depthhmr_cli", "serve", "--model-dir", str(model_dir)],
        env=os.environ | {"DEPTHHMR_PORT": str(port), "DEPTHHMR_GRPC_PORT": "0", "DEPTHHMR_LOG_FORMAT": "json"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_ready(port)
        with opener.open(f"http://127.0.0.1:{port}/v1/body?include=faces", timeout=5) as reply:
            reply.read()
        process.send_signal(signal.SIGTERM)
        _, written = process.communicate(timeout=15)
    finally:
        process.kill()

    found = [json.loads(line) for line in written.splitlines()]
    assert [(line["route"], line["status"]) for line in found if line["logger"] == "service.access"] == [
        ("/v1/body", 200)
    ]
