"""numba's `njit` for code that must run where no file can be written, too. Imports numba: import this late.

A kernel names its types. It is then compiled once, at the import of its module, and not again in the middle of a request
for an array that is read-only or a whole number where a fraction was meant: that took seconds, and 70 MB for good.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numba import njit


def kernel(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: compiled for the types of `signature`, and kept on disk for the next process where there is room for it.

    numba itself refuses to work without a folder that it can write, and fails when the disk is full.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**options)(function)
        with suppress(RuntimeError):  # no such folder
            dispatcher.enable_caching()
            # The hook in which numba swallows what goes wrong with files on Windows; elsewhere it lets everything through.
            dispatcher._cache._guard_against_spurious_io_errors = lambda: suppress(OSError)
        dispatcher.compile(signature)
        dispatcher.disable_compile()
        return dispatcher

    return compiled
