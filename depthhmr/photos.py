"""Photographs of which one person each is labelled with 2D joints, and how well a network finds those joints.

A folder has `images/` and `joints.json`: {"joint_names": [...], "images": [{"file", "joints": [[x, y, visible], ...]}]}.
Other people in a photo are not labelled, so nothing can be said here about false people.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from bodykit.body import JOINT_NAMES, Body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.letterbox import Letterbox, letterbox
from depthhmr import metrics
from depthhmr.answers import Predict, project_joints

SHARES = (0.05, 0.1, 0.2)  # of the longer side of the box around the labelled joints
FEWEST_JOINTS = 6  # a person with fewer labelled joints that we know has no meaningful box


@dataclass(frozen=True, eq=False)
class Photo:
    """One photograph; joints [24, 2] pixels in our order, NaN where there is no label."""

    path: Path
    joints: np.ndarray

    def pixels(self) -> np.ndarray:
        """uint8[H, W, 3], turned upright."""
        with Image.open(self.path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@dataclass(frozen=True, eq=False)
class PhotoAnswer:
    """All queries of the network for one photo."""

    photo: Photo
    outputs: Mapping[str, np.ndarray]  # the tensors of the contract, without batch axis
    joints_2d: np.ndarray  # [K, 24, 2] pixels of the photo

    def people(self, threshold: float) -> np.ndarray:
        """The queries that are people, int[P]."""
        return np.flatnonzero(self.outputs["scores"] >= threshold)


@dataclass(frozen=True)
class PhotoScores:
    """A missed person has all joints wrong. Shares of labelled people and of their labelled joints."""

    photos: int
    recall: float
    pck: dict[str, float]  # by share of the box, over all labelled joints
    pck_by_joint: dict[str, float]  # at the middle share
    people_per_photo: float  # reported people, labelled or not
    threshold: float


def read_photos(folder: Path) -> list[Photo]:
    """The labelled photos of a folder, in the order of its file. Raises UserError for a folder of another form."""
    path = folder / "joints.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        ours = [JOINT_NAMES.index(name) if name in JOINT_NAMES else -1 for name in raw["joint_names"]]
        photos = [_photo(folder, item, ours) for item in raw["images"]]
    except OSError as error:
        raise UserError(f"cannot read the labels {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"{path} does not list joint_names and images with joints [x, y, visible]: {error!r}"
        ) from error
    return [photo for photo in photos if np.isfinite(photo.joints[:, 0]).sum() >= FEWEST_JOINTS]


def ask(
    predict: Predict, photos: Sequence[Photo], body: Body, size: int, *, batch: int = 8, progress: bool = False
) -> Iterator[PhotoAnswer]:
    """The network's answer to every photo; the camera is the default one, because nothing is known of the real one."""
    starts = range(0, len(photos), batch)
    for start in tqdm(starts, unit="batch", disable=not progress, dynamic_ncols=True):
        group = photos[start : start + batch]
        fitted = [letterbox(photo.pixels(), size) for photo in group]
        cameras = [box.intrinsics(Intrinsics.from_fov(box.width, box.height)) for _, box in fitted]
        outputs = predict(np.stack([image for image, _ in fitted]), np.stack([camera.array() for camera in cameras]))
        for i, (photo, (_, box), camera) in enumerate(zip(group, fitted, cameras, strict=True)):
            yield _answer(photo, box, camera, {name: tensor[i] for name, tensor in outputs.items()}, body)


def score_photos(answers: Sequence[PhotoAnswer], threshold: float) -> PhotoScores:
    """Recall and PCK of the labelled people when a query is a person from `threshold` on."""
    found, reported = 0, 0
    distances = np.full((len(answers), len(JOINT_NAMES)), np.inf)  # as a share of the box; NaN where not labelled
    for row, answer in enumerate(answers):
        true = answer.photo.joints
        labelled = np.isfinite(true[:, 0])
        people = answer.joints_2d[answer.people(threshold)]
        reported += len(people)
        matching = metrics.match_people(people[:, labelled], true[None, labelled])
        distances[row, ~labelled] = np.nan
        if len(matching.true):
            found += 1
            size = np.ptp(true[labelled], axis=0).max()
            miss = np.linalg.norm(people[matching.predicted[0]] - true, axis=1)
            distances[row] = miss / size
    known = ~np.isnan(distances)
    names = [i for i in range(len(JOINT_NAMES)) if known[:, i].any()]
    return PhotoScores(
        photos=len(answers),
        recall=found / max(len(answers), 1),
        pck={f"{share:g}": float((distances[known] <= share).mean()) for share in SHARES},
        pck_by_joint={JOINT_NAMES[i]: float((distances[known[:, i], i] <= SHARES[1]).mean()) for i in names},
        people_per_photo=reported / max(len(answers), 1),
        threshold=threshold,
    )


def _photo(folder: Path, item: Mapping[str, object], ours: Sequence[int]) -> Photo:
    labels = np.array(item["joints"], dtype=float).reshape(len(ours), 3)
    joints = np.full((len(JOINT_NAMES), 2), np.nan)
    for joint, (x, y, visible) in zip(ours, labels, strict=True):
        if joint >= 0 and visible > 0:
            joints[joint] = x, y
    return Photo(folder / "images" / str(item["file"]), joints)


def _answer(
    photo: Photo, box: Letterbox, camera: Intrinsics, outputs: Mapping[str, np.ndarray], body: Body
) -> PhotoAnswer:
    pixels = project_joints(body, outputs, camera)[1]
    return PhotoAnswer(photo, outputs, box.to_image(pixels))
