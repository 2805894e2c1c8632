"""Decodes uploaded pictures. The only module that decodes.

Format, size limits and decoding cost are checked from the header, before any pixel is decoded. Decoding waits for a share of a
common memory budget, so many large pictures at once stay within it. All errors of Pillow are translated here.
"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, MpoImagePlugin, WebPImagePlugin

from bodykit.letterbox import Letterbox
from service.decoding import heif
from service.decoding.exif import read_exif
from service.decoding.headers import png_size, read_jpeg, webp_size
from service.decoding.memory import DecodingMemory
from service.errors import BodyTooLarge, ImageTooLarge, InvalidImage, Overloaded, UnsupportedMedia
from service.results import FocalLength
from service.settings import DEFAULTS

# Load all decoders now: later there may be no free file descriptor.
Image.preinit()
assert MpoImagePlugin and WebPImagePlugin
PLAIN_FORMATS = ("JPEG", "PNG", "WEBP")  # a phone's MPO file is a JPEG with more pictures behind the first
FORMATS = (*PLAIN_FORMATS, *heif.FORMATS)  # as Pillow calls them
ACCEPTED = (*PLAIN_FORMATS, *(("HEIC", "AVIF") if heif.AVAILABLE else ()))  # as `sniff` calls them
EXPECTED = "a JPEG, PNG or WebP image" + (" (or HEIC, AVIF)" if heif.AVAILABLE else "")
# Second line of defence behind `ImageLimits`: Pillow's warning from 89 megapixels on becomes an error.
warnings.simplefilter("error", Image.DecompressionBombWarning)
# Pillow warns about every odd EXIF tag, and a file can have 65,535 of them.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# At debug level Pillow logs every EXIF value, including where a picture was taken.
logging.getLogger("PIL").setLevel(logging.WARNING)

# A JPEG is decoded at a reduced scale that keeps at least this many times the network's pixels per side, so the final
# resampling still averages over real pixels.
OVERSAMPLING = 2

# Peak bytes per pixel while decoding; tests/hostile measures that they suffice.
COEFFICIENT_BYTES = 2  # per sample of a JPEG that keeps its coefficients until the last scan
PIXEL_BYTES = 4  # Pillow uses four bytes for RGB, too
PNG_BYTES = 2 * PIXEL_BYTES  # the stored picture and the RGB copy
WEBP_BYTES = 20  # two canvases, a copy, and Pillow's pixels: still pictures go through the animation decoder, too
ARRAY_BYTES = 3
# Painting on a whole picture and encoding it: the array, Pillow's copy, and the file, which is as large for noise.
PAINTING_BYTES = ARRAY_BYTES + PIXEL_BYTES + 2 * ARRAY_BYTES
BAND_BYTES = 150_000_000  # `service.formats.overlay` draws 4 megapixels at once
# One WebP of 40 megapixels, two such PNGs, or twenty such camera photos.
DECODING_BYTES = 800_000_000
STRIP_PIXELS = 1 << 20  # converted at once, where a whole copy would be large

WHITE = (255, 255, 255)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height
GREY_BITS = (8, 10, 12, 14, 16)  # bit depths of sensors; a 16-bit file does not say which one it holds

Target = tuple[int, float]  # side of the network's square, and the pixels' width over their height

# First bytes -> the common name of the format.
SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"8BPS", "PSD"),
    (b"%!PS", "EPS"),
    (b"SIMPLE", "FITS"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"<svg", "SVG"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
)
HINTS = {
    "GIF": "send one frame of it as JPEG, PNG or WebP",
    "video": "`depthhmr stream` follows the people of a video",
    "HEIC": heif.HINT,
    "AVIF": heif.HINT,
    "JPEG XL": "save it as JPEG, PNG or WebP",
}


@dataclass(frozen=True)
class ImageLimits:
    max_megapixels: float = DEFAULTS.max_megapixels
    max_side: int = DEFAULTS.max_side  # pixels
    max_bytes: int | None = None  # of the file
    memory: DecodingMemory = field(default_factory=lambda: DecodingMemory(DECODING_BYTES), compare=False)


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded, upright picture. `width` and `height` are those of the upright original."""

    width: int
    height: int
    square: np.ndarray  # uint8 [S, S, 3], letterboxed
    box: Letterbox
    focal: FocalLength | None  # from EXIF


def decode(content: bytes, *, size: int, limits: ImageLimits, pixel_aspect: float = 1.0) -> Photo:
    """Decodes for a network of input side `size`. `pixel_aspect` is the width of a pixel over its height.

    Raises UnsupportedMedia (not one of ACCEPTED), InvalidImage (damaged, animated), ImageTooLarge or BodyTooLarge.
    """
    found, announced, decoding_bytes = _inspect(content, limits, (size, pixel_aspect))
    with limits.memory.taken(decoding_bytes), _opened(content, found, announced) as picture:
        exif = read_exif(picture)
        orientation = exif.orientation
        stored = picture.size
        width, height = stored[::-1] if orientation in SIDEWAYS else stored
        box = Letterbox(width, height, size, pixel_aspect)
        fitted = box.content[::-1] if orientation in SIDEWAYS else box.content
        picture.draft("RGB", _draft_size(fitted))
        # The scaled decoder rounds up to whole pixels, so the resampler gets the exact picture area.
        shrink = _shrink_of(picture, stored)
        content_area = (0.0, 0.0, stored[0] / shrink, stored[1] / shrink)
        small = _rgb(picture).resize(fitted, Image.Resampling.BILINEAR, box=content_area)
        return Photo(width, height, box.pad(np.asarray(_upright(small, orientation))), box, exif.focal)


def upright_pixels(content: bytes, *, limits: ImageLimits) -> np.ndarray:
    """The whole upright picture, uint8 [H, W, 3]. Raises like `decode`."""
    with upright_canvas(content, limits=limits) as canvas:
        return canvas.pixels


@dataclass(frozen=True, eq=False)
class Canvas:
    """A whole upright picture to paint on."""

    pixels: np.ndarray  # uint8 [H, W, 3]
    icc_profile: bytes | None  # None for sRGB


@contextmanager
def upright_canvas(content: bytes, *, limits: ImageLimits) -> Iterator[Canvas]:
    """The whole upright picture, to be painted on and encoded within the block. Holds the memory needed for both.

    Raises like `decode`.
    """
    found, (width, height), decoding_bytes = _inspect(content, limits)
    with limits.memory.taken(max(decoding_bytes, PAINTING_BYTES * width * height + BAND_BYTES)):
        yield _canvas(content, found, (width, height))


def _canvas(content: bytes, found: str, announced: tuple[int, int]) -> Canvas:
    with _opened(content, found, announced) as picture:
        return Canvas(_upright_pixels(picture), _icc_profile(picture))


def _upright_pixels(picture: Image.Image) -> np.ndarray:
    orientation = read_exif(picture).orientation
    picture.load()
    surplus = _surplus_bits(picture)
    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    for top, strip in _strips(picture):
        pixels[top : top + strip.height] = np.asarray(_rgb_of(strip, surplus))
    return np.ascontiguousarray(_turned(pixels, orientation))


def _icc_profile(picture: Image.Image) -> bytes | None:
    """The picture's colour profile if it is for RGB: other colour spaces are converted without their profile."""
    profile = picture.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile[16:20] == b"RGB " else None


def sniff(content: bytes) -> str | None:
    """The format according to the first bytes; None if it is unknown."""
    head = content[:512]
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return heif.BRANDS.get(head[8:12], "video")
    for signature, name in SIGNATURES:
        if head.startswith(signature):
            return name
    return "HTML or XML" if head.lstrip().startswith(b"<") else None


def _inspect(content: bytes, limits: ImageLimits, target: Target | None = None) -> tuple[str, tuple[int, int], int]:
    """Format, (width, height) and the bytes that decoding takes, all from the header. Without a target, for the whole picture.

    Raises every error that can be found without decoding.
    """
    if not content:
        raise InvalidImage(f"expected {EXPECTED}, got an empty body")
    if limits.max_bytes is not None and len(content) > limits.max_bytes:
        raise BodyTooLarge(f"expected an image of at most {limits.max_bytes} bytes, got {len(content)}")
    found = sniff(content)
    if found is None or found not in ACCEPTED:
        what = f"a {found} file" if found else "something else"
        hint = f"; {HINTS[found]}" if found in HINTS else ""
        raise UnsupportedMedia(f"expected {EXPECTED}, got {what} ({len(content)} bytes){hint}")
    return found, *_cost(found, content, limits, target)


@contextmanager
def _opened(content: bytes, found: str, announced: tuple[int, int]) -> Iterator[Image.Image]:
    """A picture that passed the header checks, its pixels not yet decoded."""
    with _pillow_errors(found, content), Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        if picture.size != announced:
            raise _damaged(found, content)
        # Files of phones hold more pictures behind the first: other exposures, other crops.
        if getattr(picture, "is_animated", False) and picture.format not in ("MPO", "HEIF"):
            frames = getattr(picture, "n_frames", "several")
            raise InvalidImage(f"expected a still picture, got an animated {found} of {frames} frames")
        if found != "JPEG":
            picture.load()  # reading a PNG's EXIF decodes it: a damaged one must fail here, not seem to lack EXIF
        yield picture


def _cost(found: str, content: bytes, limits: ImageLimits, target: Target | None) -> tuple[tuple[int, int], int]:
    """(width, height) and the bytes that decoding takes, from the header. Raises errors visible in the header."""
    if found == "JPEG":
        jpeg = read_jpeg(content)
        width, height = jpeg.width, jpeg.height
        per_pixel = COEFFICIENT_BYTES * jpeg.samples
        if target is None:
            per_pixel += PIXEL_BYTES + ARRAY_BYTES
        elif width and height:
            per_pixel += 2 * PIXEL_BYTES / _min_shrink((width, height), *target) ** 2
    elif found == "PNG":
        width, height = png_size(content)
        per_pixel = PNG_BYTES
    elif found == "WEBP":
        width, height = webp_size(content)
        per_pixel = WEBP_BYTES
    else:
        with _pillow_errors(found, content):
            width, height = heif.heif_size(content)
        per_pixel = heif.HEIC_BYTES if found == "HEIC" else heif.AVIF_BYTES
    if not (width and height):
        raise _damaged(found, content)
    _check_size((width, height), limits)
    if found == "JPEG":
        jpeg.check_work()
    return (width, height), int(per_pixel * width * height)


def _min_shrink(stored: tuple[int, int], size: int, pixel_aspect: float) -> int:
    """The least factor by which the scaled decoder shrinks. EXIF, which may swap the sides, has not been read yet."""
    shrinks = []
    for aspect in {pixel_aspect, 1 / pixel_aspect}:
        aim = _draft_size(Letterbox(*stored, size, aspect).content)
        shrinks.append(max(1, min(stored[0] // aim[0], stored[1] // aim[1])))
    return next(scale for scale in (8, 4, 2, 1) if scale <= min(shrinks))


def _damaged(found: str, content: bytes) -> InvalidImage:
    return InvalidImage(f"the {found} image is damaged or truncated ({len(content)} bytes)")


@contextmanager
def _pillow_errors(found: str, content: bytes) -> Iterator[None]:
    try:
        yield
    except (InvalidImage, UnsupportedMedia, ImageTooLarge):
        raise
    except MemoryError as error:  # temporary, and not the picture's fault
        raise Overloaded("there is not enough memory for this picture now; try again in a moment") from error
    except OSError as error:
        if error.errno is None:  # raised by a decoder
            raise _damaged(found, content) from error
        raise  # raised by the operating system
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge("the picture has more pixels than the decoder accepts") from error
    except Exception as error:  # on malformed bytes, decoders raise errors of any type
        raise _damaged(found, content) from error


def _check_size(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if max(size) > limits.max_side:
        raise ImageTooLarge(f"a side may have at most {limits.max_side} pixels, the picture is {width} x {height}")
    if width * height > limits.max_megapixels * 1e6:
        raise ImageTooLarge(
            f"a picture may have at most {limits.max_megapixels:g} megapixels, "
            f"this one is {width} x {height} = {width * height / 1e6:.1f}"
        )


def _shrink_of(picture: Image.Image, stored: tuple[int, int]) -> int:
    """The factor by which the scaled decoder shrinks: 1, 2, 4 or 8."""
    return max(1, round(max(stored) / max(picture.size)))


def _draft_size(fitted: tuple[int, int]) -> tuple[int, int]:
    return OVERSAMPLING * fitted[0], OVERSAMPLING * fitted[1]


def _rgb(picture: Image.Image) -> Image.Image:
    """`_rgb_of` for a whole picture, with no copy besides the result."""
    picture.load()
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    surplus = _surplus_bits(picture)
    page = Image.new("RGB", picture.size)
    for top, strip in _strips(picture):
        page.paste(_rgb_of(strip, surplus), (0, top))
    return page


def _surplus_bits(picture: Image.Image) -> int:
    """Low bits to drop from a 16-bit grey picture. Derived from its brightest pixel, so 12-bit data does not turn black."""
    if not picture.mode.startswith("I"):
        return 0
    brightest = max(0, int(np.asarray(picture.getextrema())[1]))
    return next((bits for bits in GREY_BITS if brightest < 1 << bits), 16) - 8


def _rgb_of(picture: Image.Image, surplus_bits: int) -> Image.Image:
    """Converts any mode of the allowed formats to RGB: transparency over white, 16-bit grey without `surplus_bits`."""
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith("I"):
        kept = (np.asarray(picture).astype(np.uint32) >> surplus_bits).clip(0, 255).astype(np.uint8)
        return Image.fromarray(kept).convert("RGB")
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        page = Image.new("RGB", layered.size, WHITE)
        page.paste(layered, mask=layered.getchannel("A"))
        return page
    return picture.convert("RGB")


def _strips(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The picture in strips from top to bottom, each with its first row."""
    rows = max(1, STRIP_PIXELS // picture.width)
    for top in range(0, picture.height, rows):
        yield top, picture.crop((0, top, picture.width, min(top + rows, picture.height)))


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    return picture.transpose(TURNS[orientation]) if orientation in TURNS else picture


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """`_upright` for an array; a view."""
    if orientation in SIDEWAYS:
        pixels = pixels.transpose(1, 0, 2)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return pixels[rows, columns]
