"""One person of a photo as a pose of the body: what the rigged formats are written from."""

from dataclasses import dataclass

import numpy as np

from bodykit.meshio.mesh import PLAIN
from bodykit.meshio.motion import Motion


@dataclass(frozen=True, eq=False)
class Figure:
    """Camera coordinates (x right, y down, z forward, metres).

    axis_angle: [24, 3] radians, joint 0 into the camera frame, the others relative to their parent; translation: [3],
    where the pelvis is; betas: [10]; colour: sRGB, 0-255.
    """

    name: str
    axis_angle: np.ndarray
    translation: np.ndarray
    betas: np.ndarray
    colour: tuple[int, int, int] = PLAIN

    def motion(self) -> Motion:
        """The same as a clip of one frame. Raises ValueError for arrays of another shape and for NaN and infinity."""
        axis_angle, place = np.asarray(self.axis_angle)[None], np.asarray(self.translation)[None]
        return Motion(self.name, np.zeros(1, int), axis_angle, place, np.asarray(self.betas), self.colour)
