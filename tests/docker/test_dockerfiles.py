"""The Dockerfiles and the small programs inside the images."""

import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCKER = REPOSITORY / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")

    result = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, timeout=60)

    assert (result.returncode, result.stdout) == (0, "")


def test_hadolint_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM debian:latest\nRUN cd /tmp && apt-get install curl\n")
    hadolint = Path(sys.executable).with_name("hadolint")

    result = subprocess.run([hadolint, tmp_path / "Dockerfile"], capture_output=True, text=True, timeout=60)

    assert result.returncode == 1
    assert "DL3007" in result.stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_a_build_asks_a_registry_for_its_base_and_nothing_else(dockerfile: Path) -> None:
    lines = dockerfile.read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    stages = [line.split()[3] for line in lines if line.startswith("FROM ") and " AS " in line]

    assert not [line for line in lines if line.lower().replace(" ", "").startswith("#syntax=")]
    assert {base for base in bases if base not in stages} <= {"${PYTHON_IMAGE}", "${TENSORRT_IMAGE}"}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_image_runs_as_a_user_without_a_name_of_power(dockerfile: Path) -> None:
    users = [line for line in dockerfile.read_text().splitlines() if line.startswith("USER ")]

    assert users == ["USER 10001:10001"]


def test_the_builder_is_sent_what_is_named_and_nothing_else() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]

    assert patterns[0] == "*"
    named = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    assert [name for name in named if not (REPOSITORY / name).exists()] == []
    assert not {".env", ".git", ".venv", "runs"} & {name.partition("/")[0] for name in named}


def test_everything_that_the_wheel_needs_is_sent_to_the_builder() -> None:
    named = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    # The four packages, what pyproject.toml names, and the model.
    needed = {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "bodykit", "service", "depthhmr", "depthhmr_cli"}
    assert needed | {"model_repository"} <= named


def test_requirements_are_those_of_pyproject() -> None:
    result = subprocess.run(
        [sys.executable, "docker/requirements.py", "dependencies", "triton"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert any(line.startswith("onnxruntime") for line in result.stdout.splitlines())
    assert any(line.startswith("tritonclient[grpc]==") for line in result.stdout.splitlines())
    assert "torch" not in result.stdout


def test_requirements_of_an_unknown_name_are_refused() -> None:
    result = subprocess.run(
        [sys.executable, "docker/requirements.py", "tritn"], cwd=REPOSITORY, capture_output=True, text=True, timeout=20
    )

    assert result.returncode == 2
    assert "has no list tritn; it has dependencies" in result.stderr


def entrypoint(cache: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "NUMBA_CACHE_DIR": str(cache)}
    return subprocess.run(
        [DOCKER / "entrypoint.sh", *command], env=environment, capture_output=True, text=True, timeout=20
    )


def test_entrypoint_says_what_a_read_only_container_needs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")  # nothing can be made below a file, not even by root

    result = entrypoint(tmp_path / "file" / "cache", "true")

    assert result.returncode == 2
    assert result.stderr == (
        f"depthhmr: {tmp_path}/file/cache cannot be written; "
        "with a read-only root give the container a tmpfs: --tmpfs /tmp\n"
    )


@contextmanager
def answering(status: int, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A real HTTP server on loopback that answers everything with `status`; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # a handshake that fails is what some tests are about
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def healthcheck(port: int, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """As the image runs it: isolated, and without anything that is installed."""
    command = [sys.executable, "-I", "-S", DOCKER / "healthcheck.py", *words]
    environment = {"DEPTHHMR_PORT": str(port), **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)


def test_healthcheck_is_content_when_the_service_is_ready() -> None:
    with answering(200) as port:
        result = healthcheck(port)

    assert (result.returncode, result.stdout) == (0, "/v1/health/ready: 200 /v1/health/ready\n")


def test_healthcheck_asks_what_it_is_told_to() -> None:
    with answering(200) as port:
        result = healthcheck(port, "/v1/health/live")

    assert result.stdout == "/v1/health/live: 200 /v1/health/live\n"


def test_healthcheck_fails_when_the_service_is_not_ready() -> None:
    with answering(503) as port:
        result = healthcheck(port)

    assert result.returncode == 1
    assert result.stdout.startswith("/v1/health/ready: 503")


def test_healthcheck_fails_when_nobody_listens() -> None:
    with answering(200) as port:
        pass

    result = healthcheck(port)

    assert result.returncode == 1
    assert f"no answer from 127.0.0.1:{port}/v1/health/ready" in result.stdout


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key in one PEM file."""
    if not shutil.which("openssl"):
        pytest.skip("openssl was not found")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subject = ["-subj", "/CN=depthhmr.example", "-days", "2", "-nodes"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        *subject,
        "-keyout",
        path,
        "-out",
        path.with_suffix(".crt"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def test_healthcheck_speaks_tls_when_the_service_does(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    with answering(200, context) as port:
        result = healthcheck(port, DEPTHHMR_TLS_CERTIFICATE="/cert.pem")

    assert result.returncode == 0, result.stdout


def test_healthcheck_takes_a_server_that_wants_client_certificates_for_alive(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate)

    with answering(200, context) as port:
        strict = healthcheck(port, DEPTHHMR_TLS_CERTIFICATE="/cert.pem")
        knowing = healthcheck(port, DEPTHHMR_TLS_CERTIFICATE="/cert.pem", DEPTHHMR_TLS_CLIENT_CA="/ca.pem")
    silent = healthcheck(port, DEPTHHMR_TLS_CERTIFICATE="/cert.pem", DEPTHHMR_TLS_CLIENT_CA="/ca.pem")

    assert strict.returncode == 1
    assert (knowing.returncode, knowing.stdout) == (
        0,
        f"127.0.0.1:{port} answers, and wants a client certificate for more\n",
    )
    assert silent.returncode == 1
