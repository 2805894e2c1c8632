"""Latency, processor time and memory of the real service, measured from outside over HTTP.

example:
  depthhmr bench
  depthhmr bench --clients 8 --requests 2000 --json bench.json
"""

import argparse
import http.client
import json
import os
import statistics
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bodykit.errors import UserError
from depthhmr_cli.running import DEMO_IMAGE, RunningService, read_image, running_service

HELP = "measure the service: time to ready, latency, requests per second, memory after many requests"

WARM_UP = 50  # requests that are sent first and not counted; caches and memory pools fill


@dataclass(frozen=True)
class Report:
    """What one run measured. The processor time and the memory are the service's, not the client's."""

    clients: int
    requests: int
    ready_s: float
    p50_ms: float
    p99_ms: float
    requests_per_s: float
    cpu_ms_per_request: float
    memory_before_mb: float  # resident, after the warm-up
    memory_after_mb: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", type=Path, default=DEMO_IMAGE, help="what is sent (default: the demo image)")
    parser.add_argument("--requests", type=int, default=1000, help="counted requests (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=1, help="clients that send at once (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")


def run(args: argparse.Namespace) -> int:
    if args.requests < 1 or args.clients < 1:
        raise UserError(f"expected at least 1 request and 1 client, got {args.requests} and {args.clients}")
    if not Path("/proc/self/statm").exists():
        raise UserError("bench reads processor time and memory from /proc, which only Linux has")
    image, media_type = read_image(args.image)

    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder) / "service.log") as service:
        report = measure(service, image, media_type, clients=args.clients, requests=args.requests)

    print(table(report))
    if args.json:
        args.json.write_text(json.dumps(asdict(report), indent=2) + "\n")
    return 0


def measure(service: RunningService, image: bytes, media_type: str, *, clients: int, requests: int) -> Report:
    """Send `requests` in a closed loop: each client sends its next request when the last is answered."""
    closed_loop(service.port, image, media_type, clients=clients, requests=WARM_UP)

    memory_before, cpu_before, begin = resident_mb(service.pid), cpu_seconds(service.pid), time.perf_counter()
    latencies = closed_loop(service.port, image, media_type, clients=clients, requests=requests)
    wall, cpu = time.perf_counter() - begin, cpu_seconds(service.pid) - cpu_before

    return Report(
        clients=clients,
        requests=requests,
        ready_s=round(service.ready_s, 2),
        p50_ms=round(1000 * statistics.median(latencies), 2),
        p99_ms=round(1000 * sorted(latencies)[int(0.99 * (len(latencies) - 1))], 2),
        requests_per_s=round(requests / wall, 1),
        cpu_ms_per_request=round(1000 * cpu / requests, 2),
        memory_before_mb=round(memory_before, 1),
        memory_after_mb=round(resident_mb(service.pid), 1),
    )


def closed_loop(port: int, image: bytes, media_type: str, *, clients: int, requests: int) -> list[float]:
    """Seconds of each answer. Raises UserError when any request was not answered with 200."""
    latencies: list[float] = []
    failures: list[str] = []
    remaining = iter(range(requests))  # taking the next number is atomic in CPython

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Content-Type": media_type, "Accept": "application/json"}
        try:
            for _ in remaining:
                begin = time.perf_counter()
                connection.request("POST", "/v1/reconstruct", body=image, headers=headers)
                reply = connection.getresponse()
                content = reply.read()
                latencies.append(time.perf_counter() - begin)
                if reply.status != 200:
                    raise OSError(f"answered {reply.status}: {content[:500].decode(errors='replace')}")
        except (OSError, http.client.HTTPException) as error:
            failures.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise UserError(f"{len(failures)} of {clients} clients failed; the first: {failures[0]}")
    return latencies


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(report: Report) -> str:
    return "\n".join(
        [
            f"{report.requests} images by {report.clients} client(s), POST /v1/reconstruct, JPEG to JSON",
            f"  start to ready       {report.ready_s:8.2f} s",
            f"  latency p50 / p99    {report.p50_ms:8.1f} / {report.p99_ms:.1f} ms",
            f"  throughput           {report.requests_per_s:8.1f} images/s",
            f"  processor time       {report.cpu_ms_per_request:8.1f} ms per image",
            f"  memory before/after  {report.memory_before_mb:8.0f} / {report.memory_after_mb:.0f} MB",
        ]
    )
