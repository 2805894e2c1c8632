"""What the C library keeps of memory that was given back to it. Does nothing where that is not glibc."""

import asyncio
import ctypes
from contextlib import suppress

M_MMAP_THRESHOLD = -3  # of mallopt in glibc's malloc.h
LARGE_BYTES = 4 * 2**20
TRIM_INTERVAL_S = 2.0  # one look takes 0.6 ms of a thread of its own, and 10 ms where 64 MB are found


def give_back_large_blocks() -> None:
    """Let the C library return every large block to the system as soon as it is free.

    glibc raises that limit by itself to 32 MB, above the 16 MB of Pillow's blocks, and then keeps them, thread by thread:
    four threads that had drawn a picture of 40 megapixels, one after the other, held 1.4 GB instead of 0.7.
    """
    _call("mallopt", M_MMAP_THRESHOLD, LARGE_BYTES)


async def give_back_small_blocks(every_s: float = TRIM_INTERVAL_S) -> None:
    """Return what is free below those in use, again and again, until cancelled.

    One small block that stays keeps a thread's whole heap of 64 MB: a PNG with that much of text, which is refused, left
    them behind once for each thread.
    """
    while True:
        await asyncio.sleep(every_s)
        await asyncio.to_thread(_call, "malloc_trim", 0)


def _call(name: str, *numbers: int) -> None:
    with suppress(OSError, AttributeError):  # another C library
        getattr(ctypes.CDLL(None), name)(*numbers)
