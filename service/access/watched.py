"""A file that is reloaded when it changes. Knows nothing of its contents.

A change is detected by modification time, size and inode, so the symbolic links that Kubernetes swaps under a mounted secret
are noticed, too.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from bodykit.errors import UserError

log = logging.getLogger("service")
CHECK_INTERVAL_S = 2.0
Value = TypeVar("Value")


class Watched(Generic[Value]):
    """`value` is the result of `read(path)`. A changed file that cannot be used is logged and leaves `value` as it was."""

    def __init__(self, path: Path, read: Callable[[Path], Value]) -> None:
        """Raises UserError when the file cannot be used."""
        self._path, self._read = path, read
        self._seen = _signature(path)  # taken before reading, so a change in between is noticed later
        self.value = read(path)

    def refresh(self) -> None:
        """Reload the file if it has changed. Blocks on file I/O."""
        seen = _signature(self._path)
        if seen == self._seen:
            return
        try:
            self.value = self._read(self._path)
        except UserError as error:
            log.error("the previous content of %s stays in use: %s", self._path.name, error)
        else:
            log.info("%s has changed and was reloaded", self._path.name)
        self._seen = seen  # not reached after any other error, such as MemoryError: the next call tries again

    async def watch(self) -> None:
        """Refresh until cancelled, in a thread, so the event loop never waits for a disk."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:  # keep watching after any error: a key removed later must still be revoked
                log.exception("the previous content of %s stays in use", self._path.name)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
