"""The contenders by name, and how each is started."""

import http.client
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import PERSON, form_of
from benchmarks.processes import REPOSITORY, BenchmarkError, Process, free_port

FOLDER = REPOSITORY / "benchmarks"
CONTENDERS = FOLDER / "contenders"
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Running:
    """A contender that answers. `port` is 0 for one that takes no requests: it is told what to do instead."""

    process: Process
    port: int = 0


@dataclass(frozen=True)
class Contender:
    """`protocol` is a key of `benchmarks.load.CALLERS`, or stream. Contenders of one `server` share a process."""

    name: str
    server: str
    protocol: str = "REST"
    path: str = "/reconstruct"


def start_loop(photo: Path, log: Path) -> dict[str, Running]:
    process = Process([sys.executable, script("plain_loop"), str(photo)], log=log, speaks=True)
    if process.hear() != "ready":
        raise BenchmarkError("the plain loop does not start")
    return {"": Running(process)}


def start_service(photo: Path, log: Path, *flags: str) -> dict[str, Running]:
    """One process, two ports."""
    command = [sys.executable, "-m", "depthhmr_cli", "serve", "--host", "127.0.0.1", "--port", "0", "--grpc-port", "0"]
    process = Process([*command, *flags], log=log, speaks=True)  # as it comes, access log and metrics included
    line = process.hear()
    if not (found := re.search(r"ready at http://[^ ]+:(\d+), gRPC [^ ]+:(\d+)", line)):
        raise BenchmarkError(f"the service does not start: {line}")
    rest, grpc = Running(process, int(found[1])), Running(process, int(found[2]))
    return {"REST": rest, "form": rest, "batch": rest, "gRPC": grpc, "stream": grpc}


def start_peer(
    command: Callable[[int], Sequence[str]], environment: Mapping[str, str] | None = None
) -> Callable[[Path, Path], dict[str, Running]]:
    """A peer that listens on a port that it is given."""

    def start(photo: Path, log: Path) -> dict[str, Running]:
        port = free_port()
        if not Path((words := command(port))[0]).exists():
            raise BenchmarkError(f"{words[0]} is missing; run benchmarks/install")
        process = Process(words, environment=environment, log=log)
        process.wait_until(lambda: _answers(port, photo.read_bytes()))
        return {"REST": Running(process, port), "form": Running(process, port)}

    return start


def _answers(port: int, photo: bytes) -> bool:
    """Whether a request is answered with people, sent raw or as a form."""
    for content, content_type in ((photo, "image/jpeg"), form_of(photo)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", "/reconstruct", content, {"Content-Type": content_type})
            response = connection.getresponse()
            if response.status == 200 and PERSON in response.read():
                return True
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
    return False


def environment_of(name: str, program: str = "python") -> str:
    return str(FOLDER / f".env-{name}" / "bin" / program)


def script(name: str) -> str:
    return str(CONTENDERS / f"{name}.py")


def _peers(workers: int) -> dict[str, Callable[[Path, Path], dict[str, Running]]]:
    """Each with so many processes that run the network; with several, each on one thread."""
    count, variables = str(workers), {"WORKERS": str(workers)}

    def bentoml(port: int) -> list[str]:
        return [environment_of("bentoml", "bentoml"), "serve", "bentoml_:Reconstruct", "--port", str(port)]

    return {
        "LitServe": start_peer(lambda port: [environment_of("litserve"), script("litserve_"), str(port), count]),
        "BentoML": start_peer(bentoml, variables | {"BENTOML_DO_NOT_TRACK": "true"}),
        "Ray Serve": start_peer(
            lambda port: [environment_of("ray"), script("ray_serve"), str(port), count],
            {"RAY_USAGE_STATS_ENABLED": "0"},
        ),
        "mosec": start_peer(
            lambda port: [
                environment_of("mosec"),
                script("mosec_"),
                "--address",
                "127.0.0.1",
                "--port",
                str(port),
                "--timeout",
                "60000",
            ],
            variables,
        ),
    }


SERVERS: dict[str, Callable[[Path, Path], dict[str, Running]]] = {
    "plain loop": start_loop,
    "naive FastAPI": start_peer(lambda port: [sys.executable, script("naive_fastapi"), str(port)]),
    "DepthHMR": start_service,
    **_peers(1),
    **{f"{name}, {CORES} workers": start for name, start in _peers(CORES).items()},
}
OURS = {
    "DepthHMR, REST": Contender("DepthHMR, REST", "DepthHMR"),
    "DepthHMR, form": Contender("DepthHMR, form", "DepthHMR", "form"),
    "DepthHMR, gRPC": Contender("DepthHMR, gRPC", "DepthHMR", "gRPC"),
    "DepthHMR, gRPC stream": Contender("DepthHMR, gRPC stream", "DepthHMR", "stream"),
    "DepthHMR, batches of 8": Contender("DepthHMR, batches of 8", "DepthHMR", "batch", "/v1/reconstruct/batch"),
}
FORMS = ("LitServe", "BentoML")  # of these, files come as forms
PEERS = {
    name: Contender(name, name, "form" if name.startswith(FORMS) else "REST") for name in SERVERS if name != "DepthHMR"
}
ALL = PEERS | OURS
