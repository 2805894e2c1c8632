"""Files that are no picture, or a part of one: rubbish, cuts, flipped bits."""

from collections.abc import Iterator

import numpy as np

from fuzz.corpus import jpeg, png
from fuzz.corpus.case import DAMAGED, OTHER, Case, Decoded, Either
from fuzz.corpus.pictures import FORMATS, noise, noisy, plain, zeroed


def no_pictures() -> Iterator[Case]:
    yield Case("empty", lambda: b"", DAMAGED)
    yield Case("one byte", lambda: b"\xff", OTHER)
    yield Case("zeros", lambda: bytes(1000), OTHER)
    yield Case("text", lambda: b"Dear sir, please find attached", OTHER)
    yield Case("base64 of a JPEG", lambda: b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsL", OTHER)
    yield Case("a data URI", lambda: b"data:image/jpeg;base64,/9j/4AAQSkZJRgAB", OTHER)
    yield Case("only the start of a JPEG", lambda: b"\xff\xd8", OTHER)
    yield Case("start and end of a JPEG", lambda: b"\xff\xd8\xff\xd9", DAMAGED)
    yield Case("only the signature of a PNG", lambda: png.PNG_START, DAMAGED)
    yield Case("only the header of a WebP", lambda: b"RIFF\x10\x00\x00\x00WEBP", DAMAGED)
    for name, start in (("JPEG", b"\xff\xd8\xff"), ("PNG", png.PNG_START), ("WebP", b"RIFF\x10\x00\x00\x00WEBPVP8 ")):
        yield Case(f"the start of a {name} and garbage", lambda start=start: start + b"garbage" * 50, DAMAGED)
        yield Case(f"the start of a {name} and noise", lambda start=start: start + noise(2000), DAMAGED)
        yield Case(f"the start of a {name} and zeros", lambda start=start: start + bytes(2000), DAMAGED)
    yield Case("a JPEG after a line break", lambda: b"\r\n" + plain("JPEG"), OTHER)


def cut_short() -> Iterator[Case]:
    for format_name in FORMATS:
        for percent in (5, 10, 25, 50, 75, 90, 99):

            def content(format_name=format_name, percent=percent) -> bytes:
                whole = noisy(format_name)
                return whole[: len(whole) * percent // 100]

            yield Case(f"{percent} % of a {format_name}", content, DAMAGED)
    yield Case("a JPEG without its end", lambda: noisy("JPEG")[:-2], DAMAGED)
    yield Case("a PNG without its end", lambda: noisy("PNG")[:-12], Decoded(300, 200))
    yield Case("a JPEG that ends before its pixels", lambda: jpeg.before_scan(b"\xff\xd9"), DAMAGED)
    yield Case("a WebP with 100 bytes of zeros for its middle", lambda: zeroed(noisy("WebP")), Either())


def flipped_bits() -> Iterator[Case]:
    for format_name in FORMATS:
        for seed in range(8):
            yield Case(
                f"a {format_name} with flipped bits, seed {seed}",
                lambda format_name=format_name, seed=seed: flipped(format_name, seed),
                Either(),
            )
    yield Case("a PNG with a wrong checksum", lambda: png.with_wrong_checksum(), DAMAGED)


def flipped(format_name: str, seed: int) -> bytes:
    """A picture with one to eight bits turned over."""
    random = np.random.default_rng(seed)
    damaged = bytearray(plain(format_name))
    for _ in range(random.integers(1, 9)):
        damaged[random.integers(len(damaged))] ^= 1 << random.integers(8)
    return bytes(damaged)
