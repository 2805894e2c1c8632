"""People as in the pictures, without the pictures, for training the lifter."""

import numpy as np

from bodykit.body import Body
from bodykit.skinning import pose_joints
from depthhmr.synth.crowd import sample_crowd

MEAN_PEOPLE = 2.6  # per picture; only determines how many pictures are drawn at once


def sample_people(body: Body, rng: np.random.Generator, n: int, *, size: int = 192) -> dict[str, np.ndarray]:
    """Exactly n people with the generator's poses, facing, tilt, distances and lenses; all in the camera frame.

    Returns float32 `rotations` [n, 24, 3, 3], `betas` [n, 10], `translation` [n, 3], `joints_3d` [n, 24, 3] (metres)
    and `intrinsics` [n, 4] (fx, fy, cx, cy in pixels of a square of `size`). Neighbouring people share a picture.
    """
    parts: list[dict[str, np.ndarray]] = []
    missing = n
    while missing > 0:
        crowd = sample_crowd(rng, body, int(missing / MEAN_PEOPLE) + 8, size)
        tilt = crowd.tilt[crowd.owner]
        rotations = crowd.rotations.copy()
        rotations[:, 0] = tilt @ rotations[:, 0]
        translation = (tilt @ crowd.pelvis[..., None])[..., 0]
        keep = np.nonzero(translation[:, 2] > 0.5)[0][:missing]
        rotations, betas, translation = rotations[keep], crowd.betas[keep], translation[keep]
        parts.append(
            {
                "rotations": rotations,
                "betas": betas,
                "translation": translation,
                "joints_3d": pose_joints(body, betas, rotations, translation),
                "intrinsics": crowd.lenses.intrinsics()[crowd.owner[keep]],
            }
        )
        missing -= len(keep)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
