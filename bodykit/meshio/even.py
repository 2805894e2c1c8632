"""A motion on an even clock, for formats that have one time step for a whole clip."""

from dataclasses import dataclass

import numpy as np

from bodykit.meshio.motion import Motion
from bodykit.rotations import axis_angle_to_matrix, matrix_to_axis_angle

STILL_FPS = 30.0  # the rate of a clip of one frame, which has none


@dataclass(frozen=True, eq=False)
class EvenMotion:
    """rotations: [F, 24, 3, 3]; translation: [F, 3]; both in camera coordinates. seen: bool[F], false where the person
    was not seen: the pose in between is interpolated, before and after it is held.
    """

    fps: float
    rotations: np.ndarray
    translation: np.ndarray
    seen: np.ndarray


def evenly(motion: Motion, times_s: np.ndarray) -> EvenMotion:
    """The motion at the mean rate of `times_s` [N], the seconds of the clip's frames; every clip frame has a frame."""
    times = np.asarray(times_s, np.float64)
    if len(times) < 1 or motion.frames[-1] >= len(times) or np.any(np.diff(times) <= 0):
        raise ValueError(f"motion {motion.name!r}: expected increasing times of {motion.frames[-1] + 1} frames or more")
    steps = len(times) - 1
    fps = steps / (times[-1] - times[0]) if steps else STILL_FPS
    clock = np.linspace(times[0], times[-1], len(times))
    own = times[motion.frames]
    after = np.clip(np.searchsorted(own, clock, side="right"), 1, max(1, len(own) - 1))
    before, after = after - 1, np.minimum(after, len(own) - 1)
    gap = own[after] - own[before]
    share = np.clip((clock - own[before]) / np.where(gap > 0, gap, 1), 0, 1)
    rotations = axis_angle_to_matrix(np.asarray(motion.axis_angle, np.float64))
    place = np.asarray(motion.translation, np.float64)
    seen = np.isin(np.searchsorted(times, clock + 1e-9, side="right") - 1, motion.frames)
    return EvenMotion(
        fps=float(fps),
        rotations=_between(rotations[before], rotations[after], share),
        translation=place[before] + share[:, None] * (place[after] - place[before]),
        seen=seen,
    )


def _between(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Rotations [F, 24, 3, 3] the share [F] of the way from one to the other, at an even angular speed."""
    turn = matrix_to_axis_angle(one.swapaxes(-1, -2) @ other)
    return one @ axis_angle_to_matrix(share[:, None, None] * turn)
