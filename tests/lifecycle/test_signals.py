"""What each signal does at each stage of the process."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bodykit.manifest import ONNX_PATH
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub

pytestmark = pytest.mark.slow

JPEG = {"Content-Type": "image/jpeg"}
SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture
def unreadable_model(model_dir: Path, tmp_path: Path) -> Path:
    """A model folder whose network is a pipe that is never written to: reading it does not end."""
    folder = tmp_path / "tiny"
    shutil.copytree(model_dir, folder)
    (folder / ONNX_PATH).unlink()
    os.mkfifo(folder / ONNX_PATH)
    return folder


def half_request(port: int, photo: bytes) -> http.client.HTTPConnection:
    """A running request whose body has arrived in part."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", "/v1/reconstruct")
    connection.putheader("Content-Type", "image/jpeg")
    connection.putheader("Content-Length", str(len(photo)))
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    assert connection.sock.recv(1000).startswith(b"HTTP/1.1 100")  # the service waits for the body
    connection.send(photo[:100])
    return connection


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_the_network_is_loaded_ends_the_process_at_once(start, unreadable_model, number):
    process = start(folder=unreadable_model)
    with (unreadable_model / ONNX_PATH).open("wb"):  # opens once the service reads
        process.signal(number)

        assert process.ended() == 0
    assert f"stopped by {number.name} before it was ready" in process.out and "Traceback" not in process.error


def test_a_signal_while_triton_is_waited_for_ends_the_process(start):
    process = start("--engine", "triton", "--triton-url", "127.0.0.1:1")
    process.until(lambda: "does not answer yet" in process.error or not process.running)

    process.signal(signal.SIGTERM)

    assert process.ended() == 0
    assert "does not answer yet: the engine cannot be reached at 127.0.0.1:1 (DEPTHHMR_TRITON_URL" in process.error
    assert "depthhmr stopped" in process.out and "Traceback" not in process.error


def test_after_sigterm_readiness_goes_and_requests_are_still_taken(start, people_jpeg):
    process = start(DEPTHHMR_DRAIN_DELAY_S="300").until_ready()
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        health, stub = health_pb2_grpc.HealthStub(channel), ReconstructionServiceStub(channel)
        process.until(lambda: status_of(health) == health_pb2.HealthCheckResponse.SERVING)

        process.signal(signal.SIGTERM)
        process.until(lambda: process.ask("GET", "/v1/health/ready")[0] == 503)

        assert json.loads(process.ask("GET", "/v1/health/ready")[2])["type"].endswith(":draining")
        process.until(lambda: status_of(health) == health_pb2.HealthCheckResponse.NOT_SERVING)
        assert process.ask("GET", "/v1/health/live")[0] == 200
        assert process.ask("GET", "/v1/health/startup")[0] == 200
        assert process.people(people_jpeg) == 2  # over a new connection
        found = stub.Reconstruct(pb.ReconstructRequest(image=people_jpeg), timeout=60).reconstruction
        assert len(found.people) == 2
        requests = iter([pb.ReconstructStreamRequest(config=pb.StreamConfig())])
        assert next(stub.ReconstructStream(requests, timeout=60)).WhichOneof("message") == "ready"
    assert process.running


def status_of(health: health_pb2_grpc.HealthStub) -> int:
    return health.Check(health_pb2.HealthCheckRequest(), timeout=60).status


def test_after_the_delay_running_requests_finish_and_new_ones_are_refused(start, people_jpeg):
    process = start(DEPTHHMR_DRAIN_DELAY_S="1", DEPTHHMR_SHUTDOWN_TIMEOUT_S="60").until_ready()
    connection = half_request(process.port, people_jpeg)

    process.signal(signal.SIGTERM)
    process.until(lambda: refuses(process.port) and refuses(process.grpc_port))
    connection.send(people_jpeg[100:])

    assert len(json.loads(connection.getresponse().read())["people"]) == 2
    connection.close()
    assert process.ended() == 0
    assert process.out.endswith("depthhmr stopped\n") and "Traceback" not in process.error


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return True
    return False


def test_a_request_longer_than_the_grace_period_is_cut_off_and_the_process_ends(start, people_jpeg):
    process = start(DEPTHHMR_SHUTDOWN_TIMEOUT_S="1").until_ready()
    connection = half_request(process.port, people_jpeg)

    process.signal(signal.SIGTERM)

    answer = connection.getresponse()
    assert answer.status == 503 and json.loads(answer.read())["type"].endswith(":draining")
    connection.close()
    assert process.ended() == 0 and "Traceback" not in process.error


@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_ends_the_process_at_once(start, people_jpeg, second):
    process = start(DEPTHHMR_DRAIN_DELAY_S="300").until_ready()
    connection = half_request(process.port, people_jpeg)
    process.signal(signal.SIGTERM)
    process.until(lambda: process.ask("GET", "/v1/health/ready")[0] == 503)

    process.signal(second)

    assert process.ended() == 1
    assert f"depthhmr ends at once: {second.name} came a second time" in process.out
    with pytest.raises(OSError):
        connection.getresponse()


def test_a_terminal_that_closes_is_a_signal_like_others(start):
    process = start().until_ready()

    process.signal(signal.SIGHUP)

    assert process.ended() == 0 and "depthhmr stopped" in process.out


def test_with_nohup_the_service_outlives_its_terminal(start, people_jpeg):
    process = start(limits=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)).until_ready()

    process.signal(signal.SIGHUP)

    assert process.people(people_jpeg) == 2


def test_a_network_that_never_ends_does_not_keep_the_process(start, endless_network, people_jpeg):
    """The image's deadline passes, but the library's thread never ends; SIGTERM must still end the process."""
    arguments = ("--request-timeout-s", "1")
    process = start(*arguments, folder=endless_network, DEPTHHMR_SHUTDOWN_TIMEOUT_S="1").until_ready()
    assert process.ask("POST", "/v1/reconstruct", people_jpeg, JPEG)[0] == 504

    process.signal(signal.SIGTERM)

    assert process.ended() == 0
    assert "depthhmr ends: requests were still running" in process.out


STOPPING = """
import atexit, os, signal, sys, threading
atexit.register(print, "teardown")
from service.process import shutdown
from service.telemetry import logs
say = logs.say
import service.serve
def say_and_stop(line):
    say(line)
    if " is ready at " in line:
        os.kill(os.getpid(), signal.SIGTERM)
service.serve.say = say_and_stop
from depthhmr_cli.main import main
main(["serve", "--port", "0", "--grpc-port", "0", "--model-dir", sys.argv[1]])
"""


def test_a_service_that_has_stopped_does_not_live_on(model_dir):
    """Python's own teardown took seconds with the libraries of traces and engine loaded."""
    done = subprocess.run(
        [sys.executable, "-c", STOPPING, str(model_dir)],
        env=os.environ | {"DEPTHHMR_TRACES": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "depthhmr stopped", done.stderr
