"""Checks what works on this machine and what does not.

example:
  depthhmr check
  depthhmr check --model-dir model_repository/depthhmr --port 9000
"""

import argparse
import platform
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bodykit.errors import UserError
from depthhmr_cli.serve import add_model_arguments

if TYPE_CHECKING:
    from service.settings import Settings

HELP = "say what works on this machine: engine, model, body, port, GPU"
FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address that the service would listen on")
    parser.add_argument("--port", type=int, help="port that the service would listen on")
    parser.add_argument("--grpc-port", type=int, help="port that it would listen on for gRPC")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from service.settings import load_settings

    names = ("host", "port", "grpc_port", "engine", "triton_url", "model_dir", "body", "threads")
    settings = load_settings({name: getattr(args, name) for name in names})
    failures = 0
    for title, examine in CHECKS.items():
        try:
            print(f"ok    {title:<9} {examine(settings)}")
        except UserError as error:
            failures += 1
            print(f"FAIL  {title:<9} {error}")
    print("everything works" if not failures else f"{failures} of {len(CHECKS)} checks failed")
    return FAILED if failures else 0


def check_machine(settings: "Settings") -> str:
    from service import __version__
    from service.process.cpus import usable_cpus

    return f"depthhmr {__version__}, Python {platform.python_version()}, {usable_cpus()} usable processors"


def check_body(settings: "Settings") -> str:
    from bodykit.body import load_body

    body = load_body(settings.body)
    return f"{body.name} {body.version}: {len(body.template)} vertices, licence {body.license}"


def check_model(settings: "Settings") -> str:
    from bodykit.manifest import Manifest

    manifest = Manifest.read(settings.model_dir).choose(settings.model_variant)
    size = len(manifest.verified_onnx(settings.model_dir)) / 1e6
    return (
        f"{manifest.name} {manifest.version} in {settings.model_dir}: {size:.1f} MB of {manifest.precision}, "
        "hash as in the manifest, "
        f"{manifest.input_size} x {manifest.input_size} pixels, up to {manifest.queries} people, "
        f"licence {manifest.license}"
    )


def check_engine(settings: "Settings") -> str:
    """One real inference through the engine that the service would use."""
    import asyncio
    import time

    from service.errors import ServiceError
    from service.serve import open_core

    async def first_and_second() -> tuple[float, float]:
        core = open_core(settings)
        try:
            times = []
            for _ in range(2):
                begin = time.perf_counter()
                await core.warm_up()
                times.append(1e3 * (time.perf_counter() - begin))
            return times[0], times[1]
        except ServiceError as error:
            raise UserError(f"{settings.engine}: {error.detail}{core.engine.place}") from error
        finally:
            await core.aclose()

    first, second = asyncio.run(first_and_second())
    return f"{settings.engine}: answers in {second:.0f} ms (the first time in {first:.0f} ms)"


def check_port(settings: "Settings") -> str:
    from service.serve import listen

    with listen(settings.host, settings.port), listen(settings.host, settings.grpc_port, flag="--grpc-port"):
        return f"{settings.host}:{settings.port} is free, and {settings.grpc_port} for gRPC"


def check_gpu(settings: "Settings") -> str:
    """Never fails, as the service needs no GPU."""
    gpus = list(_nvidia_gpus())
    if not gpus:
        return "none found, and none needed: the embedded engine runs on the processor"
    return f"{', '.join(gpus)}; only a Triton server would use it, the embedded engine runs on the processor"


def _nvidia_gpus() -> Iterator[str]:
    import shutil
    import subprocess

    program = shutil.which("nvidia-smi")
    if program is None:
        return
    query = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return
    yield from (line.strip() for line in answer.stdout.splitlines() if line.strip())


CHECKS: dict[str, Callable[["Settings"], str]] = {
    "machine": check_machine,
    "body": check_body,
    "model": check_model,
    "engine": check_engine,
    "port": check_port,
    "GPU": check_gpu,
}
