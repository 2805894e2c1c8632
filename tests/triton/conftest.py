"""A real Triton server for tests. Shared where a test only asks, private where it breaks the server."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from bodykit.manifest import Manifest
from bodykit.triton_config import write_triton_files
from depthhmr_cli.local_triton import LocalTriton
from service.recovery import MeshRecovery
from service.rest.app import create_app
from service.serve import open_core
from service.settings import Settings, default_model_dir

PROBE_S = 0.25  # as often as the engine allows: these tests wait for what it notices


@pytest.fixture(scope="session", autouse=True)
def always(bundled_triton) -> None:
    """Everything here needs a server."""


@pytest.fixture(scope="session")
def default_triton() -> Iterator[LocalTriton]:
    """A server of the default network."""
    with LocalTriton(default_model_dir()) as server:
        yield server.start()


@pytest.fixture
def tiny_folder(model_dir: Path, tmp_path: Path) -> Path:
    """A folder of the tiny network that Triton can serve, and that a test may change."""
    folder = tmp_path / "repository" / "tiny"
    shutil.copytree(model_dir, folder)
    write_triton_files(Manifest.read(folder), folder)
    return folder


@pytest.fixture
def own_triton(tiny_folder: Path) -> Iterator[Callable[..., LocalTriton]]:
    """Makes a private, started server of the tiny network. `model` is the text of another model.py."""
    with ExitStack() as stack:

        def make(model: str | None = None) -> LocalTriton:
            if model is not None:
                (tiny_folder / "1" / "model.py").write_text(model)
            return stack.enter_context(LocalTriton(tiny_folder)).start()

        yield make


@pytest.fixture
def core_over(tiny_folder: Path) -> Callable:
    """An application core whose engine is a Triton server: `async with core_over(server) as core`."""

    @asynccontextmanager
    async def opened(server: LocalTriton, *, model_dir: Path = tiny_folder, **settings) -> AsyncIterator[MeshRecovery]:
        chosen = {"triton_probe_s": PROBE_S, "request_timeout_s": 10.0, "max_concurrency": 1000, **settings}
        core = open_core(Settings(engine="triton", triton_url=server.url, model_dir=model_dir, **chosen))
        try:
            await core.warm_up()
            yield core
        finally:
            await core.aclose()

    return opened


@pytest.fixture
def service_over(core_over) -> Callable:
    """The REST service over a Triton server, in this process: `async with service_over(server) as (client, core)`."""

    @asynccontextmanager
    async def opened(server: LocalTriton, **settings) -> AsyncIterator[tuple[httpx.AsyncClient, MeshRecovery]]:
        async with core_over(server, **settings) as core:
            app = create_app(core, max_body_bytes=2**20)
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30) as client:
                yield client, core

    return opened
