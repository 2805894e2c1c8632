"""numba's `njit` for code that must run where no file can be written, too. Imports numba: import this late."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numba import njit


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: compiled at the first call, and kept on disk for the next process where there is room for it.

    numba itself refuses to work without a folder that it can write, and fails at the first call when the disk is full.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            dispatcher = njit(cache=True, **options)(function)
        except RuntimeError:  # no such folder
            return njit(**options)(function)
        # The hook in which numba swallows what goes wrong with files on Windows; elsewhere it lets everything through.
        dispatcher._cache._guard_against_spurious_io_errors = lambda: suppress(OSError)
        return dispatcher

    return compiled
