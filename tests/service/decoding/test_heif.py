"""HEIC and AVIF, with and without the extra that reads them."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from service.decoding import heif
from service.decoding.images import ImageLimits, decode, upright_pixels
from service.errors import ImageTooLarge

LIMITS = ImageLimits()

with_extra = pytest.mark.skipif(not heif.AVAILABLE, reason="needs the extra heif: scripts/install heif")


@pytest.fixture(params=["HEIF", "AVIF"])
def format_name(request) -> str:
    return request.param


def halves() -> Image.Image:
    """Red on the left, green on the right."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, :48, 0] = pixels[:, 48:, 1] = 255
    return Image.fromarray(pixels)


@with_extra
def test_a_photo_is_decoded_like_any_other(encoded, format_name):
    photo = decode(encoded(halves(), format_name, quality=95), size=48, limits=LIMITS)

    assert (photo.width, photo.height) == (96, 64)
    reference = decode(encoded(halves(), "PNG"), size=48, limits=LIMITS)
    assert np.abs(photo.square.astype(int) - reference.square).mean() < 6


@with_extra
def test_a_turned_photo_is_upright_once(encoded):
    """As phones write them: the container turns it, and EXIF, which must not turn it again, says so, too."""
    import pillow_heif

    stored = pillow_heif.from_pillow(halves())
    stored.info["exif"] = exif(orientation=6).tobytes()
    buffer = io.BytesIO()
    stored.save(buffer, quality=95)
    size = Image.open(io.BytesIO(buffer.getvalue())).size

    assert upright_pixels(buffer.getvalue(), limits=LIMITS).shape[:2] == size[::-1]


@with_extra
def test_exif_of_the_container_gives_the_camera(encoded, format_name):
    data = exif()
    data[0x010F] = "Maker"  # Pillow writes no EXIF that has sub-directories alone into an AVIF
    data.get_ifd(0x8769)[0xA405] = 28

    photo = decode(encoded(halves(), format_name, exif=data), size=48, limits=LIMITS)

    assert photo.focal is not None and photo.focal.px == pytest.approx(28 * np.hypot(96, 64) / 43.2666)


@with_extra
def test_the_limits_on_size_hold_before_a_pixel_is_decoded(encoded, format_name):
    with pytest.raises(ImageTooLarge, match="a side may have at most 90 pixels, the picture is 96 x 64"):
        decode(encoded(halves(), format_name), size=48, limits=ImageLimits(max_side=90))


@pytest.mark.parametrize("brand", ["heic", "avif"])
def test_without_the_extra_the_refusal_names_it(brand):
    program = f"""
import sys
sys.modules["pillow_heif"] = None
from service.decoding.images import ImageLimits, decode
from service.errors import UnsupportedMedia
try:
    decode(b"\\0\\0\\0\\x18ftyp{brand}" + bytes(50), size=32, limits=ImageLimits())
except UnsupportedMedia as error:
    print(error.detail)
"""
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout

    assert said.strip() == (
        f"expected a JPEG, PNG or WebP image, got a {brand.upper()} file (62 bytes); "
        "the server reads HEIC and AVIF once its extra `heif` is installed (scripts/install heif)"
    )


def exif(orientation: int | None = None) -> Image.Exif:
    data = Image.Exif()
    if orientation is not None:
        data[0x0112] = orientation
    return data
