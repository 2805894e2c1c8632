"""Picture files: the suffixes that count as pictures, and reading one upright."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bodykit.errors import UserError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
UNREADABLE = (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError)  # Pillow's errors


def picture_files(files: Iterable[Path], suffixes: tuple[str, ...] = PICTURE_SUFFIXES) -> list[Path]:
    """The pictures among `files` by their suffix, sorted by path.

    Names that begin with a dot are left out: macOS puts ._x.jpg, which is no picture, beside each x.jpg.
    """
    return sorted(
        path for path in files if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )


def read_picture(path: Path) -> np.ndarray:
    """A picture file as uint8 [H, W, 3], turned upright. Raises UserError if it cannot be read."""
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UNREADABLE as error:
        raise UserError(f"cannot read the picture {path}: {error}") from error
