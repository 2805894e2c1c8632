"""Photographs with 14 joints of one person each, labelled as in Leeds Sports Pose (Johnson and Everingham 2010, 2011).

Ankles, knees, wrists, elbows and shoulders are the joints of our body. The hips of LSP lie on the surface of the body,
above and outside our hip joints, and its neck lies where the collar bones meet the neck: they are kept as pixels, but
not marked as known. The top of the head is no joint of ours. Other people in a photo are not labelled.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bodykit.body import JOINT_NAMES
from depthhmr.data.picture import Person, Picture
from depthhmr.photos import read_photos

SAME = ("ankle", "knee", "wrist", "elbow", "shoulder")
NEAR = ("left_hip", "right_hip", "neck")
SAME_JOINTS = np.array([name.partition("_")[2] in SAME for name in JOINT_NAMES])
NEAR_JOINTS = np.array([name in NEAR for name in JOINT_NAMES])


def read(folder: Path) -> Iterator[Picture]:
    """The photos of a folder with `images/` and `joints.json` (see depthhmr/photos.py). Raises UserError."""
    for photo in read_photos(folder):
        yield Picture(photo.path, (labelled(photo.joints),))


def labelled(joints: np.ndarray) -> Person:
    """The person of one photo. joints [24, 2] pixels, NaN where not labelled; `visible` is the share of joints that are."""
    given = np.isfinite(joints).all(axis=1)
    named = SAME_JOINTS | NEAR_JOINTS
    return Person(joints, given & SAME_JOINTS, visible=float(given[named].mean()))
