"""Too few threads, a kill by the kernel, a clock that jumps."""

import ast
import ctypes
import os
import resource
import signal
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SERVICE = Path(__file__).parents[2] / "service"
OTHER_USER = 54_321  # no other processes count towards its limit
PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 47, 2
# Where the wall clock may be read: log lines, the validity of certificates, and rate limits, whose library uses it: a jump
# makes one window longer or shorter. Tokens are checked by their library.
READ_THE_WALL_CLOCK = {"telemetry/logs.py", "access/tls.py", "limits/rate_limit.py"}


def few_threads(limit: int):
    """Limits the threads of a new process. Root is exempt, so it becomes another user with read access to everything."""

    def begin() -> None:
        if os.geteuid() == 0:
            become_reader(OTHER_USER)
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))

    return begin


def become_reader(user: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    read_all = 1 << 2  # CAP_DAC_READ_SEARCH
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(read_all, read_all, read_all, 0, 0, 0)
    if libc.capset(header, data) or libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 2, 0, 0):
        raise OSError(ctypes.get_errno(), "capset")


@pytest.mark.parametrize("limit", [3, 8, 40])
def test_too_few_threads_end_the_process_or_suffice(start, limit, people_jpeg):
    """The process must not keep running without answering."""
    process = start(limits=few_threads(limit))
    process.until(lambda: "ready at" in process.out or not process.running)

    if process.running:
        assert process.until_ready().people(people_jpeg) == 2
    else:
        assert process.ended() != 0 and process.error


def test_a_process_killed_by_the_kernel_can_be_restarted_at_once(start, people_jpeg):
    process = start().until_ready()
    ports = ("--port", str(process.port), "--grpc-port", str(process.grpc_port))
    process.signal(signal.SIGKILL)
    assert process.ended() == -signal.SIGKILL

    assert start(*ports).until_ready().people(people_jpeg) == 2


def test_no_deadline_uses_the_wall_clock() -> None:
    """Then a jump of the clock changes no deadline and no pause."""
    reading = set()
    for file in SERVICE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("time.time", "time.time_ns", "datetime.now"):
                reading.add(str(file.relative_to(SERVICE)))
    assert reading <= READ_THE_WALL_CLOCK
