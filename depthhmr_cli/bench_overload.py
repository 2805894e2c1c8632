"""`depthhmr bench --overload`: the service under several times its capacity.

The capacity is measured before and after, with a few clients that wait for each response. In between, requests are sent on
schedule, whatever has been answered, over REST and gRPC, from separate processes and for two callers per protocol.
Refusals are timed from sending the request to receiving the whole refusal.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from bodykit.errors import UserError
from depthhmr_cli.bench_clients import HEADERS, TIMEOUT_S
from depthhmr_cli.bench_load import ANSWERED, ENDED, EXPIRED, GRACE_S, LATE, PERSON, REFUSED, UNANSWERED, WRONG, Load
from depthhmr_cli.running import RunningService, plain_environment, running_service

START_S = 3.0  # for the processes of the clients to start and connect
AT_ONCE = 8  # requests under way per protocol while the capacity is measured
PATIENCE_S = 30.0  # of each of them
WARM_UP_S = 2.0  # before measuring: the queue learns its pace, and libraries load
GOODPUT, REFUSAL_S = 0.95, 0.05  # the goals: share of the capacity, and the 99th percentile
ROW = "{:<34} {:>12} {:>10} {}"
Outcomes = dict[str, list[float]]


def overload(flags: list[str], photo: Path, *, seconds: float, times: float, deadline_s: float) -> None:
    """Runs it against a service with these flags, and prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        keys = write_keys(Path(folder) / "keys")
        environment = plain_environment() | {"DEPTHHMR_API_KEYS_FILE": str(Path(folder) / "keys")}
        with running_service(*flags, environment=environment) as service:
            people = people_of(photo, service.port, keys["REST"][0])
            bench = Bench(service, photo, people, keys, deadline_s)
            bench.capacity(WARM_UP_S)
            before = os.getloadavg()[0]
            capacity = bench.capacity(max(5.0, seconds / 4))
            found = bench.open(times * capacity, seconds)
            after = bench.capacity(max(5.0, seconds / 4))
    print(f"load average {before:.1f} before, {os.getloadavg()[0]:.1f} after; {os.cpu_count()} processors")
    print(f"capacity {capacity:.1f}/s before, {after:.1f}/s after: the goal is reckoned from the mean")
    print_table(found, (capacity + after) / 2, seconds=seconds, deadline_s=deadline_s)


class Bench:
    """A service under one kind of load after another."""

    def __init__(
        self, service: RunningService, photo: Path, people: int, keys: dict[str, list[str]], deadline_s: float
    ) -> None:
        self._ports = {"REST": service.port, "gRPC": service.grpc_port}
        self._photo, self._people, self._keys, self._deadline_s = photo, people, keys, deadline_s

    def capacity(self, seconds: float) -> float:
        """Images per second for a few waiting clients."""
        found = self._run(seconds, PATIENCE_S, at_once=AT_ONCE)
        if bad := {kind: len(found[kind]) for kind in (EXPIRED, WRONG, UNANSWERED) if found[kind]}:
            raise UserError(f"the capacity cannot be measured: a few clients at once are answered with {bad}")
        return rate_of(found, seconds)

    def open(self, rate: float, seconds: float) -> Outcomes:
        return self._run(seconds, self._deadline_s, rate=rate / len(self._ports))

    def _run(self, seconds: float, deadline_s: float, *, rate: float = 0.0, at_once: int = 0) -> Outcomes:
        begin = time.time() + START_S
        processes = []
        try:
            for protocol, port in self._ports.items():
                load = Load(
                    protocol, tuple(self._keys[protocol]), begin, seconds, deadline_s, rate=rate, at_once=at_once
                )
                command = [sys.executable, "-m", "depthhmr_cli.bench_load"]
                command += [str(port), str(self._photo), str(self._people), load.text()]
                processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            longest_s = START_S + seconds + deadline_s + 3 * GRACE_S
            found: Outcomes = defaultdict(list)
            for process in processes:
                output, _ = process.communicate(timeout=longest_s)
                if process.returncode:
                    raise UserError("a process of clients failed; its own message stands above")
                for kind, times in json.loads(output).items():
                    found[kind] += times
            return found
        except subprocess.TimeoutExpired as error:
            raise UserError(f"the clients did not end within {longest_s:.0f} s") from error
        finally:
            for process in processes:
                process.kill()
                process.wait()


def rate_of(found: Outcomes, seconds: float) -> float:
    """Responses in time per second. Requests in flight at the end are not counted, as at the begin."""
    return sum(ended <= seconds for ended in found[ENDED]) / seconds


def print_table(found: Outcomes, capacity: float, *, seconds: float, deadline_s: float) -> None:
    import numpy as np

    def percentile(kinds: tuple[str, ...], share: float) -> float:
        values = [value for kind in kinds for value in found[kind]]
        return float(np.percentile(values, share)) if values else 0.0

    goodput = rate_of(found, seconds)
    admitted, refused = (ANSWERED, EXPIRED), (REFUSED,)
    sent = len(found[LATE])
    rows = [
        ("capacity", f"{capacity:.1f}/s", "", ""),
        ("sent", f"{sent / seconds:.1f}/s", "", f"{sent} in {seconds:g} s"),
        (
            "answered in time (goodput)",
            f"{goodput:.1f}/s",
            f">= {GOODPUT * capacity:.1f}",
            f"{goodput / capacity:.2f} of it",
        ),
        ("refused", f"{len(found[REFUSED]) / seconds:.1f}/s", "", ""),
        ("a refusal takes, p50", f"{1e3 * percentile(refused, 50):.1f} ms", "", ""),
        ("a refusal takes, p99", f"{1e3 * percentile(refused, 99):.1f} ms", f"<= {1e3 * REFUSAL_S:.0f}", ""),
        ("admitted, p50", f"{percentile(admitted, 50):.2f} s", "", ""),
        ("admitted, p99", f"{percentile(admitted, 99):.2f} s", f"<= {deadline_s:g}", ""),
        ("admitted, too late", f"{len(found[EXPIRED])}", "", ""),
        ("wrong", f"{len(found[WRONG])}", "0", ""),
        ("unanswered", f"{len(found[UNANSWERED])}", "0", ""),
        ("sent later than planned, p99", f"{1e3 * percentile((LATE,), 99):.1f} ms", "", "the clients' own delay"),
    ]
    print(ROW.format("", "", "goal", "").rstrip())
    for row in rows:
        print(ROW.format(*row).rstrip())


def write_keys(path: Path) -> dict[str, list[str]]:
    """Two callers for each protocol."""
    from service.access.keys import hash_of, new_key

    keys = {protocol: [new_key(), new_key()] for protocol in ("REST", "gRPC")}
    lines = [f"{protocol}-{index} {hash_of(key)}" for protocol, both in keys.items() for index, key in enumerate(both)]
    path.write_text("\n".join(lines) + "\n")
    return keys


def people_of(photo: Path, port: int, key: str) -> int:
    """The number of people that an idle service finds in the photo, which every response under load must have."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", "/v1/reconstruct", photo.read_bytes(), HEADERS | {"X-API-Key": key})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise UserError(f"the service answered {response.status}: {body[:300].decode(errors='replace')}")
    return body.count(PERSON)
