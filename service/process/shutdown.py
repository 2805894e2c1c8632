"""How this process is told to go: by SIGTERM, SIGINT or SIGHUP, from its first line on. Knows nothing of servers.

The first signal ends a process that is still starting, on the spot: nobody has been promised anything yet. Once somebody
awaits it, it begins the way down instead, and a second one ends the process at once, whatever is in work.
"""

import asyncio
import os
import select
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

STANDARD_OUTPUT = 1
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GIVEN_UP = 1  # exit status of a process whose work was cut off because somebody insisted


class Departure:
    """A context: the handlers are in place inside of it, and what was there before is back afterwards."""

    def __init__(self) -> None:
        self.status = 0  # of the process, in the end
        self._asked = False
        self._told: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Departure":
        if threading.current_thread() is threading.main_thread():  # no other thread may, and none is ever told
            self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS if _counts(number)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def open(self) -> None:
        """From here on, in the running loop, the first signal is for whoever awaits `asked`."""
        self._told, self._loop = asyncio.Event(), asyncio.get_running_loop()

    async def asked(self) -> None:
        """Until the first signal. Call `open` before."""
        assert self._told is not None
        await self._told.wait()

    def ask(self, status: int) -> None:
        """Begin the way down without a signal, in the running loop; the process ends with `status`."""
        assert self._told is not None
        self.status = status
        self._told.set()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._loop is None or self._told is None:
            leave(0, f"depthhmr stopped by {name} before it was ready")
        elif self._asked:
            leave(GIVEN_UP, f"depthhmr ends at once: {name} came a second time; what was in work is lost")
        else:
            self._asked = True
            self._loop.call_soon_threadsafe(self._told.set)


def _counts(number: int) -> bool:
    """`nohup` has a process ignore that its terminal was closed, and means it."""
    return number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN


def leave(status: int, line: str) -> None:
    """End this process here and now, with a last line where somebody reads.

    No thread, lock or buffer is asked: one of them may be what hangs.
    """
    try:
        if select.select([], [STANDARD_OUTPUT], [], 0)[1]:  # a pipe that nobody empties would keep us for ever
            os.write(STANDARD_OUTPUT, line.encode() + b"\n")
    except (OSError, ValueError):
        pass
    os._exit(status)


def leave_after(seconds: float, status: int, line: str) -> None:
    """`leave` after so long, if this process is still there by then: also when its event loop is not heard any more."""
    timer = threading.Timer(seconds, leave, (status, line))
    timer.daemon = True
    timer.start()
