"""Notices a run of the network that does not end. Knows nothing of the network."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


class RunWatch:
    """The runs in progress on any thread, and how often each has been looked at.

    Looks are counted instead of seconds: a process that was stopped and continues has not hung.
    """

    def __init__(self) -> None:
        self._lock, self._numbers = threading.Lock(), count()
        self._looks: dict[int, int] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around one run."""
        number = next(self._numbers)
        with self._lock:
            self._looks[number] = 0
        try:
            yield
        finally:
            with self._lock:
                del self._looks[number]

    def look(self) -> int:
        """Look at every run in progress; the number of looks at the oldest one, this one included."""
        with self._lock:
            for number in self._looks:
                self._looks[number] += 1
            return max(self._looks.values(), default=0)
