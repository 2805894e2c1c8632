"""What is asked again, how often, how soon, and what never is. Against servers that fail as they are told to."""

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from service.client import (
    BadReply,
    Client,
    ClientError,
    ConnectionFailed,
    DeadlineExceeded,
    KeyRefused,
    RequestRefused,
    ServiceFailed,
    ServiceUnavailable,
)
from service.client.retries import backoff_s, with_retries
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import (
    ReconstructionServiceServicer,
    add_ReconstructionServiceServicer_to_server,
)

IMAGE = b"any bytes: these servers do not look"
GOOD = {
    "request_id": "r",
    "model": {"name": "m", "version": "1", "sha256": "0", "body": {"name": "b", "version": "1", "sha256": "0"}},
    "image": {"width": 4, "height": 3},
    "camera": {"fx": 1, "fy": 1, "cx": 2, "cy": 1.5, "source": "default"},
    "frame": {"axes": "x", "units": "metres"},
    "joint_names": [],
    "people": [],
    "timings_ms": {"decode": 0, "queue": 0, "infer": 0, "post": 0},
}
OK = (200, {"Content-Type": "application/json"}, json.dumps(GOOD).encode())


def problem(status: int, code: str, headers=None, **more):
    document = {
        "type": f"urn:depthhmr:problem:{code}",
        "status": status,
        "detail": f"it is {code}",
        "request_id": "theirs",
    }
    return status, {"Content-Type": "application/problem+json", **(headers or {})}, json.dumps(document | more).encode()


def good_reply() -> pb.ReconstructResponse:
    reply = pb.ReconstructResponse(request_id="r")
    reply.reconstruction.width, reply.reconstruction.camera_source = 4, pb.CAMERA_SOURCE_DEFAULT
    return reply


def refuse(context: grpc.ServicerContext, code: grpc.StatusCode, *details) -> None:
    status = status_pb2.Status(code=code.value[0], message=f"it is {code.name}")
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.abort_with_status(rpc_status.to_status(status))


def told(reason: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain="depthhmr")


def retry_after(seconds: float) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(int(1000 * seconds))
    return info


def failing(times: int, fail) -> tuple:
    """A call that does `fail(context)` so many times and then answers; and the moments at which it was called."""
    moments: list[float] = []

    def reconstruct(request, context):
        moments.append(time.monotonic())
        if len(moments) <= times:
            fail(context)
        return good_reply()

    return reconstruct, moments


def test_unavailable_over_http_is_asked_again(fake_http):
    address = fake_http(problem(503, "overloaded"), problem(503, "starting"), OK)

    with Client(address) as client:
        assert client.reconstruct(IMAGE).width == 4

    assert len(address.seen) == 3
    assert len({headers["X-Request-ID"] for _, headers in address.seen}) == 1  # one call, one id in the service's log


def test_unavailable_over_grpc_is_asked_again(fake_grpc):
    reconstruct, moments = failing(2, lambda context: refuse(context, grpc.StatusCode.UNAVAILABLE, told("overloaded")))

    with Client(fake_grpc(Reconstruct=reconstruct)) as client:
        assert client.reconstruct(IMAGE).width == 4

    assert len(moments) == 3


def test_retry_after_is_honoured_over_http(fake_http):
    address = fake_http(problem(503, "overloaded", {"Retry-After": "1"}), OK)
    begin = time.monotonic()

    with Client(address) as client:
        client.reconstruct(IMAGE)

    assert 1.0 <= time.monotonic() - begin < 1.6


def test_retry_info_is_honoured_over_grpc(fake_grpc):
    reconstruct, moments = failing(
        1, lambda context: refuse(context, grpc.StatusCode.UNAVAILABLE, told("overloaded"), retry_after(0.6))
    )

    with Client(fake_grpc(Reconstruct=reconstruct)) as client:
        client.reconstruct(IMAGE)

    assert 0.6 <= moments[1] - moments[0] < 1.0


def test_a_pause_longer_than_the_budget_is_not_waited_for(fake_http):
    address = fake_http(problem(503, "overloaded", {"Retry-After": "60"}))
    begin = time.monotonic()

    with Client(address, timeout_s=5) as client, pytest.raises(ServiceUnavailable) as failed:
        client.reconstruct(IMAGE)

    assert time.monotonic() - begin < 2 and failed.value.retry_after_s == 60 and failed.value.reason == "overloaded"


def test_attempts_are_limited(fake_http):
    address = fake_http(problem(503, "overloaded"))

    with Client(address, attempts=3) as client, pytest.raises(ServiceUnavailable) as failed:
        client.reconstruct(IMAGE)

    assert len(address.seen) == 3 and failed.value.attempts == 3 and failed.value.request_id == "theirs"


def test_one_attempt_never_asks_again(fake_http):
    address = fake_http(problem(503, "overloaded"), OK)

    with Client(address, attempts=1) as client, pytest.raises(ServiceUnavailable):
        client.reconstruct(IMAGE)

    assert len(address.seen) == 1


@pytest.mark.parametrize(
    "status, kind",
    [
        (400, RequestRefused),
        (401, KeyRefused),
        (403, KeyRefused),
        (404, RequestRefused),
        (408, RequestRefused),
        (413, RequestRefused),
        (422, RequestRefused),
        (500, ServiceFailed),
        (502, ServiceFailed),
        (504, DeadlineExceeded),
        (302, BadReply),
    ],
)
def test_nothing_else_is_asked_again_over_http(fake_http, status, kind):
    address = fake_http(problem(status, "that"), OK)

    with Client(address) as client, pytest.raises(kind) as failed:
        client.reconstruct(IMAGE)

    assert len(address.seen) == 1 and type(failed.value) is kind
    assert (failed.value.code, failed.value.reason, failed.value.detail) == (str(status), "that", "it is that")


@pytest.mark.parametrize(
    "code, kind",
    [
        ("INVALID_ARGUMENT", RequestRefused),
        ("NOT_FOUND", RequestRefused),
        ("RESOURCE_EXHAUSTED", RequestRefused),
        ("UNIMPLEMENTED", RequestRefused),
        ("UNAUTHENTICATED", KeyRefused),
        ("PERMISSION_DENIED", KeyRefused),
        ("DEADLINE_EXCEEDED", DeadlineExceeded),
        ("INTERNAL", ServiceFailed),
        ("UNKNOWN", ServiceFailed),
        ("ABORTED", ServiceFailed),
        ("CANCELLED", ServiceFailed),
    ],
)
def test_nothing_else_is_asked_again_over_grpc(fake_grpc, code, kind):
    reconstruct, moments = failing(9, lambda context: refuse(context, grpc.StatusCode[code], told("that")))

    with Client(fake_grpc(Reconstruct=reconstruct)) as client, pytest.raises(kind) as failed:
        client.reconstruct(IMAGE)

    assert len(moments) == 1 and type(failed.value) is kind
    assert (failed.value.code, failed.value.reason, failed.value.detail) == (code, "that", f"it is {code}")


def test_a_field_that_is_wrong_is_named_over_grpc(fake_grpc):
    violation = error_details_pb2.BadRequest.FieldViolation(field="threshold", description="must lie in (0, 1]")
    fields = error_details_pb2.BadRequest(field_violations=[violation])
    reconstruct, _ = failing(9, lambda context: refuse(context, grpc.StatusCode.INVALID_ARGUMENT, fields))

    with Client(fake_grpc(Reconstruct=reconstruct)) as client, pytest.raises(RequestRefused) as failed:
        client.reconstruct(IMAGE)

    assert [(item.field, item.message) for item in failed.value.errors] == [("threshold", "must lie in (0, 1]")]


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_the_budget_holds_against_a_service_that_does_not_answer(fake_http, fake_grpc, scheme):
    def slow(*_):
        time.sleep(1.5)
        return good_reply()

    address = fake_http(slow) if scheme == "http" else fake_grpc(Reconstruct=slow)
    begin = time.monotonic()

    with Client(address) as client, pytest.raises(DeadlineExceeded, match=r"no answer within 0\.3 s|Deadline"):
        client.reconstruct(IMAGE, timeout_s=0.3)

    assert 0.25 < time.monotonic() - begin < 1.0


def test_the_service_learns_how_long_the_caller_waits(fake_http):
    address = fake_http(problem(503, "overloaded"), OK)

    with Client(address) as client:
        client.reconstruct(IMAGE, timeout_s=7)

    left = [float(path.partition("timeout_s=")[2]) for path, _ in address.seen]
    assert 6.5 < left[1] < left[0] <= 7  # attempts share one budget


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_service_that_is_not_there_is_asked_again_until_it_is(fake_http, fake_grpc, scheme):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    begin = time.monotonic()

    with Client(f"{scheme}://127.0.0.1:{port}", timeout_s=1.0) as client, pytest.raises(ConnectionFailed) as failed:
        client.reconstruct(IMAGE)

    assert failed.value.attempts > 2 and time.monotonic() - begin < 1.2
    assert f"cannot reach the service at {scheme}://127.0.0.1:{port}: " in str(failed.value)


def test_a_service_that_comes_back_in_time_is_found():
    """gRPC's own pause between connections grows far beyond a budget; ours must not."""

    class Servicer(ReconstructionServiceServicer):
        def Reconstruct(self, request, context):
            return good_reply()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with ThreadPoolExecutor(2) as pool:
        late = grpc.server(pool)
        add_ReconstructionServiceServicer_to_server(Servicer(), late)
        timer = threading.Timer(1.0, lambda: (late.add_insecure_port(f"127.0.0.1:{port}"), late.start()))
        timer.start()
        try:
            with Client(f"grpc://127.0.0.1:{port}", timeout_s=8, attempts=20) as client:
                assert client.reconstruct(IMAGE).width == 4
        finally:
            timer.join()
            late.stop(0).wait(5)


def drop(handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def half_an_answer(handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    drop(handler)


def test_a_connection_that_breaks_before_an_answer_is_asked_again(fake_http):
    address = fake_http(drop, OK)

    with Client(address) as client:
        assert client.reconstruct(IMAGE).width == 4


def test_a_connection_that_breaks_within_an_answer_is_not(fake_http):
    address = fake_http(half_an_answer, OK)

    with Client(address) as client, pytest.raises(ServiceFailed, match="broke during the response"):
        client.reconstruct(IMAGE)

    assert len(address.seen) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b'{"people": 3}', json.dumps(GOOD | {"people": [{"id": 0}]}).encode(), b"\xff\xfe"],
)
def test_an_answer_that_is_no_answer_is_told_as_such(fake_http, body):
    with (
        Client(fake_http((200, {}, body))) as client,
        pytest.raises(BadReply, match="does not have the documented form"),
    ):
        client.reconstruct(IMAGE)


def test_a_scene_that_is_no_archive_is_told_as_such(fake_http):
    with Client(fake_http((200, {}, b"PK no"))) as client, pytest.raises(BadReply, match="BadZipFile"):
        client.reconstruct(IMAGE, glb=True)


def test_wrong_shapes_in_a_message_are_told_as_such(fake_grpc):
    reply = good_reply()
    reply.reconstruction.people.add(box=[1, 2, 3])

    with Client(fake_grpc(Reconstruct=lambda *_: reply)) as client, pytest.raises(BadReply, match="shape"):
        client.reconstruct(IMAGE)


def test_bytes_that_are_no_message_are_told_as_such(fake_grpc):
    address = fake_grpc(Reconstruct=lambda *_: b"\xff" * 9)

    with Client(address) as client, pytest.raises(BadReply, match="cannot be parsed as the expected message"):
        client.reconstruct(IMAGE)


def test_a_proxy_that_answers_in_html_is_quoted(fake_http):
    address = fake_http((502, {"Content-Type": "text/html"}, b"<h1>Bad gateway</h1>"))

    with Client(address) as client, pytest.raises(ServiceFailed, match="HTTP 502: <h1>Bad gateway</h1>"):
        client.reconstruct(IMAGE)


@pytest.mark.parametrize("document", [b'{"errors": 3}', b'{"errors": [4], "retry_after_s": "soon"}', b"[1]", b'"no"'])
def test_a_strange_problem_document_is_no_crash(fake_http, document):
    with Client(fake_http((422, {}, document))) as client, pytest.raises(RequestRefused) as failed:
        client.reconstruct(IMAGE)

    assert failed.value.errors == () and failed.value.retry_after_s is None


def test_the_api_key_goes_along(fake_http, fake_grpc):
    address, keys = fake_http(OK), []

    def reconstruct(request, context):
        keys.append(dict(context.invocation_metadata())["x-api-key"])
        return good_reply()

    with Client(address, api_key="dhmr_x") as rest, Client(fake_grpc(Reconstruct=reconstruct), api_key="dhmr_y") as rpc:
        rest.reconstruct(IMAGE)
        rpc.reconstruct(IMAGE)

    assert (address.seen[0][1]["X-API-Key"], keys) == ("dhmr_x", ["dhmr_y"])


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"])
def test_an_api_key_that_no_header_can_hold_is_refused(key):
    with pytest.raises(ClientError, match="printable ASCII") as refused:
        Client("http://127.0.0.1:9", api_key=key)

    assert key == "" or key not in str(refused.value)


def test_pauses_grow_and_are_spread():
    assert [backoff_s(number, None, lambda: 1.0) for number in (1, 2, 3, 9)] == [0.1, 0.2, 0.4, 2.0]
    assert backoff_s(1, None, lambda: 0.0) == 0.05
    assert backoff_s(1, 3.0, lambda: 0.0) == 3.0 and backoff_s(1, 3.0, lambda: 1.0) == pytest.approx(3.1)


@pytest.mark.anyio
async def test_a_call_that_is_cancelled_is_not_asked_again():
    asked = []

    async def attempt(left_s: float) -> None:
        asked.append(left_s)
        await asyncio.sleep(10)

    task = asyncio.create_task(with_retries(attempt, timeout_s=20, attempts=5))
    await asyncio.sleep(0.05)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asked) == 1


def test_asked_too_often_is_a_matter_of_time_over_http(fake_http):
    address = fake_http(problem(429, "rate-limited"), OK)

    with Client(address) as client:
        client.reconstruct(IMAGE)

    assert len(address.seen) == 2
