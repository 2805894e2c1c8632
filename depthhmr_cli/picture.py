"""Pictures as arguments of commands: files by name, frames by time."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bodykit.picture_files import PICTURE_SUFFIXES, picture_files

SENT_SUFFIXES = (*PICTURE_SUFFIXES, ".heic", ".heif", ".avif")  # a service reads the last three with its extra `heif`


@dataclass(frozen=True, eq=False)
class Picture:
    """One image file, and when it was taken: seconds since the first one."""

    content: bytes
    time_s: float


def pictures_of(files: Iterable[Path]) -> list[Path]:
    """The pictures that a service may read, in natural order, in which 10 comes after 9."""
    return sorted(picture_files(files, SENT_SUFFIXES), key=lambda file: natural(str(file)))


def natural(name: str) -> list[tuple[int, str]]:
    """A sort key that compares numbers as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
