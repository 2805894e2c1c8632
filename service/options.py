"""The options of a request and their bounds. Knows nothing of protocols."""

import math
from dataclasses import dataclass

from bodykit.camera import DEFAULT_FOV_DEGREES, Intrinsics
from service.errors import InvalidParameter
from service.results import Camera, FocalLength

# Pixels, far beyond any camera. The slope of a ray is at most 1e7 / 1e-3 = 1e10, and the network squares it in float32, which
# reaches 3e38.
FOCAL_PX = (1e-3, 1e7)
CENTRE_PX = (-1e7, 1e7)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of one reconstruction; None takes the default. Raises InvalidParameter for values out of range.

    Intrinsics are pixels of the upright (EXIF-rotated) image. `fov_degrees` spans its longer side.
    """

    threshold: float | None = None  # (0, 1]; default: the manifest's
    max_people: int | None = None
    fov_degrees: float | None = None
    intrinsics: Intrinsics | None = None
    timeout_s: float | None = None  # how long the caller waits; the service's own limit is the maximum
    bulk: bool = False  # gives way to interactive work
    vertices: bool = False
    depth: bool = False

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise InvalidParameter.named("threshold", f"must lie in (0, 1], got {self.threshold}")
        if self.max_people is not None and self.max_people < 1:
            raise InvalidParameter.named("max_people", f"must be at least 1, got {self.max_people}")
        if self.timeout_s is not None and not (math.isfinite(self.timeout_s) and self.timeout_s > 0):
            raise InvalidParameter.named("timeout_s", f"must be above 0 seconds, got {self.timeout_s}")
        if self.fov_degrees is not None:
            # The limits keep the focal length finite and the picture in front of the camera.
            if not (math.isfinite(self.fov_degrees) and 1 <= self.fov_degrees <= 175):
                raise InvalidParameter.named("fov_degrees", f"must lie in [1, 175] degrees, got {self.fov_degrees}")
            if self.intrinsics is not None:
                raise InvalidParameter.named("fov_degrees", "cannot be given together with fx, fy, cx, cy")
        if self.intrinsics is not None:
            for name, (least, most) in {"fx": FOCAL_PX, "fy": FOCAL_PX, "cx": CENTRE_PX, "cy": CENTRE_PX}.items():
                if not least <= (value := getattr(self.intrinsics, name)) <= most:
                    raise InvalidParameter.named(name, f"must lie in [{least:g}, {most:g}] pixels, got {value}")

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel over its height: 1 without given intrinsics."""
        return 1.0 if self.intrinsics is None else self.intrinsics.fy / self.intrinsics.fx

    def camera(self, width: int, height: int, focal: FocalLength | None) -> Camera:
        """The camera of an upright image: given by the caller, else from EXIF, else the default field of view."""
        if self.intrinsics is not None:
            return Camera(self.intrinsics, "given")
        if self.fov_degrees is not None:
            return Camera(Intrinsics.from_fov(width, height, self.fov_degrees), "given")
        note = "" if focal is None else focal.note
        if focal is not None and focal.px is not None:
            return Camera(Intrinsics(focal.px, focal.px, width / 2, height / 2), focal.source, note)
        return Camera(Intrinsics.from_fov(width, height, DEFAULT_FOV_DEGREES), "default", note)
