"""The network's predictions on labelled pictures, kept without the pixels so that they can be scored repeatedly.

Needs the tensor contract alone. K queries of one picture; camera frame, metres.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from bodykit.body import Body
from bodykit.camera import Intrinsics
from bodykit.skinning import pose_joints

if TYPE_CHECKING:
    from depthhmr.synth.scene import Sample

Predict = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]
"""(images uint8[B, S, S, 3], intrinsics float32[B, 4]) -> the output tensors of the contract, batch first."""


@dataclass(frozen=True, eq=False)
class Truth:
    """The P people of a sample, without its pixels."""

    rotations: np.ndarray  # [P, 24, 3, 3] camera frame
    betas: np.ndarray  # [P, 10]
    translation: np.ndarray  # [P, 3]
    joints_2d: np.ndarray  # [P, 24, 2] pixels
    boxes: np.ndarray  # [P, 4] x0, y0, x1, y1 around the whole person, beyond the picture as well
    visible: np.ndarray  # [P] visible share of the silhouette
    side: int  # S, pixels

    @classmethod
    def of(cls, sample: "Sample") -> "Truth":
        labels = (sample.rotations, sample.betas, sample.translation, sample.joints_2d, sample.boxes, sample.visible)
        return cls(*labels, side=sample.rgb.shape[0])


@dataclass(frozen=True)
class DepthTally:
    """Sums over the cells of human depth maps against the true ones; they can be added."""

    shared: int = 0  # cells that are human in both
    either: int = 0  # cells that are human in at least one
    relative_error: float = 0.0  # sum of |z - z'| / z over the shared cells

    def __add__(self, other: "DepthTally") -> "DepthTally":
        return DepthTally(
            self.shared + other.shared, self.either + other.either, self.relative_error + other.relative_error
        )


@dataclass(frozen=True, eq=False)
class Prediction:
    """All queries of the network for one picture, with the truth."""

    truth: Truth
    scores: np.ndarray  # [K]
    rotations: np.ndarray  # [K, 24, 3, 3]
    betas: np.ndarray  # [K, 10]
    translation: np.ndarray  # [K, 3]
    joints_3d: np.ndarray  # [K, 24, 3]
    joints_2d: np.ndarray  # [K, 24, 2] pixels of the network's input
    depth: DepthTally


def collect(
    predict: Predict, samples: Iterable["Sample"], body: Body, *, batch: int = 8, progress: bool = False
) -> Iterator[Prediction]:
    """The network's prediction for each sample, in order; `progress` shows a bar on the terminal."""
    total = len(samples) if isinstance(samples, Sequence) else None
    with tqdm(total=total, unit="image", disable=not progress, dynamic_ncols=True) as bar:
        for group in _batches(samples, batch):
            images, intrinsics = (
                np.stack([getattr(sample, name) for sample in group]) for name in ("rgb", "intrinsics")
            )
            outputs = predict(images, intrinsics)
            for i, sample in enumerate(group):
                yield _prediction(sample, {name: tensor[i] for name, tensor in outputs.items()}, body)
            bar.update(len(group))


def project_joints(body: Body, outputs: Mapping[str, np.ndarray], camera: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """Joints [K, 24, 3] in metres and their pixels [K, 24, 2] of the output tensors of one picture."""
    joints = pose_joints(body, outputs["betas"], outputs["rotations"], outputs["translation"])
    return joints, camera.project_clamped(joints)


def _prediction(sample: "Sample", outputs: Mapping[str, np.ndarray], body: Body) -> Prediction:
    joints, pixels = project_joints(body, outputs, Intrinsics(*sample.intrinsics.tolist()))
    return Prediction(
        truth=Truth.of(sample),
        scores=outputs["scores"],
        rotations=outputs["rotations"],
        betas=outputs["betas"],
        translation=outputs["translation"],
        joints_3d=joints,
        joints_2d=pixels,
        depth=_compare_depth(outputs["depth"], sample.depth),
    )


def _compare_depth(predicted: np.ndarray, true: np.ndarray) -> DepthTally:
    """Cells [h, w] against the true pixels [S, S] at their centres."""
    rows, columns = (((np.arange(n) + 0.5) * true.shape[0] / n).astype(int) for n in predicted.shape)
    true = true[np.ix_(rows, columns)]
    shared = (predicted > 0) & (true > 0)
    error = np.abs(predicted[shared] - true[shared]) / true[shared]
    return DepthTally(int(shared.sum()), int(((predicted > 0) | (true > 0)).sum()), float(error.sum()))


def _batches(samples: Iterable["Sample"], size: int) -> Iterator[list["Sample"]]:
    iterator = iter(samples)
    while group := list(islice(iterator, size)):
        yield group
