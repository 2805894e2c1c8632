"""Pictures as commands are given them: files by their names, frames by their times."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, eq=False)
class Picture:
    """One image file, and when it was taken: seconds since the first one."""

    content: bytes
    time_s: float


def pictures_of(files: Iterable[Path]) -> list[Path]:
    """Those that are pictures by their names, in an order in which 10 comes after 9.

    Names that begin with a dot are left out: macOS puts ._x.jpg, which is no picture, beside each x.jpg.
    """
    pictures = [file for file in files if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    return sorted(pictures, key=lambda file: natural(str(file)))


def natural(name: str) -> list[tuple[int, str]]:
    """A key for sorting in which numbers count as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
