"""Orientation and focal length out of EXIF, as cameras and editors write it."""

import numpy as np
import pytest
from PIL import ExifTags, Image

from service.decoding.images import ImageLimits, Photo, decode, upright_pixels

LIMITS = ImageLimits()
TAG = ExifTags.Base
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def exif(**tags: object) -> Image.Exif:
    data = Image.Exif()
    for name, value in tags.items():
        data.get_ifd(ExifTags.IFD.Exif)[getattr(TAG, name)] = value
    return data


def taken(width: int = 300, height: int = 200, **extra: object) -> Image.Exif:
    """As a camera without a 35 mm tag writes it: a 50 mm lens, 500 pixels a centimetre of sensor."""
    camera = {"FocalLength": 50.0, "FocalPlaneXResolution": 500.0, "FocalPlaneResolutionUnit": 3}
    return exif(**camera | {"ExifImageWidth": width, "ExifImageHeight": height} | extra)


@pytest.fixture
def photo(encoded):
    def make(size: tuple[int, int], data: Image.Exif) -> Photo:
        return decode(encoded(Image.new("RGB", size), exif=data), size=32, limits=LIMITS)

    return make


@pytest.mark.parametrize(
    ("unit", "per_unit"),
    [(2, 500 * 2.54), (3, 500.0), (4, 50.0), (5, 0.05)],
    ids=["inch", "centimetre", "millimetre", "micrometre"],
)
def test_focal_length_comes_from_the_resolution_of_the_sensor(photo, unit, per_unit):
    found = photo((300, 200), taken(FocalPlaneResolutionUnit=unit, FocalPlaneXResolution=per_unit)).focal

    assert (found.px, found.source, found.note) == (pytest.approx(50 * 50, rel=1e-4), "exif-focal-plane", "")


def test_the_35_mm_equivalent_goes_before_the_resolution_of_the_sensor(photo):
    found = photo((300, 400), taken(300, 400, FocalLengthIn35mmFilm=28)).focal

    assert (found.px, found.source) == (pytest.approx(28 * 500 / 43.2666), "exif")


@pytest.mark.parametrize(
    "tags",
    [{"FocalPlaneXResolution": 0.0}, {"FocalPlaneResolutionUnit": 9}, {"FocalLength": 0.0}, {"FocalLength": 90000.0}],
    ids=["no resolution", "unknown unit", "no length", "a length beyond any lens"],
)
def test_an_implausible_sensor_counts_as_none(photo, tags):
    assert photo((300, 200), taken(**tags)).focal is None


@pytest.mark.parametrize("tags", [{}, {"FocalLengthIn35mmFilm": 28}], ids=["sensor", "35 mm"])
def test_a_resized_picture_keeps_its_field_of_view_and_says_so(photo, tags):
    whole = photo((300, 200), taken(**tags)).focal
    half = photo((150, 100), taken(**tags)).focal

    assert half.px == pytest.approx(whole.px / 2)
    assert half.note == "EXIF is of a picture of 300 x 200 pixels, this one has 150 x 100: taken as resized"


@pytest.mark.parametrize("tags", [{}, {"FocalLengthIn35mmFilm": 28}], ids=["sensor", "35 mm"])
def test_a_cropped_picture_keeps_its_focal_length_in_pixels_and_says_so(photo, tags):
    whole = photo((300, 200), taken(**tags)).focal
    part = photo((150, 200), taken(**tags)).focal

    assert part.px == pytest.approx(whole.px)
    assert (
        part.note == "EXIF is of a picture of 300 x 200 pixels, this one has 150 x 200: taken as cropped, not resized"
    )


def test_a_picture_that_is_no_crop_of_the_one_exif_describes_has_no_focal_length(photo):
    found = photo((400, 200), taken()).focal

    assert (found.px, found.source) == (None, "default")
    assert found.note.endswith("this one has 400 x 200: its focal length is not used")


def test_a_picture_that_an_editor_turned_is_not_taken_for_cropped(photo):
    assert photo((200, 300), taken()).focal.note == ""


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("data", [None, exif(FocalLengthIn35mmFilm=28)], ids=["no EXIF", "EXIF"])
def test_xmp_turns_no_picture(encoded, format_name, data):
    if format_name == "PNG":
        from PIL.PngImagePlugin import PngInfo

        notes = PngInfo()
        notes.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"pnginfo": notes}
    else:
        options = {"xmp": XMP}
    content = encoded(Image.new("RGB", (48, 32)), format_name, **options, **({"exif": data} if data else {}))

    assert upright_pixels(content, limits=LIMITS).shape == (32, 48, 3)
    assert decode(content, size=32, limits=LIMITS).width == 48


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_grey_of_any_number_of_bits_is_as_bright_as_it_was_taken(encoded, bits):
    ramp = np.linspace(0, 2**bits - 1, 64).astype(np.uint16)[None].repeat(64, 0)
    content = encoded(Image.fromarray(ramp), "PNG")

    shown = upright_pixels(content, limits=LIMITS)[0, :, 0].astype(int)

    assert np.abs(shown - np.linspace(0, 255, 64)).max() <= 2
    assert decode(content, size=32, limits=LIMITS).square.max() >= 250


@pytest.mark.parametrize("aspect", [0.5, 0.75, 4 / 3, 2.0])
@pytest.mark.parametrize("orientation", [1, 6])
def test_pixels_that_are_not_square_become_square(encoded, aspect, orientation):
    stored = Image.new("RGB", (120, 80), (255, 0, 0))
    data = Image.Exif()
    data[TAG.Orientation] = orientation

    photo = decode(encoded(stored, exif=data), size=60, limits=LIMITS, pixel_aspect=aspect)

    width, height = photo.box.content
    assert width / height == pytest.approx(photo.width * aspect / photo.height, rel=0.05)
    corner = photo.box.from_image(np.array([photo.width, photo.height], float))
    assert photo.box.to_image(corner) == pytest.approx([photo.width, photo.height])


@pytest.mark.parametrize("aspect", [1e-10, 1e10])
def test_an_absurd_aspect_is_survived(encoded, aspect):
    assert decode(encoded(Image.new("RGB", (120, 80))), size=60, limits=LIMITS, pixel_aspect=aspect).square.shape == (
        60,
        60,
        3,
    )
