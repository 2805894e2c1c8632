"""A folder of pictures with nobody in them: what the network shall not call a person."""

from collections.abc import Iterator
from pathlib import Path

from bodykit.errors import UserError
from depthhmr.data.picture import Picture

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def read(folder: Path) -> Iterator[Picture]:
    """All pictures under a folder, by name. Raises UserError when there is none."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise UserError(f"there is no picture under {folder}; expected files that end in {', '.join(SUFFIXES)}")
    for path in files:
        yield Picture(path, everyone=True)
