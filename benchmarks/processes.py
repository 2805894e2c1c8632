"""Processes of a benchmark: started, asked for their processor time, and stopped with all that they started."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
START_S, STOP_S = 120.0, 15.0


class BenchmarkError(Exception):
    """A contender does not start or does not answer as it should."""


class Process:
    """A command with the repository on its path, in a session of its own."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, log: Path, speaks: bool = False
    ) -> None:
        """What it writes goes into the file `log`; of one that `speaks`, standard output is for `hear`."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DEPTHHMR_")}
        paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "benchmarks" / "contenders")])
        self._log = open(log, "wb")  # noqa: SIM115  closed in `stop`
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if speaks else self._log,
            stderr=self._log,
            text=True,
            cwd=REPOSITORY,
            env={**inherited, "PYTHONPATH": paths, **(environment or {})},
            start_new_session=True,
        )
        self.name = " ".join(map(str, command))

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        """The next line. Raises BenchmarkError when there is none."""
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise BenchmarkError(f"{self.name} ended with status {self._process.wait()}")
        return line.strip()

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Until it answers. Raises BenchmarkError when it ends before, or does not within `START_S`."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise BenchmarkError(f"{self.name} ended with status {self._process.returncode}")
            if answers():
                return
            time.sleep(0.1)
        raise BenchmarkError(f"{self.name} does not answer after {START_S:g} s")

    def cpu_s(self) -> float:
        """Processor seconds, user and system, of the process and of all that descend from it."""
        return sum(_cpu_s(pid) for pid in descendants(self._process.pid))

    def rss_mb(self) -> float:
        """Resident memory of the same."""
        return sum(_rss_mb(pid) for pid in descendants(self._process.pid))

    def stop(self) -> None:
        family = descendants(self._process.pid)
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process.wait(STOP_S)
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                stream.close()


def descendants(pid: int) -> list[int]:
    """`pid` and every process below it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, rest = [], [pid]
    while rest:
        found.append(rest.pop())
        rest += children.get(found[-1], [])
    return found


def busy_s() -> float:
    """Processor seconds that all processes of this machine have used, and those that its host has taken away."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) * TICK_S


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none when the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) * TICK_S if fields else 0.0


def _rss_mb(pid: int) -> float:
    fields = _stat(pid)
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if fields else 0.0
