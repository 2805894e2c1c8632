"""Python's garbage collector, so that it does not keep the event loop: little to look through, and little found at a time."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Each call leaves some ten reference cycles, which only a collection of the oldest generation finds when the call took a
# while. By default that came after 14,000 dead objects and took up to 48 ms; so it comes after 2,000, and takes 6.
THRESHOLDS = (700, 5, 1)
LONG_COLLECTION_S = 0.005  # of the processor; a collection stops every thread for so long
MIN_SURVIVORS = 20_000  # survivors that must be a library and not what is in work; there are some 4,000 of these
MAX_FREEZES = 8  # times; what is in work at that moment is left out, too, and stays if it ends as a reference cycle


@contextmanager
def short_collections(clock: Callable[[], float] = time.thread_time) -> Iterator[None]:
    """Within the block, what is there at its begin is left out of all collections: 90,000 objects, 50 ms each time.

    So is what comes later and stays, such as the compiler of the kernels, with the first overlay.
    """
    begin, left, before = 0.0, MAX_FREEZES, gc.get_threshold()

    def watch(phase: str, info: dict[str, int]) -> None:
        nonlocal begin, left
        if phase == "start":
            begin = clock()
        elif (
            info["generation"] == 2
            and left
            and clock() - begin > LONG_COLLECTION_S
            and len(gc.get_objects(2)) > MIN_SURVIVORS
        ):
            left -= 1
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
