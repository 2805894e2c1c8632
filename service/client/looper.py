"""An event loop in a thread of its own, for callers that have none. One for the whole process, begun when first needed:
a program with a hundred clients must not have a hundred threads.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
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
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="depthhmr client", daemon=True)
        self._thread.start()
        # Before daemon threads freeze: an iterator that is still open at the end must not wait for a loop that stands still.
        atexit.register(self.stop)

    @property
    def stopped(self) -> bool:
        return not self._thread.is_alive()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Its result. When this thread is interrupted (Ctrl-C), the coroutine is cancelled and has come to its end."""
        if self.stopped or threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError(
                "the client's event loop has stopped" if self.stopped else "called from the client's loop"
            )
        done: Future[T] = Future()
        work = self._work(coroutine, done)
        task: Future[asyncio.Task[None]] = Future()
        self._loop.call_soon_threadsafe(lambda: task.set_result(self._loop.create_task(work)))
        try:
            return done.result()
        except BaseException:
            if not done.done():
                self._loop.call_soon_threadsafe(lambda: task.result().cancel())
                wait([done], STOP_TIMEOUT_S)
            raise

    def stop(self) -> None:
        if not self.stopped and self.pid == os.getpid():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_TIMEOUT_S)

    async def _work(self, coroutine: Coroutine[Any, Any, T], done: "Future[T]") -> None:
        try:
            done.set_result(await coroutine)
        except asyncio.CancelledError:
            done.set_exception(InterruptedError("cancelled"))
            raise
        except BaseException as error:
            done.set_exception(error)
