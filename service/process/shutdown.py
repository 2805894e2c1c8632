"""How this process is told to stop: SIGTERM, SIGINT or SIGHUP, or a request from inside. Knows nothing of servers.

A signal during startup ends the process at once. After `attach`, the first signal starts a graceful shutdown and the second
one ends the process at once.
"""

import asyncio
import logging
import os
import select
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, NoReturn

STANDARD_OUTPUT = 1
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FORCED = 1  # exit status when a second signal cut off running requests


class Shutdown:
    """A context manager: installs the signal handlers and restores the previous ones."""

    def __init__(self) -> None:
        self.status = 0  # exit status of the process
        self._signalled = False
        self._requested: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Shutdown":
        if (
            threading.current_thread() is threading.main_thread()
        ):  # Python allows and calls handlers in this thread only
            self._previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS if _handled(number)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def attach(self) -> None:
        """From now on the first signal wakes `requested`, in the running loop."""
        self._requested, self._loop = asyncio.Event(), asyncio.get_running_loop()

    async def requested(self) -> None:
        """Wait until a shutdown is requested. Call `attach` first."""
        assert self._requested is not None
        await self._requested.wait()

    def request(self, status: int) -> None:
        """Start a shutdown without a signal, from the running loop; the process exits with `status`."""
        assert self._requested is not None
        self.status = status
        self._requested.set()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._loop is None or self._requested is None:
            exit_now(0, f"depthhmr stopped by {name} before it was ready")
        elif self._signalled:
            exit_now(FORCED, f"depthhmr ends at once: {name} came a second time; what was in work is lost")
        else:
            self._signalled = True
            self._loop.call_soon_threadsafe(self._requested.set)


def _handled(number: int) -> bool:
    """`nohup` sets SIGHUP to be ignored, and that is respected."""
    return number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN


def exit_now(status: int, line: str) -> None:
    """End the process here, with a last line on standard output if it can be written.

    Takes no lock and flushes no buffer: any of them may be what hangs.
    """
    try:
        if select.select([], [STANDARD_OUTPUT], [], 0)[1]:  # writing to a full pipe would block
            os.write(STANDARD_OUTPUT, line.encode() + b"\n")
    except (OSError, ValueError):
        pass
    os._exit(status)


def exit_at_once(status: int) -> NoReturn:
    """End the process after a complete shutdown. The interpreter's own teardown would take 1 to 4 s more, with the libraries
    of the engine and of the traces loaded, and a supervisor would wait for it.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # no reader, no space, or closed
            pass
    os._exit(status)


def exit_after(seconds: float, status: int, line: str) -> None:
    """Call `exit_now` after `seconds` if the process still runs, even when its event loop is blocked."""
    timer = threading.Timer(seconds, exit_now, (status, line))
    timer.daemon = True
    timer.start()
