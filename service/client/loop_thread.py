"""An event loop in a background thread, for synchronous callers. Started on first use and shared by the whole process, so
that a program with a hundred clients does not start a hundred threads.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from service.client.errors import InvalidUse

T = TypeVar("T")
STOP_TIMEOUT_S = 5.0
_lock = threading.Lock()
_current: "LoopThread | None" = None


def shared_loop_thread() -> "LoopThread":
    """The one of this process; a forked child starts its own, because threads do not survive a fork."""
    global _current
    with _lock:
        if _current is None or _current.pid != os.getpid() or _current.stopped:
            _current = LoopThread()
        return _current


class LoopThread:
    """Runs coroutines for threads that block on their results."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="depthhmr client", daemon=True)
        self._thread.start()
        self._loop, self._stopping = started.result()
        # Runs before daemon threads freeze: an iterator that is open at exit must not wait for a frozen loop.
        atexit.register(self.stop)

    @property
    def stopped(self) -> bool:
        return not self._thread.is_alive()

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the coroutine that `make` returns. When this thread is interrupted (Ctrl-C), the coroutine is
        cancelled and has finished before this returns.

        `make` is called in the loop's thread, so that an interruption here never leaves a coroutine that was not awaited.
        """
        if self.pid != os.getpid():
            raise InvalidUse("this client was made before a fork; make a new one in the child process")
        if self.stopped or threading.current_thread() is self._thread:
            raise RuntimeError(
                "the client's event loop has stopped" if self.stopped else "called from the client's loop"
            )
        done: Future[T] = Future()
        tasks: list[asyncio.Task[None]] = []

        def cancel() -> None:
            if not tasks:
                done.set_exception(InterruptedError("cancelled before it started"))
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
        """Cancel all coroutines and end the thread."""
        if not self.stopped and self.pid == os.getpid():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(STOP_TIMEOUT_S)

    def _serve(self, started: "Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]") -> None:
        async def until_stopped() -> None:
            stopping = asyncio.Event()
            started.set_result((asyncio.get_running_loop(), stopping))
            await stopping.wait()

        asyncio.run(until_stopped())  # cancels the remaining tasks and closes the loop

    async def _work(self, make: Callable[[], Coroutine[Any, Any, T]], done: "Future[T]") -> None:
        try:
            done.set_result(await make())
        except asyncio.CancelledError:
            done.set_exception(InterruptedError("cancelled"))
            raise
        except BaseException as error:
            done.set_exception(error)
