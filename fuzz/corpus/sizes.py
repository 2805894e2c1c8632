"""Sizes: headers that lie about them, and real pictures at the limits."""

import struct
from collections.abc import Iterator

from PIL import Image

from fuzz.corpus import jpeg, png
from fuzz.corpus.case import DAMAGED, RED_GREEN, TOO_LARGE, Case, Decoded, Either
from fuzz.corpus.pictures import FORMATS, HEIGHT, WIDTH, encoded, noisy, one_colour, plain


def lies_about_size() -> Iterator[Case]:
    for width, height, expected in (
        (50_000, 50_000, TOO_LARGE),
        (30_000, 1, TOO_LARGE),
        (1, 30_000, TOO_LARGE),
        (8_000, 8_000, TOO_LARGE),
        (2**31 - 1, 2**31 - 1, TOO_LARGE),
        (2**32 - 1, 1, TOO_LARGE),
        (0, 10, DAMAGED),
        (10, 0, DAMAGED),
        (100, 100, DAMAGED),
        (6_000, 6_000, DAMAGED),
    ):
        yield Case(f"an empty PNG of {width} x {height}", lambda w=width, h=height: png.claiming(w, h), expected)
    for width, height, expected in (
        (65_535, 65_535, TOO_LARGE),
        (65_535, 1, TOO_LARGE),
        (0, 0, DAMAGED),
        (WIDTH, 0, DAMAGED),
    ):
        yield Case(f"a JPEG that claims {width} x {height}", lambda w=width, h=height: jpeg.claiming(w, h), expected)
    # libjpeg fills up what is missing before the end marker, and Pillow does not tell; half grey is what is seen then
    yield Case(
        "a JPEG that claims ten times its height",
        lambda: jpeg.claiming(WIDTH, 10 * HEIGHT),
        Decoded(WIDTH, 10 * HEIGHT),
    )
    yield Case("a JPEG that claims a tenth of its height", lambda: jpeg.claiming(WIDTH, 8), Either())
    for width, height, expected in (
        (16_383, 16_383, TOO_LARGE),
        (2**24, 2**24, TOO_LARGE),
        (2**24, 1, TOO_LARGE),
        (6_000, 6_000, DAMAGED),
    ):
        yield Case(f"a WebP that claims {width} x {height}", lambda w=width, h=height: _webp_claiming(w, h), expected)
    yield Case("a JPEG with two frame headers", lambda: jpeg.of_two_frames(), DAMAGED)


def _webp_claiming(width: int, height: int) -> bytes:
    """The arrow in a canvas of another size."""
    canvas = struct.pack("<I", 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas + plain("WebP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def shapes_and_contents() -> Iterator[Case]:
    for width, height in ((1, 1), (2, 2), (3, 1), (1, 12_000), (12_000, 1), (12_000, 2)):
        yield Case(f"{width} x {height}", lambda w=width, h=height: one_colour(w, h, "JPEG"), Decoded(width, height))
    for name, value in (("black", 0), ("white", 255)):
        colour = (value,) * 3
        yield Case(
            f"all {name}",
            lambda colour=colour: encoded(Image.new("RGB", (WIDTH, HEIGHT), colour)),
            Decoded(colours=(colour, colour)),
        )
    for format_name in FORMATS:
        yield Case(f"noise as {format_name}", lambda f=format_name: noisy(f), Decoded(300, 200))
    yield Case("the arrow as PNG", lambda: plain("PNG"), Decoded(colours=RED_GREEN))
    yield Case("the arrow as WebP", lambda: plain("WebP"), Decoded(colours=RED_GREEN))
