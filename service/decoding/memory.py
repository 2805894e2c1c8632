"""A memory budget shared by all decoding threads. Knows nothing of pictures."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Overloaded


class DecodingMemory:
    """Bytes shared by threads, first come first served. A thread waits until its bytes are free.

    A request for more than the total gets the whole total.
    """

    def __init__(self, total_bytes: int, *, wait_s: float = 30.0) -> None:
        self._total, self._wait_s = total_bytes, wait_s
        self._free = total_bytes
        self._turns: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, wanted_bytes: int) -> Iterator[None]:
        """Holds `wanted_bytes` for the block. Raises Overloaded if they are not free within `wait_s` seconds.

        Must not be nested: a thread would wait for bytes that it holds itself.
        """
        wanted = min(wanted_bytes, self._total)
        self._take(wanted)
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()

    def _take(self, wanted: int) -> None:
        turn = object()
        until = time.monotonic() + self._wait_s
        with self._changed:
            self._turns.append(turn)
            try:
                # Without turns, small pictures could overtake a large one endlessly.
                while self._turns[0] is not turn or self._free < wanted:
                    if not self._changed.wait(until - time.monotonic()):
                        raise Overloaded("other large pictures take all the memory for decoding; try again in a moment")
                self._free -= wanted
            finally:
                self._turns.remove(turn)
                self._changed.notify_all()
