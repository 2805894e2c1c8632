"""EXIF blocks, sound and hostile."""

import struct

from PIL import Image

from fuzz.corpus.jpeg import after_start, segment
from fuzz.corpus.pictures import arrow, encoded

GPS_NOTE = "51.4779 N 0.0015 W"  # must not come back from anywhere


def block(orientation: int | None = None, focal_35mm: int | None = None) -> Image.Exif:
    data = Image.Exif()
    if orientation is not None:
        data[0x0112] = orientation
    if focal_35mm is not None:
        data.get_ifd(0x8769)[0xA405] = focal_35mm
    return data


def with_a_place() -> bytes:
    """A JPEG that says where it was taken, in EXIF, in XMP and in a comment."""
    data = Image.Exif()
    data.get_ifd(0x8825).update({1: "N", 2: (51.0, 28.0, 40.12), 3: "W", 4: (0.0, 0.0, 5.31), 29: "1999:12:31"})
    data[0x010E] = GPS_NOTE
    return encoded(arrow(), quality=95, exif=data, comment=GPS_NOTE, xmp=f"<place>{GPS_NOTE}</place>".encode())


def tiff(tags: list[tuple[int, int, int, bytes]], after: int = 0) -> bytes:
    """A TIFF of one directory: number, type, count and value of each tag."""
    entries = b"".join(struct.pack("<HHI", *tag[:3]) + tag[3] for tag in tags)
    return b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", after)


def tiff_of_overlaps(count: int, size: int) -> bytes:
    """Many tags whose values are all the same bytes: little to send, much to hold."""
    data = tiff([(1000 + number, 7, size, struct.pack("<I", 0)) for number in range(count)])
    return data + bytes(size - len(data))


def with_exif(*blocks: bytes) -> bytes:
    return after_start(b"".join(segment(0xE1, b"Exif\x00\x00" + block) for block in blocks), 0)


def sideways_by_xmp() -> bytes:
    return encoded(arrow(), quality=95, xmp=b'<x:xmpmeta><rdf tiff:Orientation="6"/></x:xmpmeta>')
