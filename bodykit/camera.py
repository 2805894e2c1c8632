"""The pinhole camera: intrinsics in pixels, projection and its inverse.

Camera frame: right-handed, x right, y down, z forward, metres. Pixels are continuous coordinates: pixel (i, j) covers
[j, j+1) x [i, i+1) and its centre lies at +0.5.
"""

import math
from dataclasses import dataclass

import numpy as np

DEFAULT_FOV_DEGREES = 60.0


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

    def unproject(self, uv: np.ndarray, z: np.ndarray | float) -> np.ndarray:
        """Pixels [..., 2] at depth z [...] in metres -> camera points [..., 3]."""
        uv = np.asarray(uv)
        z = np.broadcast_to(np.asarray(z, uv.dtype), uv.shape[:-1])
        focal = np.asarray((self.fx, self.fy), uv.dtype)
        centre = np.asarray((self.cx, self.cy), uv.dtype)
        return np.concatenate([(uv - centre) / focal * z[..., None], z[..., None]], axis=-1)

    def array(self) -> np.ndarray:
        """float32 [4]: fx, fy, cx, cy, as the network takes them."""
        return np.array((self.fx, self.fy, self.cx, self.cy), np.float32)
