"""A folder of pictures without people, from which the network learns what is no person."""

from collections.abc import Iterator
from pathlib import Path

from bodykit.errors import UserError
from bodykit.picture_files import PICTURE_SUFFIXES, picture_files
from depthhmr.data.picture import Picture

SUFFIXES = (*PICTURE_SUFFIXES, ".bmp")


def read(folder: Path) -> Iterator[Picture]:
    """All pictures under a folder, by name. Raises UserError without any."""
    files = picture_files(folder.rglob("*"), SUFFIXES)
    if not files:
        raise UserError(f"expected pictures ({', '.join(SUFFIXES)}) under {folder}, found none")
    for path in files:
        yield Picture(path, everyone=True)
