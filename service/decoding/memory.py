"""How much memory all decoding together may take. Knows nothing of pictures."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Overloaded


class DecodingMemory:
    """A sum of bytes that threads share: who wants more than is left waits, first come first served.

    One who wants more than the whole sum gets all of it, alone.
    """

    def __init__(self, total_bytes: int, *, wait_s: float = 30.0) -> None:
        self._total, self._wait_s = total_bytes, wait_s
        self._free = total_bytes
        self._turns: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, wanted_bytes: int) -> Iterator[None]:
        """Hold so many bytes for the block. Raises Overloaded after `wait_s` seconds without them.

        Not to be nested: a thread that waits for what it holds itself waits in vain.
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
                # Without turns, small pictures would slip past a large one for ever.
                while self._turns[0] is not turn or self._free < wanted:
                    if not self._changed.wait(until - time.monotonic()):
                        raise Overloaded("other large pictures take all the memory for decoding; ask again in a moment")
                self._free -= wanted
            finally:
                self._turns.remove(turn)
                self._changed.notify_all()
