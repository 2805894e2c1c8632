"""Random cameras as people hold them, for many pictures at once.

The level frame used by the whole generator is the camera's without its tilt: x right, y down, z forward, origin at the
camera, the ground at y = height.
"""

from dataclasses import dataclass

import numpy as np

ASPECTS = np.array([4 / 3, 3 / 2, 16 / 9, 3 / 4, 2 / 3, 9 / 16, 1.2, 0.83])
MAX_PITCH = np.radians(28)


@dataclass(frozen=True)
class Lenses:
    """The lenses of N cameras."""

    focal: np.ndarray  # [N] pixels
    centre: np.ndarray  # [N, 2] pixels
    content: np.ndarray  # [N, 4] int: left, top, right, bottom of the picture inside its square
    size: int

    def intrinsics(self) -> np.ndarray:
        """float32 [N, 4]: fx, fy, cx, cy."""
        return np.concatenate([self.focal[:, None], self.focal[:, None], self.centre], axis=1).astype(np.float32)


def sample_lenses(rng: np.random.Generator, n: int, size: int) -> Lenses:
    """Fields of view of 35..90 degrees across the longer side, mostly 50..70; half of the pictures letterboxed."""
    common = rng.normal(60, 8, n).clip(38, 85)
    fov = np.where(rng.random(n) < 0.8, common, rng.uniform(35, 90, n))
    focal = size / (2 * np.tan(np.radians(fov) / 2))
    off_centre = rng.normal(0, 0.02, (n, 2)).clip(-0.05, 0.05) * (rng.random(n) < 0.2)[:, None]
    centre = size * (0.5 + off_centre)
    aspect = ASPECTS[rng.integers(len(ASPECTS), size=n)] * np.exp(rng.normal(0, 0.04, n))
    aspect = np.where(rng.random(n) < 0.5, 1.0, aspect)
    width = np.rint(size * np.minimum(1, aspect)).astype(int)
    height = np.rint(size * np.minimum(1, 1 / aspect)).astype(int)
    left, top = (size - width) // 2, (size - height) // 2
    return Lenses(focal, centre, np.stack([left, top, left + width, top + height], axis=1), size)


def tilt(pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Rotations [N, 3, 3] from the level frame to the camera's; positive pitch looks down."""
    cp, sp, cr, sr = np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    zero, one = np.zeros_like(cp), np.ones_like(cp)
    look = np.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], axis=-1).reshape(-1, 3, 3)
    bank = np.stack([cr, -sr, zero, sr, cr, zero, zero, zero, one], axis=-1).reshape(-1, 3, 3)
    return (bank @ look).astype(np.float32)
