"""Keeps the pauses of Python's garbage collector short: few objects to scan, and little garbage per collection."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Each call leaves about ten reference cycles. If the call took a while, only a collection of the oldest generation finds
# them. By default that ran after 14,000 dead objects and took up to 48 ms; with these values it runs after 2,000 and takes 6.
THRESHOLDS = (700, 5, 1)
LONG_COLLECTION_S = 0.005  # CPU seconds; a collection stops every thread
MIN_SURVIVORS = 20_000  # more than running requests hold (about 4,000), so a library must have been imported
MAX_FREEZES = 8  # a freeze also covers running requests, and leaks those of their objects that end in a reference cycle


@contextmanager
def short_collections(clock: Callable[[], float] = time.thread_time) -> Iterator[None]:
    """Within the block, collections skip the objects that existed at its start: 90,000 objects, 50 ms each time.

    Large imports later on, such as the kernel compiler at the first overlay, are frozen as well.
    """
    begin, freezes_left, before = 0.0, MAX_FREEZES, gc.get_threshold()

    def watch(phase: str, info: dict[str, int]) -> None:
        nonlocal begin, freezes_left
        if phase == "start":
            begin = clock()
        elif (
            info["generation"] == 2
            and freezes_left
            and clock() - begin > LONG_COLLECTION_S
            and len(gc.get_objects(2)) > MIN_SURVIVORS
        ):
            freezes_left -= 1
            gc.freeze()

    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.callbacks.append(watch)
    try:
        yield
    finally:
        gc.callbacks.remove(watch)
        gc.set_threshold(*before)
        gc.unfreeze()
