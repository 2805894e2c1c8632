"""Decompression bombs, and files that cost far more to read than to send."""

from collections.abc import Iterator

from fuzz.corpus import jpeg, png
from fuzz.corpus.case import BODY_LIMIT, DAMAGED, RED_GREEN, TOO_LARGE, Case, Decoded, Either
from fuzz.corpus.pictures import HEIGHT, WIDTH, one_colour, plain


def bombs() -> Iterator[Case]:
    for kind in (b"\xe1", b"\xe5", b"\xee", b"\xfe", b"\xdb"):
        yield Case(
            f"16 MB of empty {kind.hex()} segments",
            lambda kind=kind: jpeg.after_start(b"\xff" + kind + b"\x00\x02", BODY_LIMIT),
            DAMAGED,
            large=True,
        )
    yield Case("16 MB of fill bytes in a JPEG", lambda: jpeg.after_start(b"\xff", BODY_LIMIT), DAMAGED, large=True)
    yield Case(
        "16 MB of junk between segments",
        lambda: jpeg.before_scan(b"junk" * (BODY_LIMIT // 4 - 500)),
        DAMAGED,
        large=True,
    )
    yield Case(
        "16 MB of restarts before the scan", lambda: jpeg.after_start(b"\xff\xd0", BODY_LIMIT), DAMAGED, large=True
    )
    yield Case("some fill bytes in a JPEG", lambda: jpeg.after_start(b"\xff", 2000), Decoded(colours=RED_GREEN))
    yield Case("some restarts before the scan", lambda: jpeg.after_start(b"\xff\xd0", 200), Decoded(colours=RED_GREEN))
    for name in (b"aaAa", b"tEXt", b"iCCP", b"IDAT"):
        body = b"a\x00b" if name == b"tEXt" else b""
        yield Case(
            f"16 MB of small {name.decode()} chunks",
            lambda name=name, body=body: png.with_chunks(png.chunk(name, body) * (BODY_LIMIT // (12 + len(body)) - 20)),
            DAMAGED,
            large=True,
        )
    yield Case(
        "16 MB of small chunks behind the pixels",
        lambda: plain("PNG")[:-12] + png.chunk(b"aaAa", b"") * (BODY_LIMIT // 12 - 20) + png.chunk(b"IEND", b""),
        DAMAGED,
        large=True,
    )
    yield Case("80 MB of text in a PNG of 80 kB", png.of_much_text, DAMAGED)
    yield Case("a colour profile of 64 MB in a PNG", png.of_a_large_profile, Either())
    yield Case("one colour of 40 megapixels", lambda: one_colour(8000, 5000, "PNG"), Decoded(8000, 5000), large=True)
    yield Case("one colour of 48 megapixels", lambda: one_colour(8000, 6000, "PNG"), TOO_LARGE, large=True)
    yield Case("16-bit grey of 40 megapixels", png.sixteen_bits_of_40_megapixels, Decoded(8000, 5000), large=True)
    yield Case(
        "40 megapixels with transparency",
        lambda: one_colour(8000, 5000, "PNG", "RGBA"),
        Decoded(8000, 5000),
        large=True,
    )
    yield Case(
        "a lossless WebP of 40 megapixels in 38 bytes",
        lambda: one_colour(8000, 5000, "WEBP", lossless=True, method=0),
        Decoded(8000, 5000),
        large=True,
    )
    yield Case(
        "a progressive CMYK JPEG of 40 megapixels",
        lambda: one_colour(8000, 5000, "JPEG", "CMYK", progressive=True, subsampling=0),
        Decoded(8000, 5000),
        large=True,
    )
    yield Case("25 scans over 40 megapixels", lambda: jpeg.scans(8000, 5000, 25), Decoded(8000, 5000), large=True)
    yield Case("26 scans over 40 megapixels", lambda: jpeg.scans(8000, 5000, 26), DAMAGED, large=True)
    yield Case("100 scans over 10 megapixels", lambda: jpeg.scans(4000, 2500, 100), Decoded(4000, 2500), large=True)
    yield Case("100 scans", lambda: jpeg.scans(WIDTH, HEIGHT, 100), Decoded())
    yield Case("101 scans", lambda: jpeg.scans(WIDTH, HEIGHT, 101), DAMAGED)
    yield Case("5000 scans", lambda: jpeg.scans(WIDTH, HEIGHT, 5000), DAMAGED)
    yield Case("200 scans in what follows the picture", lambda: plain("JPEG") + b"\xff\xda" * 200, Decoded())
    yield Case("200 scans in a comment", lambda: jpeg.after_start(jpeg.segment(0xFE, b"\xff\xda" * 200), 0), Decoded())
    yield Case(
        "101 scans behind a marker that has no length",
        lambda: jpeg.scans(WIDTH, HEIGHT, 101, between=b"\xff\x02\xff\xff"),
        DAMAGED,
    )
