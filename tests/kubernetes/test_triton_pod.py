"""Triton's pod against a real Triton: its command line starts one, and its probes see it live, busy, hung and dead."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bodykit.errors import UserError
from bodykit.manifest import Manifest
from depthhmr_cli.local_triton import LocalTriton, find_server

pytestmark = pytest.mark.triton

REPOSITORY = Path(__file__).parents[2]
PROBE = REPOSITORY / "kubernetes" / "components" / "triton-probe" / "infer.py"
MODEL = REPOSITORY / "model_repository" / "depthhmr"
SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse, status SERVING


@pytest.fixture(scope="module", autouse=True)
def server_there() -> Path:
    try:
        return find_server()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def triton(gpu, server_there) -> Iterator[LocalTriton]:
    with PodTriton(gpu.pod("depthhmr-triton").spec["containers"][0]) as server:
        yield server.start()


@pytest.fixture
def mortal(server_there) -> Iterator[LocalTriton]:
    """A Triton of one's own, to be ruined."""
    with LocalTriton(MODEL) as server:
        yield server.start()


@pytest.fixture
def infer() -> ModuleType:
    """The probe as a module, fresh for each test."""
    spec = importlib.util.spec_from_file_location("triton_probe", PROBE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class PodTriton(LocalTriton):
    """A Triton started by the pod's own command line. Other than there: the program's place, the repository, the ports,
    loopback everywhere, and the Python backend, for this Triton has no TensorRT.
    """

    def __init__(self, container: dict) -> None:
        super().__init__(MODEL)
        self._container = container

    def _command(self) -> list[str]:
        program = str(self._home / "bin" / "tritonserver")
        command = [part.replace("/opt/tritonserver/bin/tritonserver", program) for part in self._container["command"]]
        here = {
            "--model-repository": self._repository,
            "--grpc-port": self.grpc_port,
            "--http-port": self.http_port,
            "--metrics-port": self.metrics_port,
        }
        theirs = [part for part in self._container["args"] if part.partition("=")[0] not in here]
        local = [part for part in super()._command() if part.startswith(("--backend", "--model-config", "--pinned"))]
        addresses = ["--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1"]
        return [*command, *theirs, *(f"{name}={value}" for name, value in here.items()), *local, *addresses]


def probe(server: LocalTriton) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-I", "-S", str(PROBE), "depthhmr", str(server.http_port)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def grpc_health(server: LocalTriton) -> bytes:
    """What the node's agent asks for a `grpc` probe: the standard health service, without a name."""
    import grpc

    with grpc.insecure_channel(server.url) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        return check(b"", timeout=5)


def test_the_command_line_of_the_pod_starts_a_triton(triton: LocalTriton) -> None:
    assert triton.ready()


def test_readiness_is_a_call_that_triton_answers(triton: LocalTriton) -> None:
    assert grpc_health(triton) == SERVING


def test_the_gateway_may_infer_and_nobody_may_load_models(triton: LocalTriton) -> None:
    import tritonclient.grpc as client
    from tritonclient.utils import InferenceServerException

    with client.InferenceServerClient(triton.url) as connection:
        assert images_and_cameras_come_back(connection)
        with pytest.raises(InferenceServerException, match="restricted"):
            connection.unload_model("depthhmr")


def test_metrics_that_the_autoscaler_and_the_alerts_name_are_there(triton: LocalTriton, production) -> None:
    with urllib.request.urlopen(triton.metrics_url, timeout=10) as reply:
        written = set(re.findall(r"^(nv_\w+)\{[^}]*model=\"depthhmr\"", reply.read().decode(), re.MULTILINE))
    text = str(production.of("HorizontalPodAutoscaler") + production.of("PrometheusRule"))

    named = set(re.findall(r"\bnv_\w+", text))

    assert "nv_inference_pending_request_count" in named
    assert named - written == set()


def test_liveness_is_content_with_a_living_model(triton: LocalTriton) -> None:
    answer = probe(triton)

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "answered in" in answer.stdout


def test_liveness_takes_a_refusal_for_life_when_others_are_answered(triton: LocalTriton, infer, capsys) -> None:
    infer.QUEUE_US = 1  # no patience: whenever another request runs, this one is refused
    with traffic(triton):
        outcomes = [infer.main("depthhmr", triton.http_port) for _ in range(20)]
    said = capsys.readouterr().out

    assert outcomes == [0] * 20, said
    assert "is busy" in said, "nothing was refused, so nothing was tested"


def test_liveness_fails_when_all_are_refused_for_long(triton: LocalTriton, infer, capsys) -> None:
    infer.QUEUE_US, infer.LATELY_S = 1, -1.0
    with traffic(triton):
        outcomes = {infer.main("depthhmr", triton.http_port) for _ in range(20)}

    assert 1 in outcomes and "does not answer: 503" in capsys.readouterr().out


def test_liveness_fails_for_a_dead_model_while_triton_says_ready(mortal: LocalTriton) -> None:
    for pid in mortal.stubs():
        os.kill(pid, signal.SIGKILL)

    answer = probe(mortal)

    assert mortal.ready() and grpc_health(mortal) == SERVING
    assert answer.returncode == 1 and "500" in answer.stdout, answer.stdout + answer.stderr


def test_liveness_fails_for_a_server_that_hangs(mortal: LocalTriton) -> None:
    mortal.signal(signal.SIGSTOP)

    answer = probe(mortal)

    assert answer.returncode == 1 and "timed out" in answer.stdout, answer.stdout + answer.stderr


def test_liveness_fails_where_there_is_no_server(mortal: LocalTriton) -> None:
    mortal.kill()

    answer = probe(mortal)

    assert answer.returncode == 1 and "refused" in answer.stdout


def test_liveness_fails_for_a_model_that_is_not_there(triton: LocalTriton, infer, capsys) -> None:
    assert infer.main("nobody", triton.http_port) == 1
    assert "nobody does not answer" in capsys.readouterr().out


def test_the_probe_gives_its_reason_before_the_kubelet_loses_patience(gpu, infer) -> None:
    seconds = gpu.pod("depthhmr-triton").spec["containers"][0]["livenessProbe"]["timeoutSeconds"]

    assert seconds > infer.ASK_S + infer.INFER_S + infer.ASK_S
    assert infer.QUEUE_US / 1e6 < infer.INFER_S


class traffic:
    """Four clients that never pause."""

    def __init__(self, server: LocalTriton) -> None:
        self._server, self._over = server, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()
        self._over.wait(0.3)  # until they are at it

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(20)

    def _ask(self) -> None:
        import tritonclient.grpc as client

        with client.InferenceServerClient(self._server.url) as connection:
            while not self._over.is_set():
                images_and_cameras_come_back(connection)


def images_and_cameras_come_back(connection) -> bool:
    import tritonclient.grpc as client

    inputs, side = [], Manifest.read(REPOSITORY / "model_repository" / "depthhmr").input_size
    for name, dtype, array in (
        ("image", "UINT8", np.zeros((1, side, side, 3), np.uint8)),
        ("intrinsics", "FP32", np.array([[side, side, side / 2, side / 2]], np.float32)),
    ):
        inputs.append(client.InferInput(name, array.shape, dtype))
        inputs[-1].set_data_from_numpy(array)
    return connection.infer("depthhmr", inputs, client_timeout=20).as_numpy("scores").shape[0] == 1
