"""Decoding of good and bad pictures."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from service.decoding.images import ImageLimits, decode, sniff, upright_pixels
from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia

LIMITS = ImageLimits()
SIZE = 32


def arrow(width: int = 48, height: int = 32) -> Image.Image:
    """Red on the left, green on the right, blue at the bottom: every orientation looks different."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 1] = 255
    pixels[height * 3 // 4 :] = (0, 0, 255)
    return Image.fromarray(pixels)


def orientations() -> dict[int, Image.Image]:
    """The arrow as a camera would store it for each EXIF orientation."""
    turn = Image.Transpose
    stored = {
        1: None,
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    return {number: arrow() if how is None else arrow().transpose(how) for number, how in stored.items()}


def exif(orientation: object = None, focal_35mm: int | None = None) -> Image.Exif:
    data = Image.Exif()
    if orientation is not None:
        data[0x0112] = orientation
    if focal_35mm is not None:
        data.get_ifd(0x8769)[0xA405] = focal_35mm
    return data


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_every_exif_orientation_gives_the_same_upright_picture(encoded, number, format_name):
    content = encoded(orientations()[number], format_name, exif=exif(number), quality=95)

    photo = decode(content, size=SIZE, limits=LIMITS)
    reference = decode(encoded(arrow(), "PNG"), size=SIZE, limits=LIMITS)

    assert (photo.width, photo.height) == (48, 32)
    assert np.abs(photo.square.astype(int) - reference.square).mean() < 8  # JPEG and WebP are not exact
    pixels = upright_pixels(content, limits=LIMITS)
    assert pixels.shape == (32, 48, 3) and pixels[4, 4, 0] > 200 and pixels[4, 44, 1] > 100


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_absurd_orientation_counts_as_none(encoded, orientation):
    content = encoded(arrow(), exif=exif(orientation))

    photo = decode(content, size=SIZE, limits=LIMITS)

    assert (photo.width, photo.height) == (48, 32)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_cost_the_photo(encoded):
    content = encoded(arrow(), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + b"\xff" * 40)

    assert decode(content, size=SIZE, limits=LIMITS).focal is None


def test_focal_length_comes_from_the_35mm_equivalent_by_diagonal(encoded):
    content = encoded(Image.new("RGB", (300, 400)), exif=exif(focal_35mm=28))

    photo = decode(content, size=SIZE, limits=LIMITS)

    assert photo.focal is not None
    assert (photo.focal.px, photo.focal.source) == (pytest.approx(28 * 500 / 43.2666), "exif")


@pytest.mark.parametrize("focal", [0, 1, 60000])
def test_an_implausible_focal_length_counts_as_none(encoded, focal):
    content = encoded(arrow(), exif=exif(focal_35mm=focal))

    assert decode(content, size=SIZE, limits=LIMITS).focal is None


@pytest.mark.parametrize(("width", "height"), [(1600, 1200), (1601, 1203), (1203, 1601)])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_decoding_at_a_smaller_scale_gives_the_picture_of_decoding_fully(encoded, width, height, orientation):
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 / width, y * 255 / height, 255 * ((x // 200 + y // 200) % 2)], -1).astype(np.uint8)
    content = encoded(Image.fromarray(pixels), quality=95, exif=exif(orientation))

    photo = decode(content, size=64, limits=LIMITS)
    full = Image.fromarray(upright_pixels(content, limits=LIMITS))

    expected = photo.box.pad(np.asarray(full.resize(photo.box.content, Image.Resampling.BILINEAR))).astype(int)
    assert np.abs(photo.square - expected).mean() < 2


@pytest.mark.parametrize(
    ("mode", "format_name"),
    [
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("1", "PNG"),
        ("RGBA", "PNG"),
        ("RGBA", "WEBP"),
        ("RGB", "WEBP"),
    ],
)
def test_every_colour_mode_becomes_rgb(encoded, mode, format_name):
    content = encoded(Image.new("RGB", (40, 40), (255, 255, 255)).convert(mode), format_name)

    square = decode(content, size=SIZE, limits=LIMITS).square

    assert square.shape == (SIZE, SIZE, 3) and square.min() > 240


def test_sixteen_bit_grey_keeps_its_brightness(encoded):
    content = encoded(Image.fromarray(np.full((40, 40), 128 << 8, np.uint16)), "PNG")

    assert np.unique(decode(content, size=SIZE, limits=LIMITS).square).tolist() == [128]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(encoded, mode):
    picture = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    options = {}
    if mode == "P":
        picture, options = Image.new("P", (40, 40), 3), {"transparency": 3}
        picture.putpalette([0] * 768)
    elif mode == "LA":
        picture = picture.convert("LA")

    square = decode(encoded(picture, "PNG", **options), size=SIZE, limits=LIMITS).square

    assert square.min() == 255


def test_an_mpo_file_from_a_phone_is_its_first_picture(encoded):
    content = encoded(arrow(480, 320), "MPO", save_all=True, append_images=[arrow(48, 32)])

    photo = decode(content, size=SIZE, limits=LIMITS)

    assert (photo.width, photo.height) == (480, 320)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (3000, 1), (1, 3000)])
def test_the_smallest_and_thinnest_pictures_are_decoded(encoded, width, height):
    assert decode(encoded(Image.new("RGB", (width, height))), size=SIZE, limits=LIMITS).width == width


def test_nothing_is_an_invalid_image():
    with pytest.raises(InvalidImage, match="got an empty body"):
        decode(b"", size=SIZE, limits=LIMITS)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"hello, I am no image", "something else"),
        (b"\xff", "something else"),
        (b"GIF89a" + bytes(20), "GIF file .* send one frame"),
        (b"%PDF-1.7", "PDF"),
        (b"II*\x00" + bytes(20), "TIFF"),
        (b"BM" + bytes(30), "BMP"),
        (b"8BPS", "PSD"),
        (b"  <!doctype html><html>", "HTML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\x00\x00\x00\x18ftypmp42", "video"),
        (b"\xff\x0a" + bytes(20), "JPEG XL file .* save it as"),
        (b"PK\x03\x04", "ZIP"),
        (b"\x1f\x8b\x08\x00", "gzip"),
    ],
)
def test_another_format_is_named(content, found):
    with pytest.raises(UnsupportedMedia, match=f"expected a JPEG, PNG or WebP image.*, got .*{found}"):
        decode(content, size=SIZE, limits=LIMITS)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_image_is_an_error_and_never_half_a_picture(encoded, format_name, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8))
    content = encoded(noise, format_name)

    with pytest.raises(InvalidImage, match=f"the {format_name} image is damaged or truncated"):
        decode(content[: int(len(content) * share)], size=SIZE, limits=LIMITS)


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\x00\x00\x00WEBP"])
def test_a_header_with_garbage_behind_it_is_an_invalid_image(start):
    with pytest.raises(InvalidImage):
        decode(start + b"garbage" * 50, size=SIZE, limits=LIMITS)


def test_flipped_bits_give_a_picture_or_a_clear_error(encoded):
    content = encoded(arrow(), quality=90)
    random = np.random.default_rng(0)

    for _ in range(300):
        damaged = bytearray(content)
        damaged[random.integers(len(damaged))] ^= 1 << random.integers(8)
        with suppress(InvalidImage, UnsupportedMedia, ImageTooLarge):
            assert decode(bytes(damaged), size=SIZE, limits=LIMITS).square.shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        (50_000, 50_000, "at most 12000 pixels, the picture is 50000 x 50000"),
        (30_000, 1, "at most 12000 pixels, the picture is 30000 x 1"),
        (8_000, 8_000, "at most 40 megapixels, this one is 8000 x 8000 = 64.0"),
        (11_000, 9_000, "pixels"),
    ],
)
def test_a_decompression_bomb_is_refused_by_its_header(width, height, message):
    with pytest.raises(ImageTooLarge, match=message):
        decode(png_header(width, height), size=SIZE, limits=LIMITS)


def test_an_animated_png_or_webp_is_refused(encoded):
    for format_name in ("PNG", "WEBP"):
        content = encoded(arrow(), format_name, save_all=True, append_images=[arrow().rotate(90)])

        with pytest.raises(InvalidImage, match=r"expected a still picture, got an animated .* of 2 frames"):
            decode(content, size=SIZE, limits=LIMITS)


def test_a_jpeg_of_thousands_of_scans_is_refused_before_decoding(encoded):
    content = encoded(arrow(), progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]

    with pytest.raises(InvalidImage, match="at most 100 scans"):
        decode(content[:-2] + scan * 1000 + b"\xff\xd9", size=SIZE, limits=LIMITS)


def test_a_text_bomb_in_a_png_is_refused(encoded):
    from PIL.PngImagePlugin import PngInfo

    notes = PngInfo()
    for number in range(80):
        notes.add_text(f"note{number}", "a" * 2**20, zip=True)
    content = encoded(arrow(), "PNG", pnginfo=notes)

    with pytest.raises(InvalidImage):
        decode(content, size=SIZE, limits=LIMITS)


def test_sniffing_never_fails():
    assert sniff(b"") is None and sniff(b"\x00" * 3) is None


def test_the_same_bytes_give_the_same_pixels(encoded):
    content = encoded(arrow(1000, 700))

    first, second = (decode(io.BytesIO(content).read(), size=SIZE, limits=LIMITS).square for _ in range(2))

    assert (first == second).all()
