"""How one person moves over a clip: what the animated formats are written from."""

from dataclasses import dataclass

import numpy as np

from bodykit.body import JOINTS
from bodykit.meshio.mesh import PLAIN


@dataclass(frozen=True, eq=False)
class Motion:
    """One person over a clip, in camera coordinates (x right, y down, z forward, metres).

    frames: int[K], strictly increasing, the frames of the clip in which the person is seen; axis_angle: [K, 24, 3]
    radians, joint 0 into the camera frame, the others relative to their parent; translation: [K, 3], where the pelvis
    is; betas: [10]; colour: sRGB, 0-255.
    """

    name: str
    frames: np.ndarray
    axis_angle: np.ndarray
    translation: np.ndarray
    betas: np.ndarray
    colour: tuple[int, int, int] = PLAIN

    def __post_init__(self) -> None:
        count = len(self.frames)
        wanted = {"frames": (count,), "axis_angle": (count, JOINTS, 3), "translation": (count, 3), "betas": (10,)}
        for name, shape in wanted.items():
            values = np.asarray(getattr(self, name))
            if values.shape != shape:
                raise ValueError(f"motion {self.name!r}: expected {name} {list(shape)}, got {list(values.shape)}")
            if not np.isfinite(values).all():
                raise ValueError(f"motion {self.name!r}: expected finite {name}, got NaN or infinity")
        if not count or np.any(np.diff(self.frames) <= 0):
            raise ValueError(f"motion {self.name!r}: expected frames that increase, got {list(self.frames)[:10]}")
