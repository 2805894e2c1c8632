"""HEIC and AVIF pictures, where the optional extra `heif` is installed.

An extra, because its wheels carry x265, which is GPL: users install it, and no image of ours contains it.
"""

import io

from PIL import AvifImagePlugin, Image

BRANDS = {  # ISO 23008-12 and the AV1 Image File Format; the brand is that of the file's main picture
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"mif1": "HEIC",
    b"avif": "AVIF",
    b"avis": "AVIF",
}
# What decoding takes per pixel at its peak, in bytes; tests/hostile measures that it is no more.
HEIC_BYTES = 14
AVIF_BYTES = 14

try:
    import pillow_heif
except ImportError:
    AVAILABLE = False
else:
    AVAILABLE = AvifImagePlugin.SUPPORTED
    # Of a file's pictures only the main one is looked at.
    pillow_heif.options.THUMBNAILS = pillow_heif.options.DEPTH_IMAGES = pillow_heif.options.AUX_IMAGES = False
    pillow_heif.options.DECODE_THREADS = 1  # pictures are decoded side by side
    pillow_heif.register_heif_opener()

FORMATS = ("HEIF", "AVIF") if AVAILABLE else ()  # as Pillow calls them
HINT = "the server reads HEIC and AVIF once its extra `heif` is installed (scripts/install heif)"


def heif_size(content: bytes) -> tuple[int, int]:
    """Width and height, upright. No pixel is decoded; raises whatever the libraries do."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        return picture.size
