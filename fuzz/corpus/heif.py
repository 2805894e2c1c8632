"""HEIC and AVIF pictures, sound and damaged. Made where the extra `heif` is installed: it has the encoders, too."""

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from fuzz.corpus.case import BODY_LIMIT, DAMAGED, OTHER, RED_GREEN, Case, Decoded, Either
from fuzz.corpus.pictures import HEIGHT, WIDTH, arrow, encoded, one_colour, zeroed
from service.decoding import heif

PILLOW_NAMES = {"HEIC": "HEIF", "AVIF": "AVIF"}
FLIPS = 20


def heif_pictures() -> Iterator[Case]:
    if not heif.AVAILABLE:
        for brand in (b"heic", b"avif"):
            yield Case(f"a {brand.decode()} without a decoder", lambda b=brand: _head(b), OTHER)
        return
    for name in PILLOW_NAMES:
        yield Case(f"a plain {name}", lambda n=name: plain(n), Decoded(colours=RED_GREEN))
        yield Case(f"the {name} with transparency", lambda n=name: _saved(_transparent(), n), Decoded())
        yield Case(
            f"the {name} of a phone's lens", lambda n=name: _saved(arrow(), n, exif=_exif(28)), Decoded(focal=True)
        )
        yield from _damaged(name, lambda n=name: plain(n))
        yield Case(f"the {name} of 36 megapixels", lambda n=name: _large(n), Decoded(6000, 6000), large=True)
    yield Case("a HEIC of two pictures", _two_pictures, Decoded(colours=RED_GREEN))
    yield Case("an animated AVIF", _animated, DAMAGED)
    yield Case("a HEIC of a head alone", lambda: _head(b"heic"), DAMAGED)
    yield Case("an AVIF of a head alone", lambda: _head(b"avif"), DAMAGED)
    yield Case("an AVIF with the brand of any picture", lambda: plain("AVIF").replace(b"avif", b"mif1", 1), Either())


def plain(name: str) -> bytes:
    return _saved(arrow(), name)


def _damaged(name: str, content: Callable[[], bytes]) -> Iterator[Case]:
    for part in range(1, 10):
        yield Case(f"the {name} cut to {part} tenths", lambda p=part: content()[: len(content()) * p // 10], Either())
    yield Case(f"the {name} with zeros in the middle", lambda: zeroed(content()), Either())
    for seed in range(FLIPS):
        yield Case(f"the {name} with flipped bits, {seed}", lambda s=seed: _flipped(content(), s), Either())


def _saved(picture: Image.Image, name: str, **options: object) -> bytes:
    return encoded(picture, PILLOW_NAMES[name], quality=95, **options)


def _transparent() -> Image.Image:
    return Image.new("RGBA", (WIDTH, HEIGHT), (255, 0, 0, 128))


def _exif(focal_35mm: int) -> Image.Exif:
    data = Image.Exif()
    data[0x010F] = "Maker"  # Pillow writes no EXIF that has sub-directories alone into an AVIF
    data.get_ifd(0x8769)[0xA405] = focal_35mm
    return data


def _large(name: str) -> bytes:
    content = one_colour(6000, 6000, PILLOW_NAMES[name], quality=30)
    assert len(content) < BODY_LIMIT
    return content


def _two_pictures() -> bytes:
    return _saved(arrow(), "HEIC", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))])


def _animated() -> bytes:
    return _saved(arrow(), "AVIF", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))])


def _head(brand: bytes) -> bytes:
    return b"\x00\x00\x00\x18ftyp" + brand + b"\x00\x00\x00\x00mif1" + brand + bytes(50)


def _flipped(content: bytes, seed: int) -> bytes:
    damaged = bytearray(content)
    random = np.random.default_rng(seed)
    for place in random.integers(12, len(content), 8):
        damaged[place] ^= 1 << random.integers(8)
    return bytes(damaged)
