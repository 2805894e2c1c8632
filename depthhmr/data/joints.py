"""Which labelled points are joints of the body, and which are only near one."""

from collections.abc import Sequence

import numpy as np

from bodykit.body import JOINT_NAMES, JOINTS
from depthhmr.data.picture import NOTHING, About, Person

SAME = ("ankle", "knee", "wrist", "elbow", "shoulder")
NEAR = ("left_hip", "right_hip", "neck")
SAME_JOINTS = np.array([name.partition("_")[2] in SAME for name in JOINT_NAMES])
NEAR_JOINTS = np.array([name in NEAR for name in JOINT_NAMES])

MIN_JOINTS = 4  # known ones; as in SAT-HMR


def labelled(joints: np.ndarray, *, layer: int = -1, about: About = NOTHING) -> Person:
    """A person with joints labelled by hand. joints [24, 2] pixels, NaN without a label.

    Ankles, knees, wrists, elbows and shoulders are the joints of the body. Hips are labelled on the surface, above and outside
    our hip joints, and a neck where the collar bones meet: they keep their pixels and are not marked as known.
    `visible` is the share of these joints that is labelled.
    """
    given = np.isfinite(joints).all(axis=1)
    visible = float(given[SAME_JOINTS | NEAR_JOINTS].mean())
    return Person(joints, given & SAME_JOINTS, visible=visible, layer=layer, about=about)


def in_our_order(names: Sequence[str], points: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Named points [n, 2] as joints [24, 2], NaN where not `given` [n] or not named; other names are ignored."""
    joints = np.full((JOINTS, 2), np.nan)
    for name, point, is_given in zip(names, points, given, strict=True):
        if is_given and name in JOINT_NAMES:
            joints[JOINT_NAMES.index(name)] = point
    return joints
