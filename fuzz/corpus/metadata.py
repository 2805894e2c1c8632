"""Pictures with odd metadata: EXIF, text, chunks."""

import struct
from collections.abc import Iterator

from PIL import Image

from fuzz.corpus import exif, png
from fuzz.corpus.case import BODY_LIMIT, DAMAGED, RED_GREEN, Case, Decoded, Either
from fuzz.corpus.pictures import arrow, encoded, noise, plain

TURN = Image.Transpose
STORED = (None, TURN.FLIP_LEFT_RIGHT, TURN.ROTATE_180, TURN.FLIP_TOP_BOTTOM)
STORED += (TURN.TRANSPOSE, TURN.ROTATE_90, TURN.TRANSVERSE, TURN.ROTATE_270)


def exif_orientations() -> Iterator[Case]:
    for format_name in ("JPEG", "PNG", "WEBP"):
        for number in range(1, 9):

            def content(format_name=format_name, number=number) -> bytes:
                how = STORED[number - 1]
                stored = arrow() if how is None else arrow().transpose(how)
                return encoded(stored, format_name, exif=exif.block(number), quality=95)

            yield Case(f"{format_name} of orientation {number}", content, Decoded(colours=RED_GREEN))


def other_exif() -> Iterator[Case]:
    upright = Decoded(colours=RED_GREEN)
    for value in (0, 9, 255, 65_535):
        yield Case(f"orientation {value}", lambda v=value: encoded(arrow(), quality=95, exif=exif.block(v)), upright)
    for name, data in (
        ("an orientation that is text", exif.tiff([(0x0112, 2, 2, b"6\x00\x00\x00")])),
        ("an orientation of many numbers", exif.tiff([(0x0112, 3, 1000, b"\x08\x00\x00\x00")])),
        ("an orientation that divides by zero", exif.tiff([(0x0112, 5, 1, struct.pack("<I", 8))])),
        ("EXIF that points at itself", exif.tiff([(0x8769, 4, 1, struct.pack("<I", 8))])),
        ("EXIF that points beyond itself", exif.tiff([(0x8769, 4, 1, struct.pack("<I", 2**32 - 1))])),
        ("EXIF with an IFD that claims 65535 tags", b"II*\x00" + struct.pack("<IH", 8, 65_535)),
        ("EXIF of another byte order than it says", b"MM\x00*" + struct.pack("<IH", 8, 1)),
        ("EXIF of noise", b"\xff" * 60),
        ("EXIF of nothing", b""),
        ("EXIF with values of 4 GB", exif.tiff([(0x010F, 2, 2**32 - 1, struct.pack("<I", 8))])),
        ("EXIF with a next IFD that is itself", exif.tiff([(0x010F, 2, 2, b"a\x00\x00\x00")], after=8)),
        ("EXIF of 5000 tags", exif.tiff([(tag, 3, 1, b"\x01\x00\x00\x00") for tag in range(1, 5001)])),
        ("EXIF of 1000 tags of 60 kB each", exif.tiff_of_overlaps(1000, 60_000)),
    ):
        yield Case(name, lambda data=data: exif.with_exif(data), upright)
    yield Case(
        "300 EXIF tags of 16 MB each in a PNG",
        lambda: png.with_chunks(png.chunk(b"eXIf", exif.tiff_of_overlaps(300, BODY_LIMIT - 10_000))),
        upright,
        large=True,
    )
    yield Case("EXIF of a PNG that is noise", lambda: png.with_chunks(png.chunk(b"eXIf", noise(500))), upright)
    yield Case(
        "two EXIF segments", lambda: exif.with_exif(exif.tiff([]), exif.tiff([(0x0112, 3, 1, b"\x06\0\0\0")])), Either()
    )
    yield Case("a focal length", lambda: encoded(arrow(), exif=exif.block(focal_35mm=28)), Decoded(focal=True))
    for focal in (0, 1, 60_000):
        yield Case(
            f"a focal length of {focal}", lambda f=focal: encoded(arrow(), exif=exif.block(focal_35mm=f)), Decoded()
        )
    yield Case("a place on earth", exif.with_a_place, upright)
    yield Case("a sideways picture by its XMP alone", exif.sideways_by_xmp, Decoded())


def chunks() -> Iterator[Case]:
    yield Case(
        "a PNG with notes",
        lambda: encoded(arrow(), "PNG", pnginfo=png.notes_of_an_author()),
        Decoded(colours=RED_GREEN),
    )
    yield Case("a PNG of a text without end", lambda: png.with_chunks(png.chunk(b"tEXt", b"a" * 5000)), Decoded())
    yield Case(
        "a PNG of compressed text that is none", lambda: png.with_chunks(png.chunk(b"zTXt", b"a\x00\x00no")), Either()
    )
    yield Case("a PNG with two headers", lambda: png.with_chunks(plain("PNG")[8:33]), Either())
    yield Case("a PNG of an unknown critical chunk", lambda: png.with_chunks(png.chunk(b"AAAA", b"")), Either())
    yield Case("a PNG of a chunk of 4 GB", lambda: png.with_chunks(b"\xff\xff\xff\xfftEXt"), DAMAGED)
    yield Case(
        "a PNG whose chunk has no letters for a name",
        lambda: png.with_chunks(png.chunk(b"\x00\xff\n\x07", b"")),
        DAMAGED,
    )
    yield Case("a WebP of a length of 4 GB", lambda: b"RIFF\xff\xff\xff\xff" + plain("WebP")[8:], Either())
    yield Case("a WebP of a length of nothing", lambda: b"RIFF\x00\x00\x00\x00" + plain("WebP")[8:], DAMAGED)
