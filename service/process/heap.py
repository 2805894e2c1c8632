"""Returns freed memory to the operating system. Does nothing unless the C library is glibc."""

import asyncio
import ctypes
from contextlib import suppress

M_MMAP_THRESHOLD = -3  # of mallopt in glibc's malloc.h
LARGE_BYTES = 4 * 2**20
TRIM_INTERVAL_S = 2.0  # a trim takes 0.6 ms of a separate thread, and 10 ms when it returns 64 MB


def release_large_blocks() -> None:
    """Make the C library return every large block as soon as it is freed.

    glibc raises this threshold by itself up to 32 MB, above Pillow's blocks of 16 MB, and then keeps freed blocks per thread:
    after four threads had each drawn a picture of 40 megapixels, the process held 1.4 GB instead of 0.7.
    """
    _call("mallopt", M_MMAP_THRESHOLD, LARGE_BYTES)


async def release_small_blocks(interval_s: float = TRIM_INTERVAL_S) -> None:
    """Return free memory below blocks still in use, periodically, until cancelled.

    One small block in use keeps a thread's whole heap of 64 MB: refused PNGs with that much text left such a heap behind in
    every thread.
    """
    while True:
        await asyncio.sleep(interval_s)
        await asyncio.to_thread(_call, "malloc_trim", 0)


def _call(name: str, *numbers: int) -> None:
    with suppress(OSError, AttributeError):  # another C library
        getattr(ctypes.CDLL(None), name)(*numbers)
