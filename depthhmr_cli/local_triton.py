"""A real Triton server on this machine, without containers: the one inside the package nvidia-pytriton.

It has Triton's protocol, queue, batching and failures, but only its Python backend, which runs
`service/engines/triton_model.py`. Loopback only. `scripts/install-triton` installs it.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from bodykit.errors import UserError
from bodykit.manifest import Manifest

HOST = "127.0.0.1"
CONFIG_NAME = "pybe"
READY_TIMEOUT_S = 90.0  # 1 s on a quiet machine, 12 s on a busy one
STOP_TIMEOUT_S = 20.0
SHARED_MEMORY_BYTES = 16 * 2**20  # per model instance, and by how much it grows: a batch of 8 pictures is 0.6 MB
# Output of a stub that cannot start. Triton itself notices only after stub-timeout-seconds.
FATAL = (b"error while loading shared libraries",)
# How the Python backend at times ends the server, at its start or under load: a fault of its own (server#8882), seen at one
# start in about fifty on a busy machine. A supervisor would restart the server, and so does this.
CRASH = b"boost::interprocess::lock_exception"
STARTS = 3

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def find_server() -> Path:
    """The folder of the bundled server. Raises UserError if it is missing or cannot run this Python."""
    spec = importlib.util.find_spec("pytriton")  # finds without importing, so its requirements are not needed
    if spec is None or not spec.submodule_search_locations:
        raise UserError("there is no Triton server here; in a checkout, scripts/install-triton installs one")
    home = Path(next(iter(spec.submodule_search_locations))) / "tritonserver"
    if shutil.which("setpriv") is None:
        raise UserError("the bundled Triton server needs Linux with util-linux (setpriv)")
    if not stub_of(home).exists():
        raise UserError(f"the bundled Triton server cannot run models for {python_version()} (no stub for it)")
    return home


def python_version() -> str:
    return f"Python {sys.version_info.major}.{sys.version_info.minor}"


def stub_of(home: Path) -> Path:
    """The program that runs a Python model; there is one per Python version."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return home / "python_backend_stubs" / version / "triton_python_backend_stub"


class LocalTriton:
    """One server that can be started, stopped, killed and started again, always on the same three ports.

    Serves the one model in `model_dir`, whose folder must have the model's name. Leaving the `with` block stops everything
    that was started.
    """

    def __init__(self, model_dir: Path, *, config_name: str = CONFIG_NAME, grpc_port: int = 0) -> None:
        model_dir = Path(model_dir).resolve()
        self.model = Manifest.read(model_dir).name
        if not (model_dir / "configs" / f"{config_name}.pbtxt").is_file():
            raise UserError(f"{model_dir} lacks configs/{config_name}.pbtxt; `depthhmr triton files` writes it")
        if model_dir.name != self.model:
            raise UserError(
                f"Triton wants the folder to bear the model's name {self.model!r}, it is {model_dir.name!r}"
            )
        self._repository, self._config_name = model_dir.parent, config_name
        self._home = find_server()
        self._work = Path(tempfile.mkdtemp(prefix="triton-"))
        self.log = self._work / "log"
        self.grpc_port, self.http_port, self.metrics_port = free_ports(grpc_port, 0, 0)
        self._process: subprocess.Popen[bytes] | None = None
        self._shared_memory = ""
        self._link_backend()

    def __enter__(self) -> "LocalTriton":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._work, ignore_errors=True)

    @property
    def url(self) -> str:
        """host:port of its gRPC."""
        return f"{HOST}:{self.grpc_port}"

    @property
    def metrics_url(self) -> str:
        return f"http://{HOST}:{self.metrics_port}/metrics"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> "LocalTriton":
        """Starts it and waits until it is ready. Raises UserError with the end of its log otherwise."""
        for last in range(STARTS - 1, -1, -1):
            begin = self.log.stat().st_size if self.log.exists() else 0
            self.begin()
            try:
                self.wait_ready()
                break
            except UserError:
                if not last or CRASH not in self.log.read_bytes()[begin:]:
                    raise
        return self

    def begin(self) -> None:
        """Starts it without waiting."""
        self._shared_memory = f"triton-{uuid.uuid4().hex[:8]}"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        assert self._process
        end = time.monotonic() + READY_TIMEOUT_S
        while not self.ready():
            failed = any(line in self.log.read_bytes() for line in FATAL)
            if failed or self._process.poll() is not None or time.monotonic() > end:
                text = self.log.read_text(errors="replace")
                self.kill()
                raise UserError(f"the Triton server did not become ready; its log ends with\n{text[-3000:]}")
            time.sleep(0.05)

    def ready(self) -> bool:
        try:
            with opener.open(f"http://{HOST}:{self.http_port}/v2/health/ready", timeout=1) as reply:
                return bool(reply.status == 200)
        except OSError:  # urllib's errors as well
            return False

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit status; kills what has not ended after `STOP_TIMEOUT_S`."""
        assert self._process
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT_S)
        return self.kill()

    def kill(self) -> int:
        """Sends SIGKILL to the server and its stubs alone, and frees the shared memory that they leave behind."""
        if self._process is None:
            return 0
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # the group is its own session
        status = self._process.wait()
        for leak in Path("/dev/shm").glob(f"{self._shared_memory}*"):
            leak.unlink(missing_ok=True)
        self._process = None
        return status

    def signal(self, number: int) -> None:
        """Sends a signal to the server and its stubs (SIGSTOP, SIGCONT)."""
        os.killpg(self.pid, number)

    def stubs(self) -> list[int]:
        """Process ids of the stubs."""
        return [pid for pid in _children(self.pid) if "triton_python" in _program(pid)]

    def _link_backend(self) -> None:
        """A backend folder with the stub of this Python. Links, as a copy would not find the libraries beside it."""
        folder = self._work / "backends" / "python"
        folder.mkdir(parents=True)
        backend = self._home / "backends" / "python"
        for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
            (folder / name).symlink_to(backend / name)
        stub = stub_of(self._home)
        (folder / stub.name).symlink_to(stub)

    def _command(self) -> Sequence[str]:
        python = {
            "shm-default-byte-size": SHARED_MEMORY_BYTES,
            "shm-growth-byte-size": SHARED_MEMORY_BYTES,
            "shm-region-prefix-name": self._shared_memory,
            "stub-timeout-seconds": 60,
        }
        return [
            # The server must not outlive the program that started it, however that ends.
            *("setpriv", "--pdeathsig", "TERM", "--"),
            str(self._home / "bin" / "tritonserver"),
            f"--model-repository={self._repository}",
            f"--model-config-name={self._config_name}",
            f"--backend-directory={self._work / 'backends'}",
            "--disable-auto-complete-config",
            "--model-control-mode=explicit",  # there may be other folders beside this model
            f"--load-model={self.model}",
            "--exit-timeout-secs=5",
            "--allow-gpu-metrics=false",
            "--pinned-memory-pool-byte-size=0",
            *(f"--backend-config=python,{name}={value}" for name, value in python.items()),
            # Without all three addresses it listens on every network.
            *(f"--{name}-address={HOST}" for name in ("grpc", "http", "metrics")),
            f"--grpc-port={self.grpc_port}",
            f"--http-port={self.http_port}",
            f"--metrics-port={self.metrics_port}",
            "--log-format=ISO8601",
        ]

    def _environment(self) -> dict[str, str]:
        """The first python3 on PATH determines where the stub looks for packages; the library must be of this Python."""
        cleared = ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD")
        environment = {name: value for name, value in os.environ.items() if name not in cleared}
        environment["PATH"] = f"{Path(sys.prefix) / 'bin'}:{environment.get('PATH', '/usr/bin:/bin')}"
        folder = sysconfig.get_config_var("LIBDIR")
        if folder and list(Path(folder).glob("libpython3*.so*")):
            environment["LD_LIBRARY_PATH"] = folder
        return environment


def free_ports(*wanted: int) -> list[int]:
    """Ports of this machine; 0 takes any free one. They are found together, so that all differ."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(_bound(port)) for port in wanted]
        return [listener.getsockname()[1] for listener in listeners]


@contextlib.contextmanager
def _bound(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise UserError(f"port {port} of {HOST} cannot be had: {error.strerror}") from error
        yield listener


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""
