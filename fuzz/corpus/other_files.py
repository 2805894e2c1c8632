"""Other file formats under the name of a picture, and files that are two things at once."""

import io
import time
import zipfile
from collections.abc import Iterator

from fuzz.corpus import jpeg
from fuzz.corpus.case import DAMAGED, OTHER, RED_GREEN, Case, Decoded
from fuzz.corpus.pictures import arrow, encoded, noise, plain

# A PDF names the second it was written in, and would be another file each time.
DATED = {"PDF": {"creationDate": time.gmtime(0), "modDate": time.gmtime(0)}}


def polyglots() -> Iterator[Case]:
    upright = Decoded(colours=RED_GREEN)
    for name, tail in (
        ("a ZIP", _zip),
        ("HTML", lambda: b"<html><script>alert(1)</script></html>"),
        ("an SVG", lambda: b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("another JPEG", lambda: plain("JPEG")),
        ("a film of a phone", lambda: b"\x00\x00\x00\x18ftypmp42" + noise(200_000)),
    ):
        for format_name in ("JPEG", "PNG", "WebP"):
            yield Case(f"a {format_name} and {name} behind it", lambda t=tail, f=format_name: plain(f) + t(), upright)
    yield Case(
        "HTML in the comment of a JPEG",
        lambda: jpeg.after_start(jpeg.segment(0xFE, b"<script>alert(1)</script>"), 0),
        upright,
    )
    yield Case("a ZIP before a JPEG", lambda: _zip() + plain("JPEG"), OTHER)
    yield Case("a PDF that begins like a JPEG", lambda: b"\xff\xd8\xff%PDF-1.7 " + bytes(100), DAMAGED)


def other_formats() -> Iterator[Case]:
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
    ):
        yield Case(
            f"a {format_name} named .jpg",
            lambda f=format_name: encoded(arrow().convert("P") if f == "GIF" else arrow(), f, **DATED.get(f, {})),
            OTHER,
        )
    for name, content in (
        ("an SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("an SVG with a declaration", b"<?xml version='1.0'?><svg/>"),
        ("HTML", b"  <!doctype html><html>"),
        ("a PSD", b"8BPS\x00\x01" + bytes(40)),
        ("a FITS file", b"SIMPLE  =                    T" + bytes(2880)),
        ("a JPEG XL", b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(50)),
        ("a JPEG XL codestream", b"\xff\x0a" + bytes(50)),
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


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("evil.txt", (1980, 1, 1, 0, 0, 0)), "x")
    return buffer.getvalue()
