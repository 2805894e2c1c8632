"""The real process on a free port of this machine, from its first line to its last."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

pytestmark = pytest.mark.slow

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen]:
    """`depthhmr serve` with pipes; ended when the block is left."""
    command = [sys.executable, "-m", "depthhmr_cli", "serve", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


@contextmanager
def service(model_dir, *arguments: str) -> Iterator[tuple[subprocess.Popen, int]]:
    """A ready service and its port."""
    with process("--model-dir", str(model_dir), "--port", "0", "--grpc-port", "0", *arguments) as started:
        line = started.stdout.readline()
        found = re.search(r"ready at http://127\.0\.0\.1:(\d+)", line)
        assert found, line + started.stderr.read()
        yield started, int(found[1])


def request(port: int, method: str, path: str, body=None, headers=None) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def port(model_dir) -> Iterator[int]:
    with service(model_dir) as (_, opened):
        yield opened


def test_a_photo_comes_back_as_people(port, people_jpeg):
    status, headers, body = request(port, "POST", "/v1/reconstruct", people_jpeg, {"Content-Type": "image/jpeg"})

    assert status == 200 and len(json.loads(body)["people"]) == 2 and headers["x-request-id"]


def test_the_service_is_ready_once_it_says_so(port):
    assert request(port, "GET", "/v1/health/ready")[0] == 200


def test_thirty_megabytes_are_refused_before_they_are_read(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/reconstruct HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 30000000\r\n\r\n"
        )
        answer = connection.recv(65536)  # not one byte of the body has been sent

    assert answer.startswith(b"HTTP/1.1 413 ") and b"application/problem+json" in answer


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_thirty_megabytes_at_once_can_read_the_answer(port, chunked):
    body = (bytes(2**20) for _ in range(30)) if chunked else bytes(30_000_000)

    status, headers, answer = request(port, "POST", "/v1/reconstruct", body, {"Content-Type": "image/jpeg"})

    assert status == 413 and json.loads(answer)["type"].endswith("body-too-large") and headers["connection"] == "close"


@pytest.mark.parametrize(
    "bad",
    [
        b"POST /v1/reconstruct HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nshort",
        b"POST /v1/reconstruct HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/reconstruct HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000,
        b"",
    ],
    ids=["leaves early", "negative length", "bad chunk", "TLS", "endless headers", "says nothing"],
)
def test_a_broken_client_does_no_harm(port, people_jpeg, bad):
    # The service may hang up first.
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, suppress(OSError):
        connection.sendall(bad)

    assert request(port, "POST", "/v1/reconstruct", people_jpeg, {"Content-Type": "image/jpeg"})[0] == 200


def test_sigterm_lets_the_running_request_finish(model_dir, people_jpeg):
    with service(model_dir) as (started, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.putrequest("POST", "/v1/reconstruct")
        connection.putheader("Content-Type", "image/jpeg")
        connection.putheader("Content-Length", str(len(people_jpeg)))
        connection.endheaders(people_jpeg[:100])
        time.sleep(0.2)

        started.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        connection.send(people_jpeg[100:])

        assert connection.getresponse().status == 200
        connection.close()
        out, error = started.communicate(timeout=STOP_TIMEOUT_S)
        assert started.returncode == 0 and "stopped" in out and "Traceback" not in error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_service_stops_at_once(model_dir, number):
    with service(model_dir) as (started, _):
        begin = time.monotonic()
        started.send_signal(number)

        started.communicate(timeout=STOP_TIMEOUT_S)

        assert started.returncode == 0 and time.monotonic() - begin < 5


def test_a_port_in_use_is_a_clear_error(model_dir):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        with process("--model-dir", str(model_dir), "--port", port) as started:
            _, error = started.communicate(timeout=START_TIMEOUT_S)

    assert started.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use; choose another with --port" in error
    assert "Traceback" not in error


def test_a_missing_model_is_a_clear_error(tmp_path):
    with process("--model-dir", str(tmp_path), "--port", "0") as started:
        _, error = started.communicate(timeout=START_TIMEOUT_S)

    assert started.returncode == 2 and "manifest.json is missing" in error and "Traceback" not in error


def test_the_service_starts_without_torch_and_without_numba(model_dir):
    script = (
        "import sys; sys.modules['torch'] = None; sys.modules['numba'] = None\n"
        "from service.serve import open_core; from service.settings import load_settings\n"
        "from service.rest.app import create_app\n"
        "create_app(open_core(load_settings()), max_body_bytes=1024)\n"
    )
    environment = {**os.environ, "DEPTHHMR_MODEL_DIR": str(model_dir)}

    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
