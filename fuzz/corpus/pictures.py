"""The small sound pictures that the others are made of."""

import io
from functools import cache

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 32
FORMATS = ("JPEG", "progressive JPEG", "PNG", "WebP", "lossless WebP")


def arrow(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Red on the left, green on the right, blue at the bottom: every turn of it looks different."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 1] = 255
    pixels[height * 3 // 4 :] = (0, 0, 255)
    return Image.fromarray(pixels)


def encoded(picture: Image.Image, format_name: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


@cache
def plain(format_name: str) -> bytes:
    return saved(arrow(), format_name)


@cache
def noisy(format_name: str) -> bytes:
    return saved(Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)), format_name)


def saved(picture: Image.Image, format_name: str) -> bytes:
    if format_name.endswith("JPEG"):
        return encoded(picture, "JPEG", quality=95, progressive=format_name.startswith("progressive"))
    return encoded(picture, format_name.split()[-1].upper(), lossless=format_name.startswith("lossless"), quality=95)


def one_colour(width: int, height: int, format_name: str, mode: str = "RGB", **options) -> bytes:
    return encoded(Image.new(mode, (width, height), (120, 90, 60, 200)[: len(mode)]), format_name, **options)


def noise(count: int) -> bytes:
    return np.random.default_rng(count).bytes(count)


def zeroed(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(100) + content[middle + 100 :]
