"""An event loop in a thread of its own, for callers that have none. One for the whole process, begun when first needed:
a program with a hundred clients must not have a hundred threads.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

T = TypeVar("T")
STOP_TIMEOUT_S = 5.0
_lock = threading.Lock()
_current: "LoopThread | None" = None


def loop_thread() -> "LoopThread":
    """The process's own; a forked child gets a new one, because threads do not survive a fork."""
    global _current
    with _lock:
        if _current is None or _current.pid != os.getpid() or _current.stopped:
            _current = LoopThread()
        return _current


class LoopThread:
    """Runs coroutines for threads that wait for them."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._serve, args=(begun,), name="depthhmr client", daemon=True)
        self._thread.start()
        self._loop, self._stopping = begun.result()
        # Before daemon threads freeze: an iterator that is still open at the end must not wait for a loop that stands still.
        atexit.register(self.stop)

    @property
    def stopped(self) -> bool:
        return not self._thread.is_alive()

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the coroutine that `make` makes. When this thread is interrupted (Ctrl-C), the coroutine is cancelled
        and has come to its end.

        It is made in the other thread: an interruption must not find one here that nobody waits for yet.
        """
        if self.stopped or threading.current_thread() is self._thread:
            raise RuntimeError(
                "the client's event loop has stopped" if self.stopped else "called from the client's loop"
            )
        done: Future[T] = Future()
        tasks: list[asyncio.Task[None]] = []

        def cancel() -> None:
            if not tasks:
                done.set_exception(InterruptedError("cancelled before it began"))
            for task in tasks:
                task.cancel()

        try:
            self._loop.call_soon_threadsafe(lambda: tasks.append(self._loop.create_task(self._work(make, done))))
            return done.result()
        except BaseException:
            if not done.done():
                self._loop.call_soon_threadsafe(cancel)
                wait([done], STOP_TIMEOUT_S)
            raise

    def stop(self) -> None:
        """End what is under way, and the thread."""
        if not self.stopped and self.pid == os.getpid():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(STOP_TIMEOUT_S)

    def _serve(self, begun: "Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]") -> None:
        async def until_stopped() -> None:
            stopping = asyncio.Event()
            begun.set_result((asyncio.get_running_loop(), stopping))
            await stopping.wait()

        asyncio.run(until_stopped())  # cancels what is left, and closes the loop

    async def _work(self, make: Callable[[], Coroutine[Any, Any, T]], done: "Future[T]") -> None:
        try:
            done.set_result(await make())
        except asyncio.CancelledError:
            done.set_exception(InterruptedError("cancelled"))
            raise
        except BaseException as error:
            done.set_exception(error)
