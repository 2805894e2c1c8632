"""Labels that other networks gave to photographs: 33 points of BlazePose for each person, and which of them to trust.

The file is an .npz. `names` [N] are the pictures, `size` int [N, 2] their width and height when they were labelled,
`point_names` [33] the points, `xy` [M, 33, 2] their pixels, `visibility` [M, 33] and `trust` bool [M]. One person a picture:
M = N, and `swapped` bool [N] marks pictures in which the teacher agrees with the human labels once their left and right are
exchanged (of 18 such photographs of Leeds Sports Pose Extended that were looked at, the teacher was right in 16). Several:
`photo` int [M] is the picture of each person, `duplicate` bool [M] marks people labelled twice, and `joint_trust` bool [M, 12]
the limb joints (LIMBS) on which two teachers agree.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from bodykit.body import JOINT_NAMES
from bodykit.errors import UserError
from depthhmr.data.joints import MIN_JOINTS, SAME_JOINTS, in_our_order, labelled
from depthhmr.data.lsp import read as read_lsp
from depthhmr.data.picture import Person, Picture, size_of

LIMBS = ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
         "left_knee", "right_knee", "left_ankle", "right_ankle")  # fmt: skip
MIN_VISIBILITY = 0.6  # of a teacher's point used as a label
LABELS = ("names", "size", "point_names", "xy", "visibility", "trust")


def _other_side(name: str) -> str:
    """left_knee -> right_knee and back; a joint on the middle line is its own counterpart."""
    side, _, joint = name.partition("_")
    return {"left": f"right_{joint}", "right": f"left_{joint}"}.get(side, name)


EXCHANGED = np.array([JOINT_NAMES.index(_other_side(name)) for name in JOINT_NAMES])


def read(path: Path, images: Path) -> Iterator[Picture]:
    """Pictures under `images` with the people on whom the teacher is trusted. Others may be there: they are no background.

    Missing pictures are skipped; UserError if all are missing.
    """
    labels = read_labels(path, "photo")
    trusted = labels["trust"] & ~labels.get("duplicate", np.zeros_like(labels["trust"]))
    found = False
    for photo, name in enumerate(labels["names"]):
        file = images / str(name)
        rows = np.flatnonzero(trusted & (labels["photo"] == photo))
        if not len(rows) or not file.exists():
            continue
        scale = np.array(size_of(file)) / labels["size"][photo]
        people = [person for row in rows if (person := _person(labels, row, scale)).known_2d.sum() >= MIN_JOINTS]
        if people:
            found = True
            yield Picture(file, tuple(people))
    if not found:
        raise UserError(
            f"expected pictures of {path} under {images}, found none with a person that the teacher is sure of"
        )


def read_lsp_with(folder: Path, path: Path) -> Iterator[Picture]:
    """Leeds Sports Pose with exchanged sides put right, and trusted points of the teacher where a label is missing."""
    labels = read_labels(path, "swapped")
    row_of = {str(name): row for row, name in enumerate(labels["names"])}
    for picture in read_lsp(folder):
        row = row_of.get(picture.path.name)
        yield picture if row is None else replace(picture, people=(_completed(picture.people[0], labels, row),))


def read_labels(path: Path, *besides: str) -> dict[str, np.ndarray]:
    """The arrays of a file with LABELS and `besides`. UserError for one of another form."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            labels = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"expected teacher labels in an .npz at {path}: {error}") from error
    missing = [name for name in (*LABELS, *besides) if name not in labels]
    if missing:
        raise UserError(f"expected teacher labels in {path}, it lacks {', '.join(missing)}")
    return labels


def _completed(person: Person, labels: Mapping[str, np.ndarray], row: int | np.integer) -> Person:
    joints = person.joints_2d[EXCHANGED] if labels["swapped"][row] else person.joints_2d.copy()
    if labels["trust"][row] or labels["swapped"][row]:
        sure = labels["visibility"][row] >= MIN_VISIBILITY
        points = in_our_order(labels["point_names"].tolist(), labels["xy"][row].astype(float), sure)
        unlabelled = SAME_JOINTS & ~np.isfinite(joints).all(axis=1)
        joints[unlabelled] = points[unlabelled]
    return labelled(joints)


def _person(labels: Mapping[str, np.ndarray], row: int | np.integer, scale: np.ndarray) -> Person:
    sure = labels["visibility"][row] >= MIN_VISIBILITY
    if "joint_trust" in labels:
        agreed = dict(zip(LIMBS, labels["joint_trust"][row], strict=True))
        sure = np.array([bool(agreed.get(str(name), False)) for name in labels["point_names"]])
    return labelled(in_our_order(labels["point_names"].tolist(), labels["xy"][row].astype(float) * scale, sure))
