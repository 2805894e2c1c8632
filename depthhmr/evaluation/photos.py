"""Photographs with one person labelled by 2D joints, and photographs without people.

A labelled folder has `images/` and `joints.json`: {"joint_names": [...], "images": [{"file", "joints": [[x, y, visible],
...]}]}. photo_scores.py scores the former, people_free.py the latter.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from bodykit.body import JOINT_NAMES, Body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.letterbox import Letterbox, letterbox
from bodykit.picture_files import read_picture
from depthhmr.evaluation.predictions import Predict, project_joints

MIN_JOINTS = 6  # with fewer labelled joints of ours a person has no meaningful box
UNLABELLED = np.full((len(JOINT_NAMES), 2), np.nan)


class Picture(Protocol):
    """A picture for the network: pixels, the joints of the labelled person, NaN without a label, and the camera if known."""

    @property
    def name(self) -> str: ...

    @property
    def joints(self) -> np.ndarray: ...

    @property
    def intrinsics(self) -> Intrinsics | None: ...

    def pixels(self) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Photo:
    """One photograph; joints [24, 2] pixels in our order, NaN without a label."""

    path: Path
    joints: np.ndarray
    intrinsics: None = None  # the camera is unknown

    @property
    def name(self) -> str:
        return self.path.stem

    def pixels(self) -> np.ndarray:
        """uint8[H, W, 3], turned upright. Raises UserError if the file cannot be read."""
        return read_picture(self.path)


@dataclass(frozen=True, eq=False)
class PhotoPrediction:
    """All queries of the network for one photo."""

    photo: Picture
    outputs: Mapping[str, np.ndarray]  # the tensors of the contract, without batch axis
    joints_2d: np.ndarray  # [K, 24, 2] pixels of the photo
    size: tuple[int, int]  # of the photo: width, height in pixels

    def people(self, threshold: float) -> np.ndarray:
        """The queries that are people, int[P]."""
        return np.flatnonzero(self.outputs["scores"] >= threshold)


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
            f"{path} must list joint_names and images with joints [x, y, visible], got: {error!r}"
        ) from error
    kept = [photo for photo in photos if np.isfinite(photo.joints[:, 0]).sum() >= MIN_JOINTS]
    if not kept:
        raise UserError(
            f"expected pictures with at least {MIN_JOINTS} of our joints in {path}, "
            f"got {len(photos)} pictures with fewer"
        )
    return kept


def predict_photos(
    predict: Predict, photos: Sequence[Picture], body: Body, size: int, *, batch: int = 8, progress: bool = False
) -> Iterator[PhotoPrediction]:
    """The network's predictions for every photo, with the default camera where none is known."""
    starts = range(0, len(photos), batch)
    for start in tqdm(starts, unit="batch", disable=not progress, dynamic_ncols=True):
        group = photos[start : start + batch]
        fitted = [letterbox(photo.pixels(), size) for photo in group]
        known = [
            photo.intrinsics or Intrinsics.from_fov(box.width, box.height)
            for photo, (_, box) in zip(group, fitted, strict=True)
        ]
        cameras = [box.intrinsics(camera) for camera, (_, box) in zip(known, fitted, strict=True)]
        outputs = predict(np.stack([image for image, _ in fitted]), np.stack([camera.array() for camera in cameras]))
        for i, (photo, (_, box), camera) in enumerate(zip(group, fitted, cameras, strict=True)):
            yield _prediction(photo, box, camera, {name: tensor[i] for name, tensor in outputs.items()}, body)


def _photo(folder: Path, item: Mapping[str, object], ours: Sequence[int]) -> Photo:
    labels = np.array(item["joints"], dtype=float).reshape(len(ours), 3)
    joints = UNLABELLED.copy()
    for joint, (x, y, visible) in zip(ours, labels, strict=True):
        if joint >= 0 and visible > 0:
            joints[joint] = x, y
    return Photo(folder / "images" / str(item["file"]), joints)


def _prediction(
    photo: Picture, box: Letterbox, camera: Intrinsics, outputs: Mapping[str, np.ndarray], body: Body
) -> PhotoPrediction:
    pixels = project_joints(body, outputs, camera)[1]
    return PhotoPrediction(photo, outputs, box.to_image(pixels), (box.width, box.height))
