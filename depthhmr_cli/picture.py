"""Pictures as commands are given them: files by their names, frames by their times."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bodykit.picture_files import picture_files


@dataclass(frozen=True, eq=False)
class Picture:
    """One image file, and when it was taken: seconds since the first one."""

    content: bytes
    time_s: float


def pictures_of(files: Iterable[Path]) -> list[Path]:
    """`picture_files` in natural order, in which 10 comes after 9."""
    return sorted(picture_files(files), key=lambda file: natural(str(file)))


def natural(name: str) -> list[tuple[int, str]]:
    """A key for sorting in which numbers count as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
