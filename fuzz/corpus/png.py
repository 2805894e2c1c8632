"""PNG files, chunk by chunk."""

import struct
import zlib

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fuzz.corpus.pictures import HEIGHT, WIDTH, arrow, encoded, plain

PNG_START = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunks(chunks: bytes) -> bytes:
    """The arrow with more chunks behind its header."""
    return plain("PNG")[:33] + chunks + plain("PNG")[33:]


def claiming(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return PNG_START + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def raw(depth: int, colour_type: int, row: bytes, size: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, depth, colour_type, 0, 0, 0))
    return PNG_START + header + chunk(b"IDAT", zlib.compress((b"\x00" + row) * size)) + chunk(b"IEND", b"")


def with_wrong_checksum() -> bytes:
    content = bytearray(plain("PNG"))
    content[29] ^= 1  # of the header
    return bytes(content)


def of_much_text() -> bytes:
    notes = PngInfo()
    for number in range(80):
        notes.add_text(f"note{number}", "a" * 2**20, zip=True)
    return encoded(arrow(), "PNG", pnginfo=notes)


def of_a_large_profile() -> bytes:
    return with_chunks(chunk(b"iCCP", b"a\x00\x00" + zlib.compress(bytes(64 * 2**20), 9)))


def notes_of_an_author() -> PngInfo:
    notes = PngInfo()
    notes.add_text("Author", "nobody")
    notes.add_itxt("Title", "ein Fußgänger", lang="de")
    return notes


def sixteen_bit_grey() -> bytes:
    return encoded(Image.fromarray(np.full((HEIGHT, WIDTH), 128 << 8, np.uint16)), "PNG")


def sixteen_bits_of_40_megapixels() -> bytes:
    return encoded(Image.fromarray(np.full((5000, 8000), 1000, np.uint16)), "PNG")


def palette_with_transparency() -> bytes:
    picture = Image.new("P", (WIDTH, HEIGHT), 3)
    picture.putpalette([0] * 768)
    return encoded(picture, "PNG", transparency=3)
