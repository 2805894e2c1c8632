"""Measure the service as a client sees it, against the same work in a plain loop.

Starts the real service on a free port of this machine. The loop (decode, network, people, JSON, in one thread) and the
requests take turns in short blocks, so that whatever else the machine does hits both alike.

examples:
  depthhmr bench
  depthhmr bench --photo photo.jpg --requests 1000 --clients 1 8
"""

import argparse
import http.client
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bodykit.errors import UserError
from depthhmr_cli.running import DEMO_IMAGE, RunningService, running_service
from depthhmr_cli.serve import add_model_arguments

if TYPE_CHECKING:
    from service.settings import Settings

HELP = "measure latency, processor time and memory of the service"
BLOCK = 10  # images before loop and service change places
WARM_UP = 10
HEADERS = {"Content-Type": "image/jpeg"}
TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--photo", type=Path, default=DEMO_IMAGE, help="JPEG to send (default: the demo image)")
    parser.add_argument("--requests", type=int, default=1000, help="requests in all (default: 1000)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8], help="simultaneous clients (default: 1 8)")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from service.settings import load_settings

    if args.requests < BLOCK or min(args.clients) < 1:
        raise UserError(f"expected at least {BLOCK} requests and 1 client, got {args.requests} and {args.clients}")
    if not Path("/proc/self/stat").exists():
        raise UserError("processor time and memory are read from /proc, which this machine does not have")
    try:
        photo = args.photo.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the photo {args.photo}: {error.strerror}") from error
    settings = load_settings({name: getattr(args, name) for name in ("engine", "triton_url", "model_dir", "body", "threads")})
    loop = plain_loop(settings, photo)
    with running_service(*flags_of(settings)) as started:
        service = Service(started)
        print(f"photo {args.photo.name}, {len(photo) / 1000:.0f} kB; model {settings.model_dir}")
        print(f"start to ready       {started.start_s:8.2f} s")
        measure(loop, service, photo, args.requests, args.clients)
    return 0


def flags_of(settings: "Settings") -> list[str]:
    """The flags that make `depthhmr serve` run what these settings say."""
    flags = ["--engine", settings.engine, "--model-dir", str(settings.model_dir), "--threads", str(settings.threads)]
    return [*flags, "--body", str(settings.body)] if settings.body else flags


class Service:
    """The process under test."""

    def __init__(self, started: RunningService) -> None:
        self.port, self.pid = started.port, started.pid

    def cpu_s(self) -> float:
        """Processor time so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found, status
        return int(found[1]) / 1000


@dataclass
class Tally:
    """What one way of doing the work has cost so far."""

    latencies_s: list[float]
    cpu_s: float = 0.0
    wall_s: float = 0.0

    def row(self, name: str) -> str:
        import numpy as np

        count = len(self.latencies_s)
        p50, p99 = 1e3 * np.percentile(self.latencies_s, (50, 99))
        return f"{name:<20} {p50:8.1f} {p99:8.1f} {1e3 * self.cpu_s / count:10.1f} {count / self.wall_s:10.1f}"


def measure(loop: Callable[[], bytes], service: Service, photo: bytes, requests: int, clients: list[int]) -> None:
    """Run everything and print the table."""
    base = Tally([])
    rounds = {count: Tally([]) for count in clients}
    for _ in range(WARM_UP):
        loop()
        send(service.port, photo, 1)
    memory = {0: service.rss_mb()}
    print(f"{'':<20} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>10} {'images/s':>10}")
    sent = 0
    while sent < requests:
        run_loop(loop, base)
        for count, tally in rounds.items():
            per_client = max(1, BLOCK // count)
            run_clients(service, photo, count, per_client, tally)
            sent += count * per_client
            if sent >= 100:
                memory.setdefault(100, service.rss_mb())
    memory[sent] = service.rss_mb()
    print(base.row("plain loop"))
    for count, tally in rounds.items():
        print(tally.row(f"REST, {count} client" + "s" * (count > 1)))
    print("memory               " + ", ".join(f"{size:.0f} MB after {count}" for count, size in memory.items()))


def run_loop(loop: Callable[[], bytes], tally: Tally) -> None:
    begin, cpu = time.perf_counter(), time.process_time()
    for _ in range(BLOCK):
        start = time.perf_counter()
        loop()
        tally.latencies_s.append(time.perf_counter() - start)
    tally.wall_s += time.perf_counter() - begin
    tally.cpu_s += time.process_time() - cpu


def run_clients(service: Service, photo: bytes, clients: int, per_client: int, tally: Tally) -> None:
    cpu, begin = service.cpu_s(), time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for latencies in pool.map(lambda _: send(service.port, photo, per_client), range(clients)):
            tally.latencies_s += latencies
    tally.wall_s += time.perf_counter() - begin
    tally.cpu_s += service.cpu_s() - cpu


def send(port: int, photo: bytes, count: int) -> list[float]:
    """`count` requests over one connection, one after another -> their latencies in seconds."""
    latencies = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.connect()
        for _ in range(count):
            start = time.perf_counter()
            connection.request("POST", "/v1/reconstruct", photo, HEADERS)
            response = connection.getresponse()
            body = response.read()
            latencies.append(time.perf_counter() - start)
            if response.status != 200:
                raise UserError(f"the service answered {response.status}: {body[:300].decode(errors='replace')}")
    finally:
        connection.close()
    return latencies


def plain_loop(settings: "Settings", photo: bytes) -> Callable[[], bytes]:
    """The work of one request without a service around it, as a function."""
    from bodykit.body import load_body
    from bodykit.manifest import Manifest
    from service.engines.embedded import EmbeddedEngine
    from service.formats import Job, write_json
    from service.images import ImageLimits, decode
    from service.options import Options
    from service.people import select_people
    from service.results import Recovery

    manifest, body, limits, options = (
        Manifest.read(settings.model_dir),
        load_body(settings.body),
        ImageLimits(),
        Options(),
    )
    engine = EmbeddedEngine.open(settings, manifest, settings.model_dir)

    def work() -> bytes:
        picture = decode(photo, size=manifest.input_size, limits=limits)
        camera = options.camera(picture.width, picture.height, picture.focal_px)
        intrinsics = picture.box.intrinsics(camera.intrinsics).array()
        outputs = engine.run({"image": picture.square[None], "intrinsics": intrinsics[None]})
        people = select_people(
            {name: values[0] for name, values in outputs.items()},
            body=body,
            camera=camera.intrinsics,
            box=picture.box,
            threshold=manifest.threshold,
            max_people=settings.max_people,
        )
        recovery = Recovery(photo, picture.width, picture.height, camera, people)
        return write_json(Job(recovery, manifest, body, limits, "loop"))

    return work
