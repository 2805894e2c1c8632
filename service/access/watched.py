"""A file that is read again when it changes. Knows nothing of what is in it.

It is looked at by time, size and number: that also sees the links that Kubernetes swaps under a mounted secret.
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
    """`value` is what `read` made of the file. A new file that cannot be used changes nothing, and the log says so."""

    def __init__(self, path: Path, read: Callable[[Path], Value]) -> None:
        """Raises UserError when the file cannot be used at the start."""
        self._path, self._read = path, read
        self._seen = _signature(path)  # before it is read, so that a change in between is seen
        self.value = read(path)

    def refresh(self) -> None:
        """Look at the file, and read it if it is another one than before. Blocks as files do."""
        seen = _signature(self._path)
        if seen == self._seen:
            return
        try:
            self.value = self._read(self._path)
        except UserError as error:
            log.error("what %s held before stays in use: %s", self._path.name, error)
        else:
            log.info("%s has changed and was read again", self._path.name)
        self._seen = seen  # after any other error, such as a lack of memory, it is read once more

    async def watch(self) -> None:
        """Refresh until cancelled, in a thread: the event loop never waits for a disk."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:  # whatever it is: a key that is taken out later must still lose its worth
                log.exception("what %s held before stays in use", self._path.name)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
