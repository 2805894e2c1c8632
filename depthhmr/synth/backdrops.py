"""Backdrops: crops of photographs without people, shown behind the rendered ones.

Photographs have no depth here, and people stand in front of them on an assumed floor. The user must make sure that the
photographs contain no people.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from bodykit.errors import UserError
from bodykit.picture_files import UNREADABLE, picture_files
from depthhmr.synth.degrade import LUMINANCE
from depthhmr.synth.look import CLOTH
from depthhmr.synth.texture import SIZE

MIN_SIDE = 200  # pixels: smaller ones would be enlarged beyond the blur of an unfocused lens
MAX_SIDE = 1024  # pixels kept of a photograph
KEPT = 150  # photographs in memory, 2 MB each; the others of a larger folder are read again when they are drawn
STREAM = 0xD409  # its own random stream, so that people are the same with and without backdrops
CLOTHS = 2  # patches per picture
DRESSED, FURNISHED = 0.35, 0.5  # share of people and of furniture whose patterns come from the patches
FLOORED = 0.4  # share of backdrops behind the drawn floor, which patches cover half of the time


@dataclass(frozen=True)
class Backdrop:
    """The backdrop of one picture, and the light that it implies."""

    rgb: np.ndarray  # float32 [H, W, 3] about 0..1, for the content box
    above: np.ndarray  # float32 [3]: how much brighter than usual the upper half is, by colour
    below: np.ndarray  # float32 [3]: and the lower half
    shadow: float  # share of the shadow that falls on it where the floor should be
    floor: bool  # whether the drawn floor stays in front of the photograph
    cloth: np.ndarray  # float32 [CLOTHS, SIZE, SIZE] in 0..1, tiling


class Backdrops:
    """Photographs of a folder and its subfolders; a `share` of all pictures has one of them behind its people.

    Raises UserError for a folder without photographs, for one that cannot be read and one below 200 pixels.
    """

    def __init__(self, folder: Path, share: float = 0.5) -> None:
        if not 0 < share <= 1:
            raise UserError(f"expected a share of backdrops above 0 and at most 1, got {share:g}")
        if not folder.is_dir():
            raise UserError(f"expected a folder with photographs without people at {folder}, found none")
        self.folder, self.share = folder, share
        names = [path.relative_to(folder).as_posix() for path in picture_files(folder.rglob("*"))]
        if not names:
            raise UserError(f"expected photographs without people (.jpg, .png or .webp) in {folder}, found none")
        self.names = sorted(names)
        self._photograph = lru_cache(KEPT)(lambda name: read(folder / name))
        content = hashlib.sha256()
        for name in self.names:
            self._photograph(name)
            content.update(f"{name}\0{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n".encode())
        self.sha256 = content.hexdigest()  # of names and bytes: equal folders give equal pictures

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that determine the pictures, for run.json."""
        return {"folder": str(self.folder), "share": self.share, "sha256": self.sha256}

    def draw(self, seed: int, width: int, height: int, size: int) -> tuple[Backdrop, np.random.Generator] | None:
        """The backdrop of a picture, and its random generator; None if it keeps its drawn place.

        `size` is the side of the square that holds the picture of `width` x `height`; blur is relative to 192.
        """
        rng = np.random.Generator(np.random.PCG64([STREAM, seed]))
        if rng.random() >= self.share:
            return None
        photograph = self._photograph(self.names[rng.integers(len(self.names))])
        image = Image.fromarray(photograph).resize(
            (width, height), Image.Resampling.BILINEAR, box=_cutting(rng, photograph.shape, width / height)
        )
        if rng.random() < 0.5:
            image = ImageOps.mirror(image)
        if rng.random() < 0.6:  # people are in focus, places often are not
            image = image.filter(ImageFilter.GaussianBlur(size / 192 * rng.uniform(0.2, 2.2)))
        exposure = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.04, 3)).astype(np.float32)
        rgb = np.asarray(image, np.float32) / np.float32(255) * exposure
        floor = bool(rng.random() < FLOORED)
        return Backdrop(
            rgb=rgb,
            above=_brightness(rgb[: height // 2]),
            below=_brightness(rgb[height // 2 :]),
            shadow=0.0 if floor else float(rng.uniform(0.2, 1.0)),
            floor=floor,
            cloth=np.stack([_cloth(rng, photograph) for _ in range(CLOTHS)]),
        ), rng


def read(path: Path) -> np.ndarray:
    """A photograph, upright, uint8 [H, W, 3], MAX_SIDE pixels long or less, but for panoramas.

    Raises UserError if it cannot be read or is too small.
    """
    try:
        with Image.open(path) as file:
            shortest = min(file.size)
            file.draft("RGB", (MAX_SIDE, MAX_SIDE))
            image = ImageOps.exif_transpose(file).convert("RGB")
    except UNREADABLE as error:
        raise UserError(f"expected a photograph at {path}, it cannot be read: {error}") from error
    if shortest < MIN_SIDE:
        raise UserError(f"expected photographs of at least {MIN_SIDE} pixels a side, {path} has {shortest}")
    side = max(MAX_SIDE, MIN_SIDE * max(image.size) // shortest)  # a panorama keeps its height
    image.thumbnail((side, side), Image.Resampling.BOX)
    return np.asarray(image)


def shine(light: np.ndarray, place: np.ndarray, backdrop: Backdrop, rng: np.random.Generator) -> None:
    """Adapts light and floor, in place, to the colours of the photograph above and below, and partly to its brightness."""
    strength = np.float32(np.exp(rng.normal(0, 0.12)))
    place["floor"] *= backdrop.below * strength
    place["floor2"] *= backdrop.below * strength
    light["sky"] *= backdrop.above * strength
    light["ground"] *= backdrop.below * strength
    light["sun"] *= (0.5 * (backdrop.above + backdrop.below)).mean() * strength


def cover(patterns: np.ndarray, rng: np.random.Generator, share: float) -> None:
    """Replaces a share of pattern numbers, in place, by those of the photograph's patches."""
    chosen = rng.random(len(patterns)) < share
    patterns[chosen] = CLOTH + rng.integers(CLOTHS, size=len(patterns))[chosen]


def _cutting(rng: np.random.Generator, shape: tuple[int, ...], aspect: float) -> tuple[float, float, float, float]:
    """A box (left, top, right, bottom) of the aspect in a photograph [H, W, 3], between a third of it and all."""
    height, width = shape[:2]
    most = min(width, height * aspect)
    wide = most * float(np.exp(rng.uniform(np.log(0.35), 0)))
    high = wide / aspect
    left, top = rng.uniform(0, 1, 2) * (width - wide, height - high)
    return float(left), float(top), min(float(left + wide), width), min(float(top + high), height)


def _brightness(rgb: np.ndarray) -> np.ndarray:
    """How the light in part of a place differs from the usual, per colour; damped, as surfaces have colours as well."""
    mean = rgb.reshape(-1, 3).mean(axis=0).clip(0.02, 1)
    grey = float(mean @ LUMINANCE)
    return ((mean / grey) ** 0.35 * np.clip((grey / 0.42) ** 0.45, 0.6, 1.35)).astype(np.float32)


def _cloth(rng: np.random.Generator, photograph: np.ndarray) -> np.ndarray:
    """A patch of a photograph as shares of two colours [SIZE, SIZE]; mirrored at its edges, so that it tiles."""
    side = int(rng.integers(SIZE // 2, min(photograph.shape[:2]) + 1))
    top, left = (int(rng.integers(length - side + 1)) for length in photograph.shape[:2])
    patch = Image.fromarray(photograph[top : top + side, left : left + side]).convert("L")
    grey = np.asarray(patch.resize((SIZE // 2, SIZE // 2), Image.Resampling.BILINEAR), np.float32)
    low, high = np.percentile(grey, (3, 97))
    grey = ((grey - low) / max(high - low, 16)).clip(0, 1)
    grey = np.concatenate([grey, grey[:, ::-1]], axis=1)
    return np.concatenate([grey, grey[::-1]], axis=0).astype(np.float32)
