"""Measures the service as a client sees it, against the same work in a plain loop.

Starts the real service on a free port of this machine. The loop (decode, network, people, JSON, in one thread) and the
requests take turns in short blocks, so that other load on the machine affects both alike. With --triton it also measures
a second service, in front of the bundled Triton server, and the bare engines.

examples:
  depthhmr bench
  depthhmr bench --photo photo.jpg --requests 1000 --clients 1 8
  depthhmr bench --triton --protocols REST
  depthhmr bench --engine fake      # what the service costs without a network
  depthhmr bench --overload         # three times what it can do, for a minute
"""

import argparse
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from bodykit.errors import UserError
from depthhmr_cli.bench_clients import SENDERS, TIMEOUT_S, Sender, Span
from depthhmr_cli.plain_loop import PlainLoop
from depthhmr_cli.running import DEMO_IMAGE, plain_environment, running_service
from depthhmr_cli.serve import add_model_arguments

if TYPE_CHECKING:
    from depthhmr_cli.local_triton import LocalTriton
    from service.settings import Settings

HELP = "measure latency, processor time and memory of the service"
BLOCK = 20  # images per turn
MIN_IMAGES = 4  # images per client in a block: with fewer, the start of the clients would dominate
TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--photo", type=Path, default=DEMO_IMAGE, help="JPEG to send (default: the demo image)")
    parser.add_argument("--requests", type=int, default=300, help="images for each row of the table (default: 300)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8], help="simultaneous clients (default: 1 8)")
    parser.add_argument(
        "--protocols",
        nargs="+",
        choices=list(SENDERS),
        default=list(SENDERS),
        help="what to speak (default: everything)",
    )
    parser.add_argument("--triton", action="store_true", help="take the bundled Triton server into the comparison")
    parser.add_argument(
        "--overload",
        action="store_true",
        help="instead, send several times what the service can do, REST and gRPC mixed",
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload (default: 60)")
    parser.add_argument("--times", type=float, default=3.0, help="the capacity that is sent (default: 3)")
    parser.add_argument("--deadline-s", type=float, default=2.0, help="of each request of overload (default: 2)")
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
    settings = load_settings(
        {name: getattr(args, name) for name in ("engine", "triton_url", "model_dir", "body", "threads")}
    )
    if not (args.seconds > 0 and args.times > 0 and args.deadline_s > 0):
        raise UserError(
            f"expected seconds, times and a deadline above 0, got {args.seconds:g}, {args.times:g}, {args.deadline_s:g}"
        )
    print(f"photo {args.photo.name}, {len(photo) / 1000:.0f} kB; model {settings.model_dir}")
    if args.overload:
        from depthhmr_cli.bench_overload import overload

        overload(flags_of(settings), args.photo, seconds=args.seconds, times=args.times, deadline_s=args.deadline_s)
        return 0
    with ExitStack() as stack:
        contestants = [Contestant("decoding alone", repeated(decoding(settings, photo)), time.process_time)]
        if settings.engine != "fake":  # the loop runs the network, so it would be no comparison
            loop = partial(PlainLoop(settings), photo)
            contestants.append(Contestant("plain loop", repeated(loop), time.process_time))
        services = {"": stack.enter_context(service_of(settings))}
        if args.triton:
            server = stack.enter_context(triton_of(settings))
            through = settings.model_copy(update={"engine": "triton", "triton_url": server.url})
            services = {"embedded ": services[""], "triton ": stack.enter_context(service_of(through, server))}
            contestants += stack.enter_context(bare_engines(settings, through, photo, server))
        for name, service in services.items():
            print(f"{name}service: start to ready {service.start_s:.2f} s")
            for protocol in args.protocols:
                contestants += service.contestants(name, photo, protocol, args.clients)
        measure(contestants, services, args.requests)
    return 0


def flags_of(settings: "Settings") -> list[str]:
    """The flags of `depthhmr serve` for these settings."""
    flags = ["--engine", settings.engine, "--model-dir", str(settings.model_dir), "--threads", str(settings.threads)]
    flags += ["--triton-url", settings.triton_url]
    return [*flags, "--body", str(settings.body)] if settings.body else flags


@dataclass
class Contestant:
    """One way to do the work. `block` calls its argument when it is ready, does the work about `BLOCK` times and returns
    the begin and end of each, in seconds of time.perf_counter.
    """

    name: str
    block: Callable[[Callable[[], None]], list[Span]]
    cpu_s: Callable[[], float]  # processor time used so far
    latencies_s: list[float] = field(default_factory=list)
    used_s: float = 0.0
    wall_s: float = 0.0

    def run(self) -> int:
        """Runs one block; returns its number of images."""
        latencies = self.block(self._begin)
        # Until the last response: a gRPC channel takes up to 200 ms to close, which no client waits for.
        self.wall_s += max(end for _, end in latencies) - self._begun
        self.used_s += self.cpu_s() - self._cpu_s
        self.latencies_s += [end - start for start, end in latencies]
        return len(latencies)

    def _begin(self) -> None:
        self._cpu_s, self._begun = self.cpu_s(), time.perf_counter()

    def row(self) -> str:
        import numpy as np

        count = len(self.latencies_s)
        p50, p99 = 1e3 * np.percentile(self.latencies_s, (50, 99))
        cpu_ms, rate = 1e3 * self.used_s / count, count / self.wall_s
        return f"{self.name:<24} {p50:8.1f} {p99:8.1f} {cpu_ms:10.1f} {rate:10.1f}"


@dataclass(frozen=True)
class Service:
    """A service under test, and the processes that work for it."""

    port: int
    grpc_port: int
    start_s: float
    pids: tuple[int, ...]

    def contestants(self, name: str, photo: bytes, protocol: str, clients: list[int]) -> Iterator[Contestant]:
        port, sender = (self.port if protocol == "REST" else self.grpc_port), SENDERS[protocol]
        for count in [1] if protocol == "gRPC stream" else clients:
            title = f"{name}{protocol}" + (f", {count} client" + "s" * (count > 1)) * (protocol != "gRPC stream")
            yield Contestant(title, turn(sender, port, photo, count), self.cpu_s)

    def cpu_s(self) -> float:
        return cpu_of(*self.pids)

    def rss_mb(self) -> float:
        """Of the service alone, without the server behind it."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pids[0]}/status").read_text())
        assert found
        return int(found[1]) / 1000


@contextmanager
def service_of(settings: "Settings", server: "LocalTriton | None" = None) -> Iterator[Service]:
    with running_service(*flags_of(settings), environment=plain_environment()) as started:
        behind = (server.pid, *server.stubs()) if server else ()
        yield Service(started.port, started.grpc_port, started.start_s, (started.pid, *behind))


@contextmanager
def triton_of(settings: "Settings") -> Iterator["LocalTriton"]:
    from depthhmr_cli.local_triton import LocalTriton

    with LocalTriton(settings.model_dir) as server:
        yield server.start()


@contextmanager
def bare_engines(
    embedded: "Settings", triton: "Settings", photo: bytes, server: "LocalTriton"
) -> Iterator[list[Contestant]]:
    """The same tensors through the network in this process and through Triton, without a service."""
    import asyncio

    from bodykit.manifest import Manifest
    from service.decoding.images import ImageLimits, decode
    from service.engines import open_engine
    from service.engines.base import Call, Engine, Tensors, blank_inputs

    manifest = Manifest.read(embedded.model_dir)
    tensors: Tensors = {
        **blank_inputs(manifest),
        "image": decode(photo, size=manifest.input_size, limits=ImageLimits()).square[None],
    }
    wanted = tuple(spec.name for spec in manifest.outputs if spec.name != "depth")
    runner = asyncio.Runner()

    def through(engine: Engine) -> Callable[[], object]:
        return lambda: runner.run(engine.infer(tensors, Call.within(60, wanted)))

    here, there = (open_engine(each, manifest, each.model_dir) for each in (embedded, triton))
    pids = (os.getpid(), server.pid, *server.stubs())
    try:
        yield [
            Contestant("engine in process", repeated(through(here)), time.process_time),
            Contestant("engine through Triton", repeated(through(there)), lambda: cpu_of(*pids)),
        ]
    finally:
        for engine in (here, there):
            runner.run(engine.aclose())
        runner.close()


def measure(contestants: list[Contestant], services: dict[str, Service], requests: int) -> None:
    """Takes turns until each way has done `requests` images, and prints the table."""
    for contestant in contestants:
        contestant.block(lambda: None)
    memory = {name: [f"{service.rss_mb():.0f} MB"] for name, service in services.items()}
    for _ in range(ceil(requests / BLOCK)):
        for contestant in contestants:
            contestant.run()
    print(f"{'':<24} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>10} {'images/s':>10}")
    for contestant in contestants:
        print(contestant.row())
    for name, service in services.items():
        memory[name].append(f"{service.rss_mb():.0f} MB after {requests} images per row")
        print(f"memory of the {name}service: {', '.join(memory[name])}")


def turn(sender: Sender, port: int, photo: bytes, clients: int) -> Callable[[Callable[[], None]], list[Span]]:
    """A block of `clients` concurrent clients; it begins when all are connected."""
    each = max(MIN_IMAGES, BLOCK // clients)

    def block(begin: Callable[[], None]) -> list[Span]:
        start = threading.Barrier(clients, action=begin, timeout=TIMEOUT_S)
        with ThreadPoolExecutor(clients) as pool:
            return list(chain(*pool.map(lambda _: sender(port, photo, each, start.wait), range(clients))))

    return block


def repeated(work: Callable[[], object]) -> Callable[[Callable[[], None]], list[Span]]:
    """A sequential block."""

    def block(begin: Callable[[], None]) -> list[Span]:
        latencies: list[Span] = []
        begin()
        for _ in range(BLOCK):
            start = time.perf_counter()
            work()
            latencies.append((start, time.perf_counter()))
        return latencies

    return block


def cpu_of(*pids: int) -> float:
    """Processor seconds of processes so far, user and system."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * TICK_S


def decoding(settings: "Settings", photo: bytes) -> Callable[[], object]:
    """The work that every service must do: from the file to the network's input."""
    from bodykit.manifest import Manifest
    from service.decoding.images import ImageLimits, decode

    size, limits = Manifest.read(settings.model_dir).input_size, ImageLimits()
    return lambda: decode(photo, size=size, limits=limits)
