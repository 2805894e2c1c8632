"""Every colour mode, JPEG coding and animation that Pillow knows of."""

import base64
import struct
from collections.abc import Iterator

from PIL import Image

from fuzz.corpus import jpeg, png
from fuzz.corpus.case import DAMAGED, OTHER, RED_GREEN, Case, Decoded, Either
from fuzz.corpus.pictures import HEIGHT, WIDTH, arrow, encoded, plain


def colour_modes() -> Iterator[Case]:
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
    yield Case("16-bit grey", png.sixteen_bit_grey, Decoded(colours=((128,) * 3, (128,) * 3)))
    yield Case("16-bit colour", lambda: png.raw(16, 2, b"\xff\xff\x00\x00\x00\x00" * 4, 4), Decoded(4, 4))
    yield Case("16-bit colour with transparency", lambda: png.raw(16, 6, b"\xff\x00" * 16, 4), Decoded(4, 4))
    yield Case("2-bit grey", lambda: png.raw(2, 0, b"\x1b", 4), Decoded(4, 4))
    yield Case("a bit depth that does not exist", lambda: png.raw(3, 2, bytes(12), 4), DAMAGED)
    yield Case("a palette without a palette", lambda: png.raw(8, 3, bytes(4), 4), Either())
    yield Case("a palette with transparency", png.palette_with_transparency, Decoded(colours=white))
    yield Case("all transparent", lambda: encoded(Image.new("RGBA", (WIDTH, HEIGHT)), "PNG"), Decoded(colours=white))
    yield Case("all transparent WebP", lambda: encoded(Image.new("RGBA", (WIDTH, HEIGHT)), "WEBP"), Decoded())
    yield Case("YCCK by an Adobe marker", jpeg.ycck, Decoded(colours=white))
    yield Case("CMYK with an absurd Adobe marker", lambda: jpeg.ycck(transform=77), Either())


def jpeg_kinds() -> Iterator[Case]:
    yield Case("a progressive JPEG", lambda: plain("progressive JPEG"), Decoded(colours=RED_GREEN))
    for subsampling in (0, 1, 2):
        yield Case(
            f"a JPEG of subsampling {subsampling}",
            lambda s=subsampling: encoded(arrow(), quality=95, subsampling=s),
            Decoded(colours=RED_GREEN),
        )
    yield Case("a JPEG with restart markers", lambda: encoded(arrow(), quality=95, restart_marker_blocks=1), Decoded())
    yield Case("a JPEG of 12 bits", lambda: jpeg.with_frame(lambda frame: frame[:2] + b"\x0c" + frame[3:]), DAMAGED)
    yield Case("a JPEG of arithmetic coding that is none", lambda: jpeg.with_marker(0xC9), Either())
    yield Case("a JPEG of arithmetic coding", lambda: base64.b85decode(jpeg.ARITHMETIC), Decoded(colours=RED_GREEN))
    yield Case("a lossless JPEG", lambda: jpeg.with_marker(0xC3), DAMAGED)
    yield Case("a hierarchical JPEG", lambda: jpeg.with_marker(0xC5), DAMAGED)
    yield Case(
        "a JPEG with sampling factors of zero", lambda: jpeg.with_frame(lambda f: f[:9] + b"\x00" + f[10:]), DAMAGED
    )
    yield Case("a JPEG of 255 components", lambda: jpeg.with_frame(lambda f: f[:7] + b"\xff" + f[8:]), DAMAGED)
    yield Case("a JPEG of no components", lambda: jpeg.with_frame(lambda f: f[:7] + b"\x00" + f[8:]), DAMAGED)
    yield Case("a frame header cut short", lambda: jpeg.with_frame(lambda f: b"\x00\x08" + f[2:8]), DAMAGED)
    yield Case("a JPEG without Huffman tables, as in films", lambda: jpeg.without(0xC4), Decoded(colours=RED_GREEN))
    yield Case("a JPEG without quantisation", lambda: jpeg.without(0xDB), DAMAGED)
    yield Case("a JPEG with a segment of length 0", lambda: jpeg.after_start(b"\xff\xe5\x00\x00", 0), Either())
    yield Case("a JPEG with a segment beyond its end", lambda: jpeg.before_scan(b"\xff\xe5\xff\xff"), DAMAGED)
    yield Case("a JPEG that starts twice", lambda: b"\xff\xd8" + plain("JPEG"), DAMAGED)
    yield Case(
        "a JPEG with a broken colour profile", lambda: encoded(arrow(), quality=95, icc_profile=b"no"), Decoded()
    )
    yield Case("a JPEG with a colour profile of 300 kB", jpeg.with_large_profile, Decoded(colours=RED_GREEN))
    yield Case(
        "a PNG with a broken colour profile", lambda: png.with_chunks(png.chunk(b"iCCP", b"a\x00\x00no")), Either()
    )


def animations() -> Iterator[Case]:
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
        lambda: png.with_chunks(png.chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
        DAMAGED,
    )
    yield Case("an MPO of a phone", jpeg.mpo, Decoded(480, 320, RED_GREEN))
