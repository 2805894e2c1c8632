"""The real service in a process of its own, for the commands that try it from outside."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bodykit.errors import UserError

HERE = Path(__file__).resolve().parent
# Beside the source tree, or in the wheel.
DEMO_IMAGE = next(
    (path for path in (HERE.parent / "demo" / "people.jpg", HERE / "shipped" / "people.jpg") if path.is_file()),
    Path("demo/people.jpg"),
)
LOCKS = ("DEPTHHMR_TLS_", "DEPTHHMR_API_KEYS_", "DEPTHHMR_JWT_", "DEPTHHMR_RATE_")
STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class RunningService:
    """A service that is ready."""

    port: int
    grpc_port: int
    pid: int
    start_s: float  # from the start of the process until then

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def plain_environment() -> dict[str, str]:
    """The environment for a service that a command starts for itself: this one, without settings that would lock out a local
    client, and without a log line per request.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(LOCKS)}
    return environment | {"DEPTHHMR_ACCESS_LOG": "false"}


@contextmanager
def running_service(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[RunningService]:
    """`depthhmr serve ARGUMENTS` on free ports of this machine, ready; stopped when the block is left. It gets this
    environment unless another is given.
    """
    command = [sys.executable, "-m", "depthhmr_cli", "serve", "--host", "127.0.0.1", "--port", "0", "--grpc-port", "0"]
    command += arguments
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout
        first_line = process.stdout.readline()
        start = time.perf_counter() - begin
        found = re.search(r"ready at http://127\.0\.0\.1:(\d+), gRPC 127\.0\.0\.1:(\d+)", first_line)
        if not found:
            raise UserError("the service did not start; its own message stands above")
        yield RunningService(int(found[1]), int(found[2]), process.pid, start)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
