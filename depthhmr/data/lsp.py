"""Leeds Sports Pose and its extended training set (Johnson and Everingham, BMVC 2010, CVPR 2011): one person, 14 joints.

Either form is read: `joints.mat` beside `images/`, as published ([3, 14, N] with every joint given in LSP, [14, 3, N] with a
flag of 0 for a joint without a label in the extended set; pixels count from 1), or `joints.json`
(see depthhmr/evaluation/photos.py).
Other people in a photo are not labelled.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bodykit.errors import UserError
from depthhmr.data.joints import MIN_JOINTS, in_our_order, labelled
from depthhmr.data.picture import Picture
from depthhmr.evaluation.photos import read_photos

NAMES = ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
         "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top")  # fmt: skip


def read(folder: Path) -> Iterator[Picture]:
    """The photos of a folder. Raises UserError for a folder of another form."""
    if (folder / "joints.mat").exists():
        yield from _read_mat(folder)
        return
    for photo in read_photos(folder):
        yield Picture(photo.path, (labelled(photo.joints),))


def _read_mat(folder: Path) -> Iterator[Picture]:
    from scipy.io import loadmat

    path = folder / "joints.mat"
    try:
        joints = np.asarray(loadmat(path)["joints"], float)
    except Exception as error:  # scipy can raise any error for a damaged file
        raise UserError(f"{path} is not a MATLAB file with a matrix `joints`: {error!r}") from error
    if joints.ndim == 3 and joints.shape[:2] == (3, 14):
        points, given, digits = joints[:2].transpose(2, 1, 0), np.ones((joints.shape[2], 14), bool), 4
    elif joints.ndim == 3 and joints.shape[:2] == (14, 3):
        points, given, digits = joints[:, :2].transpose(2, 0, 1), joints[:, 2].T > 0, 5
    else:
        raise UserError(f"{path}: joints has shape {list(joints.shape)}, expected [3, 14, N] or [14, 3, N]")
    for number, (xy, flags) in enumerate(zip(points, given, strict=True), 1):
        person = labelled(in_our_order(NAMES, xy - 0.5, flags))  # pixel 1 is [0, 1) for us, its centre 0.5
        if person.known_2d.sum() >= MIN_JOINTS:
            yield Picture(folder / "images" / f"im{number:0{digits}d}.jpg", (person,))
