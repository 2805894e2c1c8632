"""Hostile and odd pictures, made here and the same in every run, each with what must become of it.

`CASES` has them by name. One alone is stored, and the largest take a second and 16 MB to make.
"""

import base64
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

WIDTH, HEIGHT = 48, 32
FORMATS = ("JPEG", "progressive JPEG", "PNG", "WebP", "lossless WebP")
BODY_LIMIT = 16 * 2**20  # bytes; the service's default
GPS_NOTE = "51.4779 N 0.0015 W"  # must not come back from anywhere
PNG_START = b"\x89PNG\r\n\x1a\n"
TURN = Image.Transpose
STORED = (None, TURN.FLIP_LEFT_RIGHT, TURN.ROTATE_180, TURN.FLIP_TOP_BOTTOM)
STORED += (TURN.TRANSPOSE, TURN.ROTATE_90, TURN.TRANSVERSE, TURN.ROTATE_270)


@dataclass(frozen=True)
class Refused:
    """Told to the client with this status and code."""

    http: int
    code: str


@dataclass(frozen=True)
class Decoded:
    """A picture of this size, upright, which looks like `colours`: the middles of its left and right upper quarters."""

    width: int = WIDTH
    height: int = HEIGHT
    colours: tuple[tuple[int, int, int], tuple[int, int, int]] | None = None
    focal: bool = False  # EXIF told the focal length


@dataclass(frozen=True)
class Either:
    """A picture or a refusal of the picture: chance damage may do no harm. Never a fault of ours."""


@dataclass(frozen=True)
class Case:
    name: str
    content: Callable[[], bytes]
    expected: Refused | Decoded | Either
    large: bool = False  # takes megabytes or a second; decoded, but not sent over the network


# `arrow()` as libjpeg-turbo's cjpeg -arithmetic writes it; Pillow can read this coding and not write it.
ARITHMETIC = (
    b"|JeWF01!$>Nk#wx0RR9200961|JwjV01XKW3knDg3knMk4h;_zAQcl55)&sJ9v2`kDKRiEDJ?8BI!Zn>HbyrrEkIX6ModmpQ&KWM"
    b"T47pHU`kO^PygEhLjevB4iga*CKVMXPc<zyPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPf!2J"
    b"01*fPAOJ7}0U`hb5di}c0sqVZ3IGrg1pyEd1^?Or3<CiG0ucid06zf#0244p%cQAPV*niy5`>s?VU=PhTk5B{kD1JIj#&;+q~2=n"
    b"MdRm&iw2$9FEd^A9`8Qsnx&7Uk1w+c{naUq74+l&&#TQL&3Xzc7+n}<cV&f1G=uQ}*#"
)

RED_GREEN = ((255, 0, 0), (0, 255, 0))
DAMAGED = Refused(422, "invalid-image")
OTHER = Refused(415, "unsupported-media")
TOO_LARGE = Refused(413, "image-too-large")


def cases() -> Iterator[Case]:
    yield from _nothing_much()
    yield from _cut_short()
    yield from _flipped_bits()
    yield from _lies_about_size()
    yield from _bombs()
    yield from _animations()
    yield from _colour_modes()
    yield from _jpeg_kinds()
    yield from _exif_orientations()
    yield from _other_exif()
    yield from _metadata()
    yield from _polyglots()
    yield from _other_formats()
    yield from _shapes_and_contents()


def _nothing_much() -> Iterator[Case]:
    yield Case("empty", lambda: b"", DAMAGED)
    yield Case("one byte", lambda: b"\xff", OTHER)
    yield Case("zeros", lambda: bytes(1000), OTHER)
    yield Case("text", lambda: b"Dear sir, please find attached", OTHER)
    yield Case("base64 of a JPEG", lambda: b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsL", OTHER)
    yield Case("a data URI", lambda: b"data:image/jpeg;base64,/9j/4AAQSkZJRgAB", OTHER)
    yield Case("only the start of a JPEG", lambda: b"\xff\xd8", OTHER)
    yield Case("start and end of a JPEG", lambda: b"\xff\xd8\xff\xd9", DAMAGED)
    yield Case("only the signature of a PNG", lambda: PNG_START, DAMAGED)
    yield Case("only the header of a WebP", lambda: b"RIFF\x10\x00\x00\x00WEBP", DAMAGED)
    for name, start in (("JPEG", b"\xff\xd8\xff"), ("PNG", PNG_START), ("WebP", b"RIFF\x10\x00\x00\x00WEBPVP8 ")):
        yield Case(f"the start of a {name} and garbage", lambda start=start: start + b"garbage" * 50, DAMAGED)
        yield Case(f"the start of a {name} and noise", lambda start=start: start + _noise(2000), DAMAGED)
        yield Case(f"the start of a {name} and zeros", lambda start=start: start + bytes(2000), DAMAGED)
    yield Case("a JPEG after a line break", lambda: b"\r\n" + _plain("JPEG"), OTHER)


def _cut_short() -> Iterator[Case]:
    for format_name in FORMATS:
        for percent in (5, 10, 25, 50, 75, 90, 99):

            def content(format_name=format_name, percent=percent) -> bytes:
                whole = _noisy(format_name)
                return whole[: len(whole) * percent // 100]

            yield Case(f"{percent} % of a {format_name}", content, DAMAGED)
    yield Case("a JPEG without its end", lambda: _noisy("JPEG")[:-2], DAMAGED)
    yield Case("a PNG without its end", lambda: _noisy("PNG")[:-12], Decoded(300, 200))
    yield Case("a JPEG that ends before its pixels", lambda: _before_scan(b"\xff\xd9"), DAMAGED)
    yield Case("a WebP with 100 bytes of zeros for its middle", lambda: _zeroed(_noisy("WebP")), Either())


def _flipped_bits() -> Iterator[Case]:
    for format_name in FORMATS:
        for seed in range(8):
            yield Case(
                f"a {format_name} with flipped bits, seed {seed}",
                lambda format_name=format_name, seed=seed: flipped(format_name, seed),
                Either(),
            )
    yield Case("a PNG with a wrong checksum", lambda: _png_with_wrong_checksum(), DAMAGED)


def _lies_about_size() -> Iterator[Case]:
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
        yield Case(f"an empty PNG of {width} x {height}", lambda w=width, h=height: _png_claiming(w, h), expected)
    for width, height, expected in (
        (65_535, 65_535, TOO_LARGE),
        (65_535, 1, TOO_LARGE),
        (0, 0, DAMAGED),
        (WIDTH, 0, DAMAGED),
    ):
        yield Case(f"a JPEG that claims {width} x {height}", lambda w=width, h=height: _jpeg_claiming(w, h), expected)
    # libjpeg fills up what is missing before the end marker, and Pillow does not tell; half grey is what is seen then
    yield Case(
        "a JPEG that claims ten times its height",
        lambda: _jpeg_claiming(WIDTH, 10 * HEIGHT),
        Decoded(WIDTH, 10 * HEIGHT),
    )
    yield Case("a JPEG that claims a tenth of its height", lambda: _jpeg_claiming(WIDTH, 8), Either())
    for width, height, expected in (
        (16_383, 16_383, TOO_LARGE),
        (2**24, 2**24, TOO_LARGE),
        (2**24, 1, TOO_LARGE),
        (6_000, 6_000, DAMAGED),
    ):
        yield Case(f"a WebP that claims {width} x {height}", lambda w=width, h=height: _webp_claiming(w, h), expected)
    yield Case("a JPEG with two frame headers", lambda: _jpeg_of_two_frames(), DAMAGED)


def _bombs() -> Iterator[Case]:
    for kind in (b"\xe1", b"\xe5", b"\xee", b"\xfe", b"\xdb"):
        yield Case(
            f"16 MB of empty {kind.hex()} segments",
            lambda kind=kind: _after_start(b"\xff" + kind + b"\x00\x02", BODY_LIMIT),
            DAMAGED,
            large=True,
        )
    yield Case("16 MB of fill bytes in a JPEG", lambda: _after_start(b"\xff", BODY_LIMIT), DAMAGED, large=True)
    yield Case(
        "16 MB of junk between segments", lambda: _before_scan(b"junk" * (BODY_LIMIT // 4 - 500)), DAMAGED, large=True
    )
    yield Case("16 MB of restarts before the scan", lambda: _after_start(b"\xff\xd0", BODY_LIMIT), DAMAGED, large=True)
    yield Case("some fill bytes in a JPEG", lambda: _after_start(b"\xff", 2000), Decoded(colours=RED_GREEN))
    yield Case("some restarts before the scan", lambda: _after_start(b"\xff\xd0", 200), Decoded(colours=RED_GREEN))
    for name in (b"aaAa", b"tEXt", b"iCCP", b"IDAT"):
        body = b"a\x00b" if name == b"tEXt" else b""
        yield Case(
            f"16 MB of small {name.decode()} chunks",
            lambda name=name, body=body: _png_with(_chunk(name, body) * (BODY_LIMIT // (12 + len(body)) - 20)),
            DAMAGED,
            large=True,
        )
    yield Case(
        "16 MB of small chunks behind the pixels",
        lambda: _plain("PNG")[:-12] + _chunk(b"aaAa", b"") * (BODY_LIMIT // 12 - 20) + _chunk(b"IEND", b""),
        DAMAGED,
        large=True,
    )
    yield Case("80 MB of text in a PNG of 80 kB", _png_of_much_text, DAMAGED)
    yield Case("a colour profile of 64 MB in a PNG", _png_of_a_large_profile, Either())
    yield Case("one colour of 40 megapixels", lambda: _one_colour(8000, 5000, "PNG"), Decoded(8000, 5000), large=True)
    yield Case("one colour of 48 megapixels", lambda: _one_colour(8000, 6000, "PNG"), TOO_LARGE, large=True)
    yield Case("16-bit grey of 40 megapixels", _sixteen_bits_of_40_megapixels, Decoded(8000, 5000), large=True)
    yield Case(
        "40 megapixels with transparency",
        lambda: _one_colour(8000, 5000, "PNG", "RGBA"),
        Decoded(8000, 5000),
        large=True,
    )
    yield Case(
        "a lossless WebP of 40 megapixels in 38 bytes",
        lambda: _one_colour(8000, 5000, "WEBP", lossless=True, method=0),
        Decoded(8000, 5000),
        large=True,
    )
    yield Case(
        "a progressive CMYK JPEG of 40 megapixels",
        lambda: _one_colour(8000, 5000, "JPEG", "CMYK", progressive=True, subsampling=0),
        Decoded(8000, 5000),
        large=True,
    )
    yield Case("25 scans over 40 megapixels", lambda: _scans(8000, 5000, 25), Decoded(8000, 5000), large=True)
    yield Case("26 scans over 40 megapixels", lambda: _scans(8000, 5000, 26), DAMAGED, large=True)
    yield Case("100 scans over 10 megapixels", lambda: _scans(4000, 2500, 100), Decoded(4000, 2500), large=True)
    yield Case("100 scans", lambda: _scans(WIDTH, HEIGHT, 100), Decoded())
    yield Case("101 scans", lambda: _scans(WIDTH, HEIGHT, 101), DAMAGED)
    yield Case("5000 scans", lambda: _scans(WIDTH, HEIGHT, 5000), DAMAGED)
    yield Case("200 scans in what follows the picture", lambda: _plain("JPEG") + b"\xff\xda" * 200, Decoded())
    yield Case("200 scans in a comment", lambda: _after_start(_segment(0xFE, b"\xff\xda" * 200), 0), Decoded())
    yield Case(
        "101 scans behind a marker that has no length",
        lambda: _scans(WIDTH, HEIGHT, 101, between=b"\xff\x02\xff\xff"),
        DAMAGED,
    )


def _animations() -> Iterator[Case]:
    frames = [arrow(), arrow().rotate(180)]
    for name, format_name, count, expected in (
        ("an animated PNG", "PNG", 2, DAMAGED),
        ("an animated WebP", "WEBP", 2, DAMAGED),
        ("an animated GIF", "GIF", 2, OTHER),
        ("an animated PNG of 200 frames", "PNG", 200, DAMAGED),
        ("an animated WebP of 200 frames", "WEBP", 200, DAMAGED),
        ("a multi-page TIFF", "TIFF", 2, OTHER),
    ):

        def content(format_name=format_name, count=count) -> bytes:
            options = {"save_all": True, "append_images": [frames[(i + 1) % 2] for i in range(count - 1)]}
            return encoded(frames[0], format_name, **options)

        yield Case(name, content, expected)
    yield Case(
        "a PNG that lies about its frames",
        lambda: _png_with(_chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
        DAMAGED,
    )
    yield Case("an MPO of a phone", _mpo, Decoded(480, 320, RED_GREEN))


def _colour_modes() -> Iterator[Case]:
    white = ((255, 255, 255), (255, 255, 255))
    for mode, format_name in (
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("YCbCr", "JPEG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("1", "PNG"),
        ("RGBA", "PNG"),
        ("RGBA", "WEBP"),
    ):

        def content(mode=mode, format_name=format_name) -> bytes:
            return encoded(Image.new("RGB", (WIDTH, HEIGHT), "white").convert(mode), format_name)

        yield Case(f"white in mode {mode} as {format_name}", content, Decoded(colours=white))
    yield Case("16-bit grey", _sixteen_bit_grey, Decoded(colours=((128,) * 3, (128,) * 3)))
    yield Case("16-bit colour", lambda: _raw_png(16, 2, b"\xff\xff\x00\x00\x00\x00" * 4, 4), Decoded(4, 4))
    yield Case("16-bit colour with transparency", lambda: _raw_png(16, 6, b"\xff\x00" * 16, 4), Decoded(4, 4))
    yield Case("2-bit grey", lambda: _raw_png(2, 0, b"\x1b", 4), Decoded(4, 4))
    yield Case("a bit depth that does not exist", lambda: _raw_png(3, 2, bytes(12), 4), DAMAGED)
    yield Case("a palette without a palette", lambda: _raw_png(8, 3, bytes(4), 4), Either())
    yield Case("a palette with transparency", _palette_with_transparency, Decoded(colours=white))
    yield Case("all transparent", lambda: encoded(Image.new("RGBA", (WIDTH, HEIGHT)), "PNG"), Decoded(colours=white))
    yield Case("all transparent WebP", lambda: encoded(Image.new("RGBA", (WIDTH, HEIGHT)), "WEBP"), Decoded())
    yield Case("YCCK by an Adobe marker", _ycck, Decoded(colours=white))
    yield Case("CMYK with an absurd Adobe marker", lambda: _ycck(transform=77), Either())


def _jpeg_kinds() -> Iterator[Case]:
    yield Case("a progressive JPEG", lambda: _plain("progressive JPEG"), Decoded(colours=RED_GREEN))
    for subsampling in (0, 1, 2):
        yield Case(
            f"a JPEG of subsampling {subsampling}",
            lambda s=subsampling: encoded(arrow(), quality=95, subsampling=s),
            Decoded(colours=RED_GREEN),
        )
    yield Case("a JPEG with restart markers", lambda: encoded(arrow(), quality=95, restart_marker_blocks=1), Decoded())
    yield Case("a JPEG of 12 bits", lambda: _with_frame(lambda frame: frame[:2] + b"\x0c" + frame[3:]), DAMAGED)
    yield Case("a JPEG of arithmetic coding that is none", lambda: _with_marker(0xC9), Either())
    yield Case("a JPEG of arithmetic coding", lambda: base64.b85decode(ARITHMETIC), Decoded(colours=RED_GREEN))
    yield Case("a lossless JPEG", lambda: _with_marker(0xC3), DAMAGED)
    yield Case("a hierarchical JPEG", lambda: _with_marker(0xC5), DAMAGED)
    yield Case("a JPEG with sampling factors of zero", lambda: _with_frame(lambda f: f[:9] + b"\x00" + f[10:]), DAMAGED)
    yield Case("a JPEG of 255 components", lambda: _with_frame(lambda f: f[:7] + b"\xff" + f[8:]), DAMAGED)
    yield Case("a JPEG of no components", lambda: _with_frame(lambda f: f[:7] + b"\x00" + f[8:]), DAMAGED)
    yield Case("a frame header cut short", lambda: _with_frame(lambda f: b"\x00\x08" + f[2:8]), DAMAGED)
    yield Case("a JPEG without Huffman tables, as in films", lambda: _without(0xC4), Decoded(colours=RED_GREEN))
    yield Case("a JPEG without quantisation", lambda: _without(0xDB), DAMAGED)
    yield Case("a JPEG with a segment of length 0", lambda: _after_start(b"\xff\xe5\x00\x00", 0), Either())
    yield Case("a JPEG with a segment beyond its end", lambda: _before_scan(b"\xff\xe5\xff\xff"), DAMAGED)
    yield Case("a JPEG that starts twice", lambda: b"\xff\xd8" + _plain("JPEG"), DAMAGED)
    yield Case(
        "a JPEG with a broken colour profile", lambda: encoded(arrow(), quality=95, icc_profile=b"no"), Decoded()
    )
    yield Case("a JPEG with a colour profile of 300 kB", _jpeg_with_large_profile, Decoded(colours=RED_GREEN))
    yield Case("a PNG with a broken colour profile", lambda: _png_with(_chunk(b"iCCP", b"a\x00\x00no")), Either())


def _exif_orientations() -> Iterator[Case]:
    for format_name in ("JPEG", "PNG", "WEBP"):
        for number in range(1, 9):

            def content(format_name=format_name, number=number) -> bytes:
                how = STORED[number - 1]
                stored = arrow() if how is None else arrow().transpose(how)
                return encoded(stored, format_name, exif=exif(number), quality=95)

            yield Case(f"{format_name} of orientation {number}", content, Decoded(colours=RED_GREEN))


def _other_exif() -> Iterator[Case]:
    upright = Decoded(colours=RED_GREEN)
    for value in (0, 9, 255, 65_535):
        yield Case(f"orientation {value}", lambda v=value: encoded(arrow(), quality=95, exif=exif(v)), upright)
    for name, data in (
        ("an orientation that is text", _tiff([(0x0112, 2, 2, b"6\x00\x00\x00")])),
        ("an orientation of many numbers", _tiff([(0x0112, 3, 1000, b"\x08\x00\x00\x00")])),
        ("an orientation that divides by zero", _tiff([(0x0112, 5, 1, struct.pack("<I", 8))])),
        ("EXIF that points at itself", _tiff([(0x8769, 4, 1, struct.pack("<I", 8))])),
        ("EXIF that points beyond itself", _tiff([(0x8769, 4, 1, struct.pack("<I", 2**32 - 1))])),
        ("EXIF with an IFD that claims 65535 tags", b"II*\x00" + struct.pack("<IH", 8, 65_535)),
        ("EXIF of another byte order than it says", b"MM\x00*" + struct.pack("<IH", 8, 1)),
        ("EXIF of noise", b"\xff" * 60),
        ("EXIF of nothing", b""),
        ("EXIF with values of 4 GB", _tiff([(0x010F, 2, 2**32 - 1, struct.pack("<I", 8))])),
        ("EXIF with a next IFD that is itself", _tiff([(0x010F, 2, 2, b"a\x00\x00\x00")], after=8)),
        ("EXIF of 5000 tags", _tiff([(tag, 3, 1, b"\x01\x00\x00\x00") for tag in range(1, 5001)])),
        ("EXIF of 1000 tags of 60 kB each", _tiff_of_overlaps(1000, 60_000)),
    ):
        yield Case(name, lambda data=data: _with_exif(data), upright)
    yield Case(
        "300 EXIF tags of 16 MB each in a PNG",
        lambda: _png_with(_chunk(b"eXIf", _tiff_of_overlaps(300, BODY_LIMIT - 10_000))),
        upright,
        large=True,
    )
    yield Case("EXIF of a PNG that is noise", lambda: _png_with(_chunk(b"eXIf", _noise(500))), upright)
    yield Case("two EXIF segments", lambda: _with_exif(_tiff([]), _tiff([(0x0112, 3, 1, b"\x06\0\0\0")])), Either())
    yield Case("a focal length", lambda: encoded(arrow(), exif=exif(focal_35mm=28)), Decoded(focal=True))
    for focal in (0, 1, 60_000):
        yield Case(f"a focal length of {focal}", lambda f=focal: encoded(arrow(), exif=exif(focal_35mm=f)), Decoded())
    yield Case("a place on earth", with_a_place, upright)
    yield Case("a sideways picture by its XMP alone", _sideways_by_xmp, Decoded())


def _metadata() -> Iterator[Case]:
    yield Case("a PNG with notes", lambda: encoded(arrow(), "PNG", pnginfo=_notes()), Decoded(colours=RED_GREEN))
    yield Case("a PNG of a text without end", lambda: _png_with(_chunk(b"tEXt", b"a" * 5000)), Decoded())
    yield Case("a PNG of compressed text that is none", lambda: _png_with(_chunk(b"zTXt", b"a\x00\x00no")), Either())
    yield Case("a PNG with two headers", lambda: _png_with(_plain("PNG")[8:33]), Either())
    yield Case("a PNG of an unknown critical chunk", lambda: _png_with(_chunk(b"AAAA", b"")), Either())
    yield Case("a PNG of a chunk of 4 GB", lambda: _png_with(b"\xff\xff\xff\xfftEXt"), DAMAGED)
    yield Case(
        "a PNG whose chunk has no letters for a name", lambda: _png_with(_chunk(b"\x00\xff\n\x07", b"")), DAMAGED
    )
    yield Case("a WebP of a length of 4 GB", lambda: b"RIFF\xff\xff\xff\xff" + _plain("WebP")[8:], Either())
    yield Case("a WebP of a length of nothing", lambda: b"RIFF\x00\x00\x00\x00" + _plain("WebP")[8:], DAMAGED)


def _polyglots() -> Iterator[Case]:
    upright = Decoded(colours=RED_GREEN)
    for name, tail in (
        ("a ZIP", _zip),
        ("HTML", lambda: b"<html><script>alert(1)</script></html>"),
        ("an SVG", lambda: b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("another JPEG", lambda: _plain("JPEG")),
        ("a film of a phone", lambda: b"\x00\x00\x00\x18ftypmp42" + _noise(200_000)),
    ):
        for format_name in ("JPEG", "PNG", "WebP"):
            yield Case(f"a {format_name} and {name} behind it", lambda t=tail, f=format_name: _plain(f) + t(), upright)
    yield Case(
        "HTML in the comment of a JPEG", lambda: _after_start(_segment(0xFE, b"<script>alert(1)</script>"), 0), upright
    )
    yield Case("a ZIP before a JPEG", lambda: _zip() + _plain("JPEG"), OTHER)
    yield Case("a PDF that begins like a JPEG", lambda: b"\xff\xd8\xff%PDF-1.7 " + bytes(100), DAMAGED)


def _other_formats() -> Iterator[Case]:
    for format_name in (
        "GIF",
        "BMP",
        "TIFF",
        "ICO",
        "PPM",
        "TGA",
        "PCX",
        "SGI",
        "JPEG2000",
        "PDF",
        "EPS",
        "DDS",
        "AVIF",
    ):
        yield Case(
            f"a {format_name} named .jpg",
            lambda f=format_name: encoded(arrow().convert("P") if f == "GIF" else arrow(), f),
            OTHER,
        )
    for name, content in (
        ("an SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("an SVG with a declaration", b"<?xml version='1.0'?><svg/>"),
        ("HTML", b"  <!doctype html><html>"),
        ("a PSD", b"8BPS\x00\x01" + bytes(40)),
        ("a FITS file", b"SIMPLE  =                    T" + bytes(2880)),
        ("a HEIC", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(50)),
        ("an MP4", b"\x00\x00\x00\x18ftypmp42" + bytes(50)),
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n(%s) run" + bytes(50)),
        ("a gzip", b"\x1f\x8b\x08\x00" + bytes(50)),
        ("an ELF program", b"\x7fELF" + bytes(60)),
        ("a pickle", b"\x80\x04\x95cos\nsystem\n(S'true'\ntR."),
        ("an NPY file", b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}"),
        ("an ImageMagick script", b"push graphic-context\nfill 'url(https://localhost/x)'"),
        ("a WAV", b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40)),
    ):
        yield Case(f"{name} named .jpg", lambda content=content: content, OTHER)


def _shapes_and_contents() -> Iterator[Case]:
    for width, height in ((1, 1), (2, 2), (3, 1), (1, 12_000), (12_000, 1), (12_000, 2)):
        yield Case(f"{width} x {height}", lambda w=width, h=height: _one_colour(w, h, "JPEG"), Decoded(width, height))
    for name, value in (("black", 0), ("white", 255)):
        colour = (value,) * 3
        yield Case(
            f"all {name}",
            lambda colour=colour: encoded(Image.new("RGB", (WIDTH, HEIGHT), colour)),
            Decoded(colours=(colour, colour)),
        )
    for format_name in FORMATS:
        yield Case(f"noise as {format_name}", lambda f=format_name: _noisy(f), Decoded(300, 200))
    yield Case("the arrow as PNG", lambda: _plain("PNG"), Decoded(colours=RED_GREEN))
    yield Case("the arrow as WebP", lambda: _plain("WebP"), Decoded(colours=RED_GREEN))


# What the pictures are made of


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


def exif(orientation: int | None = None, focal_35mm: int | None = None) -> Image.Exif:
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


def flipped(format_name: str, seed: int) -> bytes:
    """A picture with one to eight bits turned over."""
    random = np.random.default_rng(seed)
    damaged = bytearray(_plain(format_name))
    for _ in range(random.integers(1, 9)):
        damaged[random.integers(len(damaged))] ^= 1 << random.integers(8)
    return bytes(damaged)


@cache
def _plain(format_name: str) -> bytes:
    return _saved(arrow(), format_name)


@cache
def _noisy(format_name: str) -> bytes:
    return _saved(Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)), format_name)


def _saved(picture: Image.Image, format_name: str) -> bytes:
    if format_name.endswith("JPEG"):
        return encoded(picture, "JPEG", quality=95, progressive=format_name.startswith("progressive"))
    return encoded(picture, format_name.split()[-1].upper(), lossless=format_name.startswith("lossless"), quality=95)


def _one_colour(width: int, height: int, format_name: str, mode: str = "RGB", **options) -> bytes:
    return encoded(Image.new(mode, (width, height), (120, 90, 60, 200)[: len(mode)]), format_name, **options)


def _noise(count: int) -> bytes:
    return np.random.default_rng(count).bytes(count)


def _zeroed(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(100) + content[middle + 100 :]


# PNG


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png_with(chunks: bytes) -> bytes:
    """The arrow with more chunks behind its header."""
    return _plain("PNG")[:33] + chunks + _plain("PNG")[33:]


def _png_claiming(width: int, height: int) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return PNG_START + header + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")


def _raw_png(depth: int, colour_type: int, row: bytes, size: int) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, depth, colour_type, 0, 0, 0))
    return PNG_START + header + _chunk(b"IDAT", zlib.compress((b"\x00" + row) * size)) + _chunk(b"IEND", b"")


def _png_with_wrong_checksum() -> bytes:
    content = bytearray(_plain("PNG"))
    content[29] ^= 1  # of the header
    return bytes(content)


def _png_of_much_text() -> bytes:
    notes = PngInfo()
    for number in range(80):
        notes.add_text(f"note{number}", "a" * 2**20, zip=True)
    return encoded(arrow(), "PNG", pnginfo=notes)


def _png_of_a_large_profile() -> bytes:
    return _png_with(_chunk(b"iCCP", b"a\x00\x00" + zlib.compress(bytes(64 * 2**20), 9)))


def _notes() -> PngInfo:
    notes = PngInfo()
    notes.add_text("Author", "nobody")
    notes.add_itxt("Title", "ein Fußgänger", lang="de")
    return notes


def _sixteen_bit_grey() -> bytes:
    return encoded(Image.fromarray(np.full((HEIGHT, WIDTH), 128 << 8, np.uint16)), "PNG")


def _sixteen_bits_of_40_megapixels() -> bytes:
    return encoded(Image.fromarray(np.full((5000, 8000), 1000, np.uint16)), "PNG")


def _palette_with_transparency() -> bytes:
    picture = Image.new("P", (WIDTH, HEIGHT), 3)
    picture.putpalette([0] * 768)
    return encoded(picture, "PNG", transparency=3)


# JPEG


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _after_start(piece: bytes, total: int) -> bytes:
    """The arrow as JPEG with `piece` behind its start, again and again until the file has `total` bytes."""
    whole = _plain("JPEG")
    return whole[:2] + piece * max(1, (total - len(whole)) // len(piece)) + whole[2:]


def _before_scan(piece: bytes) -> bytes:
    whole = _plain("JPEG")
    place = whole.index(b"\xff\xda")
    return whole[:place] + piece + whole[place:]


def _frame_place(content: bytes) -> int:
    return content.index(b"\xff\xc0") + 2


def _with_frame(change: Callable[[bytes], bytes]) -> bytes:
    """The arrow as JPEG with a changed frame header, which begins with its length."""
    whole = _plain("JPEG")
    begin = _frame_place(whole)
    end = begin + int.from_bytes(whole[begin : begin + 2])
    return whole[:begin] + change(whole[begin:end]) + whole[end:]


def _with_marker(marker: int) -> bytes:
    whole = bytearray(_plain("JPEG"))
    whole[_frame_place(bytes(whole)) - 1] = marker
    return bytes(whole)


def _jpeg_claiming(width: int, height: int) -> bytes:
    return _with_frame(lambda frame: frame[:3] + struct.pack(">HH", height, width) + frame[7:])


def _jpeg_of_two_frames() -> bytes:
    whole = _plain("JPEG")
    begin = _frame_place(whole) - 2
    frame = bytearray(whole[begin : begin + 19])
    frame[5:9] = struct.pack(">HH", 9000, 9000)
    return whole[:begin] + bytes(frame) + whole[begin:]


def _without(marker: int) -> bytes:
    """The arrow as JPEG without its segments of this kind."""
    whole, kept, place = _plain("JPEG"), bytearray(b"\xff\xd8"), 2
    while whole[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(whole[place + 2 : place + 4])
        if whole[place + 1] != marker:
            kept += whole[place:end]
        place = end
    return bytes(kept) + whole[place:]


def _scans(width: int, height: int, count: int, between: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan is repeated until it has `count`."""
    whole = encoded(arrow(width, height), progressive=True, quality=50)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    missing = count - whole.count(b"\xff\xda")
    return whole[:-2] + (between + last) * missing + b"\xff\xd9"


def _ycck(transform: int = 2) -> bytes:
    """Four components with an Adobe marker of the given transform. No ink, as Adobe writes it inverted: Y 0, chroma 128."""
    content = bytearray(encoded(Image.new("CMYK", (WIDTH, HEIGHT), (255, 127, 127, 0)), quality=95))
    content[content.index(b"Adobe") + 11] = transform
    return bytes(content)


def _jpeg_with_large_profile() -> bytes:
    return encoded(arrow(), quality=95, icc_profile=_noise(300_000))


def _mpo() -> bytes:
    return encoded(arrow(480, 320), "MPO", quality=95, save_all=True, append_images=[arrow(), arrow()])


# WebP


def _webp_claiming(width: int, height: int) -> bytes:
    """The arrow in a canvas of another size."""
    canvas = struct.pack("<I", 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas + _plain("WebP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


# EXIF


def _tiff(tags: list[tuple[int, int, int, bytes]], after: int = 0) -> bytes:
    """A TIFF of one directory: number, type, count and value of each tag."""
    entries = b"".join(struct.pack("<HHI", *tag[:3]) + tag[3] for tag in tags)
    return b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", after)


def _tiff_of_overlaps(count: int, size: int) -> bytes:
    """Many tags whose values are all the same bytes: little to send, much to hold."""
    data = _tiff([(1000 + number, 7, size, struct.pack("<I", 0)) for number in range(count)])
    return data + bytes(size - len(data))


def _with_exif(*blocks: bytes) -> bytes:
    return _after_start(b"".join(_segment(0xE1, b"Exif\x00\x00" + block) for block in blocks), 0)


def _sideways_by_xmp() -> bytes:
    return encoded(arrow(), quality=95, xmp=b'<x:xmpmeta><rdf tiff:Orientation="6"/></x:xmpmeta>')


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("evil.txt", (1980, 1, 1, 0, 0, 0)), "x")
    return buffer.getvalue()


CASES = {case.name: case for case in cases()}
