"""Turns the image types that the client accepts into the bytes of an image file."""

import io
from pathlib import Path

import numpy as np

from service.client.errors import InvalidUse

Image = bytes | bytearray | memoryview | Path | np.ndarray
JPEG_QUALITY = 95  # the network sees 4 % of a camera's pixels; a higher quality would only cost bandwidth


def image_bytes(image: Image) -> bytes:
    """The content of a file at a path, the bytes themselves, or the JPEG of pixels uint8 [H, W, 3] (RGB).

    Raises InvalidUse. The service checks the content. A str is refused, because it could be a path or a mistake.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, Path):
        try:
            return image.read_bytes()
        except OSError as error:
            raise InvalidUse(f"cannot read the image {image}: {error.strerror}") from error
    if isinstance(image, np.ndarray):
        return _jpeg(image)
    raise InvalidUse(f"expected an image as bytes, a pathlib.Path or a numpy array, got {type(image).__name__}")


def _jpeg(pixels: np.ndarray) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise InvalidUse(f"expected pixels uint8 [H, W, 3], got {pixels.dtype} {list(pixels.shape)}")
    from PIL import Image as Pillow  # imported here: the rest of the client does not need it

    packed = io.BytesIO()
    Pillow.fromarray(pixels).save(packed, "JPEG", quality=JPEG_QUALITY)
    return packed.getvalue()
