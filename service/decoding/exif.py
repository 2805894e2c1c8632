"""Orientation and focal length from EXIF. The data is untrusted: malformed or implausible values are ignored."""

import math
from dataclasses import dataclass

from PIL import ExifTags, Image

from service.results import FocalLength

ORIENTATIONS = range(1, 9)
DIAGONAL_35MM = 43.2666  # mm, of the 36 x 24 mm frame that "35 mm equivalent" refers to
# From an extreme fisheye to a telescope; cameras write 0 for "unknown".
FOCAL_35MM = (5.0, 2000.0)
MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}  # FocalPlaneResolutionUnit: inch, centimetre, millimetre, micrometre
# Aspect ratios within 1 % count as equal: editors round to whole pixels when they resize.
SAME_ASPECT = 0.01

Size = tuple[int, int]


@dataclass(frozen=True)
class Exif:
    orientation: int = 1  # 1 to 8
    focal: FocalLength | None = None  # of the stored picture, whose pixels are square


def read_exif(picture: Image.Image) -> Exif:
    """Orientation and focal length from EXIF only: Pillow's `getexif` falls back to XMP, which viewers ignore."""
    try:
        exif = Image.Exif()
        exif.load(_exif_bytes(picture))
        details = exif.get_ifd(ExifTags.IFD.Exif)
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken metadata must not make the photo unusable
        return Exif()
    return Exif(orientation if orientation in ORIENTATIONS else 1, _focal(details, picture.size))


def focal_px_of_35mm(focal_35mm: float, size: Size) -> float:
    """Focal length in pixels. Equivalence is by diagonal (CIPA DCG-001), so it holds for any aspect ratio."""
    return focal_35mm * math.hypot(*size) / DIAGONAL_35MM


def _exif_bytes(picture: Image.Image) -> bytes:
    content = picture.info.get("exif")
    if content is None and "Raw profile type exif" in picture.info:  # where ImageMagick stores it in a PNG, hexadecimal
        content = bytes.fromhex("".join(picture.info["Raw profile type exif"].split("\n")[3:]))
    return content or b""


def _focal(details: dict[int, object], size: Size) -> FocalLength | None:
    """From the 35 mm equivalent, else from the resolution of the sensor."""
    taken = _number(details, ExifTags.Base.ExifImageWidth), _number(details, ExifTags.Base.ExifImageHeight)
    original, note = _original_size(taken, size)
    if original is None:
        return FocalLength(None, "default", note)
    shrink = max(size) / max(original) if note and _same_aspect(original, size) else 1.0
    focal_35mm = _number(details, ExifTags.Base.FocalLengthIn35mmFilm)
    if focal_35mm is not None and FOCAL_35MM[0] <= focal_35mm <= FOCAL_35MM[1]:
        return FocalLength(focal_px_of_35mm(focal_35mm, original) * shrink, "exif", note)
    focal_px = _focal_plane_px(details)
    if focal_px is not None and FOCAL_35MM[0] <= focal_px / focal_px_of_35mm(1.0, original) <= FOCAL_35MM[1]:
        return FocalLength(focal_px * shrink, "exif-focal-plane", note)
    return None


def _original_size(taken: tuple[float | None, float | None], size: Size) -> tuple[Size | None, str]:
    """The size of the picture that the camera wrote, and a note if the present one differs from it.

    None if the present picture cannot be a crop or a resized version, so no focal length follows.
    """
    if not (taken[0] and taken[1]):
        return size, ""
    original = round(taken[0]), round(taken[1])
    if not _same_aspect(original, size) and _same_aspect(original[::-1], size):
        original = original[::-1]  # rotated by an editor that did not update the tags
    if original == size:
        return size, ""
    change = f"EXIF is of a picture of {original[0]} x {original[1]} pixels, this one has {size[0]} x {size[1]}"
    if _same_aspect(original, size):
        return original, f"{change}: taken as resized"
    if size[0] <= original[0] and size[1] <= original[1]:
        return original, f"{change}: taken as cropped, not resized"
    return None, f"{change}: its focal length is not used"


def _same_aspect(original: Size, size: Size) -> bool:
    return abs(original[0] * size[1] / (original[1] * size[0]) - 1) <= SAME_ASPECT


def _focal_plane_px(details: dict[int, object]) -> float | None:
    """Focal length in pixels of the original, from millimetres and the sensor's pixels per unit of length."""
    focal_mm = _number(details, ExifTags.Base.FocalLength)
    per_unit = _number(details, ExifTags.Base.FocalPlaneXResolution)
    unit = _number(details, ExifTags.Base.FocalPlaneResolutionUnit) or 2  # EXIF 2.32: the default is inches
    if not (focal_mm and per_unit) or unit not in MM_PER_UNIT:
        return None
    return focal_mm * per_unit / MM_PER_UNIT[int(unit)]


def _number(details: dict[int, object], tag: int) -> float | None:
    """A positive finite number, else None."""
    try:
        value = float(details[tag])  # type: ignore[arg-type]  # a rational, an int, or anything else
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return value if math.isfinite(value) and value > 0 else None
