"""Starts the real process in adverse conditions, sends it requests and signals, and kills it."""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

WAIT_S = 60.0  # for what takes a second on a quiet machine
READY = re.compile(r"ready at https?://127\.0\.0\.1:(\d+), gRPC 127\.0\.0\.1:(\d+)")
JPEG = {"Content-Type": "image/jpeg"}


class Process:
    """`depthhmr serve ARGUMENTS`. Its output is read all the time, so it never blocks."""

    def __init__(self, arguments: Sequence[str], prefix: Sequence[str], variables: Mapping[str, str], limits) -> None:
        command = [*prefix, sys.executable, "-m", "depthhmr_cli", "serve", *arguments]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NO_PROXY": "127.0.0.1", **variables},
            preexec_fn=limits,
        )
        self._out: list[str] = []
        self._error: list[str] = []
        self._readers = [
            threading.Thread(target=into.extend, args=(stream,), daemon=True)
            for into, stream in ((self._out, self._process.stdout), (self._error, self._process.stderr))
        ]
        for reader in self._readers:
            reader.start()
        self.pid = self._process.pid
        self.port = self.grpc_port = 0

    @property
    def out(self) -> str:
        return "".join(self._out)

    @property
    def error(self) -> str:
        return "".join(self._error)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def until_ready(self) -> "Process":
        self.until(lambda: READY.search(self.out) or not self.running)
        found = READY.search(self.out)
        assert found, self.out + self.error
        self.port, self.grpc_port = int(found[1]), int(found[2])
        return self

    def until(self, happened: Callable[[], object]) -> None:
        end = time.monotonic() + WAIT_S
        while not happened():
            assert time.monotonic() < end, self.out + self.error
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def ended(self) -> int:
        """Wait for the end of the process and of its output; the exit status."""
        status = self._process.wait(WAIT_S)
        for reader in self._readers:
            reader.join(WAIT_S)
        return status

    def kill(self) -> None:
        self._process.kill()
        self.ended()
        self._process.stdout.close()
        self._process.stderr.close()

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None):
        """Status, headers and body of the response, over a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def people(self, photo: bytes) -> int:
        """How many people the service finds."""
        status, _, body = self.ask("POST", "/v1/reconstruct", photo, JPEG)
        assert status == 200, body
        return len(json.loads(body)["people"])


@pytest.fixture
def start(model_dir: Path) -> Iterator[Callable[..., Process]]:
    """Starts a service on free ports: `start(*arguments, prefix=..., limits=..., DEPTHHMR_...=...)`."""
    with ExitStack() as stack:

        def make(*arguments: str, prefix: Sequence[str] = (), limits=None, folder=model_dir, **variables) -> Process:
            ports = ("--host", "127.0.0.1", "--port", "0", "--grpc-port", "0")
            process = Process(("--model-dir", str(folder), *ports, *arguments), prefix, variables, limits)
            stack.callback(process.kill)
            return process

        yield make


@pytest.fixture(scope="session")
def endless_network(tmp_path_factory, changed_model) -> Path:
    """A model folder whose network never ends on a picture with a bright spot."""
    from onnx import TensorProto, helper, numpy_helper

    def loop(graph) -> None:
        flag = helper.make_tensor_value_info("going", TensorProto.BOOL, [])
        goes_on = helper.make_tensor_value_info("go_on", TensorProto.BOOL, [])
        number = helper.make_tensor_value_info("round", TensorProto.INT64, [])
        body = helper.make_graph(
            [helper.make_node("Identity", ["going"], ["go_on"])], "body", [number, flag], [goes_on]
        )
        scale = helper.make_node("ReduceMax", ["means"], ["brightest"], keepdims=0)
        compare = helper.make_node("Greater", ["brightest", "hundred"], ["is_bright"])
        graph.initializer.append(numpy_helper.from_array(np.float32(100), "hundred"))
        carried = helper.make_tensor_value_info("carried", TensorProto.FLOAT, None)
        kept = helper.make_tensor_value_info("kept", TensorProto.FLOAT, None)
        body.node.append(helper.make_node("Identity", ["carried"], ["kept"]))
        body.input.append(carried)
        body.output.append(kept)
        for node in graph.node:  # later nodes use the means from inside the loop
            node.input[:] = ["looped" if name == "means" else name for name in node.input]
        place = next(index for index, node in enumerate(graph.node) if node.output[0] == "means") + 1
        ends = helper.make_node("Loop", ["", "is_bright", "means"], ["looped"], body=body)
        for offset, node in enumerate((scale, compare, ends)):
            graph.node.insert(place + offset, node)

    return changed_model(tmp_path_factory.mktemp("endless") / "tiny", loop)


@pytest.fixture(scope="session", name="private_mounts")
def private_mounts_maker() -> Callable[[str], list[str]]:
    return private_mounts


def private_mounts(script: str) -> list[str]:
    """A command prefix that runs in a private mount namespace prepared by `script`; empty where that is not allowed."""
    prefix = ["unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh"]
    try:
        allowed = subprocess.run([*prefix, "true"], capture_output=True, timeout=WAIT_S).returncode == 0
    except FileNotFoundError:
        allowed = False
    return prefix if allowed else []
