"""JPEG files, segment by segment."""

import struct
from collections.abc import Callable

from PIL import Image

from fuzz.corpus.pictures import HEIGHT, WIDTH, arrow, encoded, noise, plain

# `arrow()` as libjpeg-turbo's cjpeg -arithmetic writes it; Pillow can read this coding and not write it.
ARITHMETIC = (
    b"|JeWF01!$>Nk#wx0RR9200961|JwjV01XKW3knDg3knMk4h;_zAQcl55)&sJ9v2`kDKRiEDJ?8BI!Zn>HbyrrEkIX6ModmpQ&KWM"
    b"T47pHU`kO^PygEhLjevB4iga*CKVMXPc<zyPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPf!2J"
    b"01*fPAOJ7}0U`hb5di}c0sqVZ3IGrg1pyEd1^?Or3<CiG0ucid06zf#0244p%cQAPV*niy5`>s?VU=PhTk5B{kD1JIj#&;+q~2=n"
    b"MdRm&iw2$9FEd^A9`8Qsnx&7Uk1w+c{naUq74+l&&#TQL&3Xzc7+n}<cV&f1G=uQ}*#"
)


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def after_start(piece: bytes, total: int) -> bytes:
    """The arrow as JPEG with `piece` behind its start, again and again until the file has `total` bytes."""
    whole = plain("JPEG")
    return whole[:2] + piece * max(1, (total - len(whole)) // len(piece)) + whole[2:]


def before_scan(piece: bytes) -> bytes:
    whole = plain("JPEG")
    place = whole.index(b"\xff\xda")
    return whole[:place] + piece + whole[place:]


def frame_place(content: bytes) -> int:
    return content.index(b"\xff\xc0") + 2


def with_frame(change: Callable[[bytes], bytes]) -> bytes:
    """The arrow as JPEG with a changed frame header, which begins with its length."""
    whole = plain("JPEG")
    begin = frame_place(whole)
    end = begin + int.from_bytes(whole[begin : begin + 2])
    return whole[:begin] + change(whole[begin:end]) + whole[end:]


def with_marker(marker: int) -> bytes:
    whole = bytearray(plain("JPEG"))
    whole[frame_place(bytes(whole)) - 1] = marker
    return bytes(whole)


def claiming(width: int, height: int) -> bytes:
    return with_frame(lambda frame: frame[:3] + struct.pack(">HH", height, width) + frame[7:])


def of_two_frames() -> bytes:
    whole = plain("JPEG")
    begin = frame_place(whole) - 2
    frame = bytearray(whole[begin : begin + 19])
    frame[5:9] = struct.pack(">HH", 9000, 9000)
    return whole[:begin] + bytes(frame) + whole[begin:]


def without(marker: int) -> bytes:
    """The arrow as JPEG without its segments of this kind."""
    whole, kept, place = plain("JPEG"), bytearray(b"\xff\xd8"), 2
    while whole[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(whole[place + 2 : place + 4])
        if whole[place + 1] != marker:
            kept += whole[place:end]
        place = end
    return bytes(kept) + whole[place:]


def scans(width: int, height: int, count: int, between: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan is repeated until it has `count`."""
    whole = encoded(arrow(width, height), progressive=True, quality=50)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    missing = count - whole.count(b"\xff\xda")
    return whole[:-2] + (between + last) * missing + b"\xff\xd9"


def ycck(transform: int = 2) -> bytes:
    """Four components with an Adobe marker of the given transform. No ink, as Adobe writes it inverted: Y 0, chroma 128."""
    content = bytearray(encoded(Image.new("CMYK", (WIDTH, HEIGHT), (255, 127, 127, 0)), quality=95))
    content[content.index(b"Adobe") + 11] = transform
    return bytes(content)


def with_large_profile() -> bytes:
    return encoded(arrow(), quality=95, icc_profile=noise(300_000))


def mpo() -> bytes:
    return encoded(arrow(480, 320), "MPO", quality=95, save_all=True, append_images=[arrow(), arrow()])
