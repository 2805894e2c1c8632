"""The pinhole camera: intrinsics in pixels, and projection.

Camera frame: right-handed, x right, y down, z forward, metres. Pixels are continuous coordinates: pixel (i, j) covers
[j, j+1) x [i, i+1) and its centre lies at +0.5.
"""

import math
from dataclasses import dataclass

import numpy as np

DEFAULT_FOV_DEGREES = 60.0
NEAR_M = 0.05  # metres: nearer points have no meaningful pixel


@dataclass(frozen=True)
class Intrinsics:
    """Focal lengths and principal point of a pinhole camera, in pixels of one particular image size."""

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        for name in ("fx", "fy"):
            focal = getattr(self, name)
            if not (math.isfinite(focal) and focal > 0):
                raise ValueError(f"{name} must be a finite focal length above 0 pixels, got {focal}")
        for name in ("cx", "cy"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a finite pixel coordinate, got {getattr(self, name)}")

    @classmethod
    def from_fov(cls, width: int, height: int, fov_degrees: float = DEFAULT_FOV_DEGREES) -> "Intrinsics":
        """Square pixels, the principal point at the image centre, `fov_degrees` across the longer side.

        Raises ValueError unless 0 < fov_degrees < 180.
        """
        if not 0 < fov_degrees < 180:
            raise ValueError(f"a field of view must lie between 0 and 180 degrees, both excluded, got {fov_degrees}")
        focal_px = max(width, height) / (2 * math.tan(math.radians(fov_degrees) / 2))
        return cls(focal_px, focal_px, width / 2, height / 2)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Camera points [..., 3] in metres -> pixels [..., 2]. Points must lie in front of the camera (z > 0)."""
        points = np.asarray(points)
        focal = np.asarray((self.fx, self.fy), points.dtype)
        centre = np.asarray((self.cx, self.cy), points.dtype)
        return points[..., :2] / points[..., 2:] * focal + centre

    def project_clamped(self, points: np.ndarray) -> np.ndarray:
        """Camera points [..., 3] anywhere -> pixels [..., 2], with depths clamped to at least NEAR_M.

        A point beside or behind the camera, as a joint of a very near person can be, lands far outside the image on its
        own side.
        """
        points = np.asarray(points)
        depth = np.maximum(points[..., 2:], NEAR_M)
        return self.project(np.concatenate([points[..., :2], depth], axis=-1))

    def array(self) -> np.ndarray:
        """float32 [4]: fx, fy, cx, cy, as the network takes them."""
        return np.array((self.fx, self.fy, self.cx, self.cy), np.float32)


@dataclass(frozen=True)
class PhotoCamera:
    """The camera of a photo, with the size of the photo in pixels."""

    intrinsics: Intrinsics
    width: int
    height: int
