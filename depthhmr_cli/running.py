"""The real service in a process of its own, for commands that try it from outside, and what they send to it."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bodykit.errors import UserError

DEMO_IMAGE = Path(__file__).parents[1] / "demo" / "people.jpg"
MEDIA_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}

READY_TIMEOUT = 120.0  # seconds; a start takes 3, but the very first one compiles the rasteriser
STOP_TIMEOUT = 15.0

# The machine's own proxy settings must not catch requests to this machine.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class RunningService:
    """A service that is ready."""

    port: int
    pid: int
    ready_s: float  # from the start of the process until it said that it is ready

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def read_image(path: Path) -> tuple[bytes, str]:
    """The bytes of an image file and the media type that its name says."""
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise UserError(f"the image must be a .jpg, .png or .webp file, got {path}")
    try:
        return path.read_bytes(), media_type
    except OSError as error:
        raise UserError(f"cannot read the image {path}: {error.strerror}") from error


@contextmanager
def running_service(log: Path) -> Iterator[RunningService]:
    """Start the service on a free port, wait until it is ready, and stop it at the end. Its output goes to `log`."""
    port = free_port()
    command = [sys.executable, "-m", "depthhmr_cli", "serve", "--host", "127.0.0.1", "--port", str(port)]
    begin = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until_ready(process, port, log)
        yield RunningService(port, process.pid, time.perf_counter() - begin)
    finally:
        stop(process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Return when the service says that it is ready; raise with the end of its log when it ends or takes too long."""
    deadline = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"the service ended at its start with status {process.returncode}:\n{last_lines(log)}")
        try:
            with opener.open(f"http://127.0.0.1:{port}/v1/health/ready", timeout=5):
                return
        except OSError:  # not listening yet, or 503: not ready yet
            time.sleep(0.05)
    raise UserError(f"the service was not ready after {READY_TIMEOUT:.0f} s:\n{last_lines(log)}")


def last_lines(log: Path, count: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask the process to end, and end it when it does not."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
