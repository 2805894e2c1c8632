"""Closed loop: every contender with 1, 8 and 32 clients that send again when they are answered, in turns."""

import json
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import Turn
from benchmarks.processes import Process, busy_s
from benchmarks.registry import ALL, SERVERS, Contender, Running

WARM_S = 1.0
TRIES = 6


@dataclass
class Row:
    """One contender with so many clients; a figure for each round."""

    contender: str
    clients: int
    images_per_s: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)  # of the server, per image
    load_cpu_ms: list[float] = field(default_factory=list)  # of the load generator, per image
    others: list[float] = field(default_factory=list)  # processors that the rest of the machine kept busy

    def add(self, found: dict[str, Any], server_cpu_s: float, others: float) -> None:
        self.others.append(others)
        images = max(1, found["images"])
        p50, p99 = np.percentile(found["latencies_s"] or [np.nan], (50, 99))
        self.images_per_s.append(found["images"] / found["seconds"])
        self.p50_ms.append(1e3 * float(p50))
        self.p99_ms.append(1e3 * float(p99))
        self.cpu_ms.append(1e3 * server_cpu_s / images)
        self.load_cpu_ms.append(1e3 * found["cpu_s"] / images)


@contextmanager
def started(contenders: Sequence[Contender], photo: Path, out: Path) -> Iterator[dict[str, Running]]:
    """All servers of these contenders, by the contender's name."""
    running: dict[str, dict[str, Running]] = {}
    with ExitStack() as stack:
        for server in dict.fromkeys(contender.server for contender in contenders):
            print(f"start {server}", file=sys.stderr)
            running[server] = SERVERS[server](photo, out / f"{server.replace(' ', '-').replace(',', '')}.log")
            stack.callback(next(iter(running[server].values())).process.stop)
        yield {
            contender.name: running[contender.server].get(contender.protocol) or running[contender.server][""]
            for contender in contenders
        }


@contextmanager
def load_generator(photo: Path, people: int, out: Path) -> Iterator[Process]:
    command = [sys.executable, "-m", "benchmarks.load", str(photo), str(people)]
    process = Process(command, log=out / "load.log", speaks=True)
    try:
        yield process
    finally:
        process.stop()


def take_turn(contender: Contender, running: Running, load: Process, turn: Turn) -> tuple[dict[str, Any], float, float]:
    """What one turn found, the processor seconds that the server used in it, and how many processors everything else on the
    machine kept busy.
    """
    told = load if running.port else running.process
    told.tell(json.dumps(asdict(turn)))
    while told.hear() != "begin":  # the service's own last line may come first
        pass
    machine_s, before = busy_s(), running.process.cpu_s()
    found = json.loads(told.hear())
    used_s, machine_s = running.process.cpu_s() - before, busy_s() - machine_s
    found.setdefault("images", len(found["latencies_s"]))
    return found, used_s, max(0.0, machine_s - used_s - found["cpu_s"]) / found["seconds"]


def measure(
    names: Sequence[str],
    photo: Path,
    people: int,
    *,
    clients: Sequence[int],
    rounds: int,
    seconds: float,
    quiet: float | None,
    out: Path,
) -> list[Row]:
    """Rows in the order of `names`. With `quiet`, a turn beside which others kept more than so many processors busy is taken
    again, `TRIES` times at the most.
    """
    rows = {
        (name, count): Row(name, count)
        for name in names
        for count in (clients if ALL[name].server != "plain loop" else (1,))
    }
    with started([ALL[name] for name in names], photo, out) as running, load_generator(photo, people, out) as load:

        def one(name: str, count: int, seconds: float) -> tuple[dict[str, Any], float, float]:
            contender, place = ALL[name], running[name]
            return take_turn(
                contender, place, load, Turn(contender.protocol, place.port, contender.path, count, seconds)
            )

        turns = list(rows)
        for name, count in turns:
            one(name, count, WARM_S)
        for number in range(rounds):
            random.Random(number).shuffle(turns)
            for name, count in turns:
                tries = [one(name, count, seconds)]
                while quiet is not None and tries[-1][-1] > quiet and len(tries) < TRIES:
                    tries.append(one(name, count, seconds))
                rows[name, count].add(*min(tries, key=lambda found: found[-1]))
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return list(rows.values())
