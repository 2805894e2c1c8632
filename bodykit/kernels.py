"""numba's `njit`, also on read-only file systems. Imports numba, so import this late.

A kernel declares its types, so it is compiled once, when its module is imported. Without them a read-only array or an
integer in place of a float compiles it again in the middle of a request: seconds, and 70 MB that are never freed.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numba import njit


def kernel(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: compiles for the types of `signature`, and caches the result on disk where possible.

    numba itself fails without a writable folder and when the disk is full.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**options)(function)
        with suppress(RuntimeError):  # no such folder
            dispatcher.enable_caching()
            # numba's hook for file errors: it suppresses them on Windows and raises them elsewhere.
            dispatcher._cache._guard_against_spurious_io_errors = lambda: suppress(OSError)
        dispatcher.compile(signature)
        dispatcher.disable_compile()
        return dispatcher

    return compiled
