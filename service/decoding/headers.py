"""Picture size and decoding cost, read from the file's segments before any decoder runs.

Pillow walks over markers and chunks one by one in Python, holding the GIL: 16 MB of empty segments took 8 seconds and 550 MB,
16 MB of fill bytes took 11 seconds. So files with too many parts are refused here; ordinary ones have dozens. Raises
InvalidImage.
"""

import re
import struct
from dataclasses import dataclass

from service.errors import InvalidImage

MAX_PARTS = 1000  # segments of a JPEG, or chunks of a PNG without its pixels; a large ICC profile or XMP has 255
MAX_PIXEL_CHUNKS = 100_000  # IDAT chunks of a PNG; some writers make them a few hundred bytes long
MAX_FILL_BYTES = 65_536  # between the markers of a JPEG, where none are needed

# A small progressive JPEG can demand thousands of passes over all its pixels; real ones have about ten.
MAX_JPEG_SCANS = 100
# Scans times pixels, 0.7 seconds: 25 scans of 40 megapixels, or MAX_JPEG_SCANS of 10.
MAX_JPEG_WORK = 1_000_000_000

MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)  # restart markers belong to the scan
TEMPORARY, RESTARTS, START, END, SCAN = 0x01, range(0xD0, 0xD8), 0xD8, 0xD9, 0xDA
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)


@dataclass(frozen=True)
class JpegHeader:
    width: int
    height: int
    samples: float  # per pixel, that the decoder keeps until the last scan; 0 if it keeps none
    scans: int

    def check_work(self) -> None:
        """Raises InvalidImage when decoding needs too many passes over the pixels."""
        pixels = self.width * self.height
        if self.scans > MAX_JPEG_SCANS:
            raise InvalidImage(f"a JPEG may have at most {MAX_JPEG_SCANS} scans, this one has more")
        if self.scans * pixels > MAX_JPEG_WORK:
            most, megapixels = MAX_JPEG_WORK // pixels, pixels / 1e6
            raise InvalidImage(
                f"a JPEG of {megapixels:.1f} megapixels may have at most {most} scans, this one has more"
            )


@dataclass(frozen=True)
class _Frame:
    width: int
    height: int
    progressive: bool
    samples: float  # per pixel, of all components


def read_jpeg(content: bytes) -> JpegHeader:
    """Reads the markers of the first picture in the file, as libjpeg does.

    Bytes after its end are ignored: phones append films of several MB there, with any content.
    """
    position = 2
    parts = fill = scans = 0
    frame: _Frame | None = None
    pattern = MARKER
    while found := pattern.search(content, position):
        marker = found[0][1]
        parts += 1
        if not scans:
            fill += found.start() - position
        if parts > MAX_PARTS + 2 * MAX_JPEG_SCANS or fill > MAX_FILL_BYTES:
            raise InvalidImage(f"a JPEG may have at most {MAX_PARTS} segments with nothing between, this one has more")
        position, pattern = found.end(), MARKER
        if marker == END and scans:
            break
        if marker < 0xC0 or marker in (START, END):
            if marker != TEMPORARY and not scans:
                raise _damaged(content)
            continue
        if marker in RESTARTS:
            continue
        length = max(2, int.from_bytes(content[position : position + 2]))
        if marker in FRAMES:
            frame = _frame(marker, content[position : position + length])
        if marker == SCAN:
            if frame is None:
                raise _damaged(content)
            scans += 1
            if scans > MAX_JPEG_SCANS:
                break
            pattern = MARKER_IN_SCAN
        position += length
    if frame is None or not scans:
        raise _damaged(content)
    kept = frame.samples if frame.progressive or scans > 1 else 0
    return JpegHeader(frame.width, frame.height, kept, scans)


def png_size(content: bytes) -> tuple[int, int]:
    """Width and height according to the header, after counting all chunks; (0, 0) without a header."""
    position, parts, pixels = 8, 0, 0
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == b"IEND":
            break
        if kind == b"IDAT":
            pixels += 1
        else:
            parts += 1
        if parts > MAX_PARTS or pixels > MAX_PIXEL_CHUNKS:
            raise InvalidImage(f"a PNG may have at most {MAX_PARTS} chunks besides its pixels, this one has more")
        position += 12 + length
    width, height = (
        struct.unpack_from(">II", content, 16) if content[12:16] == b"IHDR" and len(content) > 24 else (0, 0)
    )
    return width, height


def webp_size(content: bytes) -> tuple[int, int]:
    """Width and height according to the header; (0, 0) without one.

    Read here because Pillow allocates memory for all pixels before their number can be checked.
    """
    kind = content[12:16]
    if len(content) < 30:
        return 0, 0
    if kind == b"VP8X":
        return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    if kind == b"VP8L" and content[20] == 0x2F:
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and content[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


def _frame(marker: int, segment: bytes) -> _Frame:
    """Parses length, precision, height, width, and three bytes per component."""
    if len(segment) < 11:
        raise InvalidImage("the JPEG image is damaged: its frame header is truncated")
    height, width = struct.unpack_from(">HH", segment, 3)
    sampling = [(byte >> 4, byte & 15) for byte in segment[9::3]]
    widest = max(horizontal for horizontal, _ in sampling) * max(vertical for _, vertical in sampling)
    samples = sum(horizontal * vertical for horizontal, vertical in sampling) / widest if widest else len(sampling)
    return _Frame(width, height, marker in PROGRESSIVE, samples)


def _damaged(content: bytes) -> InvalidImage:
    return InvalidImage(f"the JPEG image is damaged or truncated ({len(content)} bytes)")
