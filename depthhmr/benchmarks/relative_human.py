"""Relative Human's PCDR0.2, overall and by age, and its mPCKh0.6, as Arthur151/Relative_Human computes them.

Sun et al., "Putting People in their Place" (BEV), CVPR 2022. Their program prints PCDR as "PCRD".
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bodykit.errors import UserError
from depthhmr.benchmarks.matching import match_greedy

FLOOR = 0.05  # IoU
NEAR_M = 0.2  # people of one layer lie nearer to each other than this, people of two layers farther apart
MISS_COST = 0.3  # of a pair, for every person missed
HEAD_SHARE = 0.143  # mPCKh0.6: of the diagonal of the box, because a body is about seven heads high
NOWHERE = -2.0  # pixels: where the public evaluation puts a joint without label, also when it takes boxes
UNKNOWN_LAYER = -1
AGES = ("adult", "teen", "kid", "baby")


@dataclass(frozen=True, eq=False)
class LayerTruth:
    """The labelled people of one picture. People without a single labelled joint must be left out."""

    joints_2d: np.ndarray  # [M, 14, 2] pixels, CrowdPose's joints; NaN without a label
    layer: np.ndarray  # int[M], rising with depth; -1 unknown
    age: np.ndarray  # int[M], rows of AGES; anything else is unknown

    def __post_init__(self) -> None:
        if not len(self.joints_2d) == len(self.layer) == len(self.age):
            raise UserError(
                f"expected one layer and one age for each of {len(self.joints_2d)} people, "
                f"got {len(self.layer)} and {len(self.age)}"
            )
        if len(self.joints_2d) and np.isnan(self.joints_2d[..., 0]).all(axis=1).any():
            raise UserError("expected at least one labelled joint for everybody; leave people without out")


@dataclass(frozen=True, eq=False)
class LayerPrediction:
    """The predicted people of one picture."""

    joints_2d: np.ndarray  # [N, 14, 2] pixels, the joints of the truth
    depth: np.ndarray  # [N] metres along z


@dataclass(frozen=True)
class LayerScores:
    """Shares. PCDR of an age is None where no pair has somebody of that age; NaN where there is no pair at all."""

    pcdr: float
    pcdr_by_age: dict[str, float | None]
    mpckh: float
    correct: dict[str, tuple[int, int]]  # equal, closer, farther: (right pairs, pairs)
    people: int
    found: int
    false: int


PAIR = np.dtype([("layers", "i8"), ("step", "f8"), ("first_age", "i8"), ("second_age", "i8")])


def score_layers(pictures: Iterable[tuple[LayerPrediction, LayerTruth]]) -> LayerScores:
    """The scores of all pictures: (predicted, true) people of each.

    A pair counts when both are found and both layers are known; z of the second less z of the first must lie within
    0.2 m in one layer, and beyond 0.2 m on the right side otherwise. Every person missed, of known layer or not, adds 0.3
    to the number of pairs. For an age: the pairs with at least one of that age, and the missed of that age.
    """
    pairs, missed, heads, people, false = [np.zeros(0, PAIR)], [np.zeros(0, int)], [np.zeros(0)], 0, 0
    for predicted, truth in pictures:
        known = ~np.isnan(truth.joints_2d[..., 0])
        joints = np.where(known[..., None], truth.joints_2d, NOWHERE)
        matching = match_greedy(
            predicted.joints_2d, joints, floor=FLOOR, counts=np.ones(len(joints), dtype=bool), labelled=known
        )
        pairs.append(_pairs(predicted.depth[matching.predicted], truth.layer[matching.true], truth.age[matching.true]))
        missed.append(truth.age[matching.missed])
        heads.append(_head_shares(predicted.joints_2d[matching.predicted], truth.joints_2d[matching.true]))
        people, false = people + len(joints), false + len(matching.false)
    return _scores(np.concatenate(pairs), np.concatenate(missed), np.concatenate(heads), people, false)


def _scores(pairs: np.ndarray, missed: np.ndarray, heads: np.ndarray, people: int, false: int) -> LayerScores:
    order = np.sign(pairs["layers"])
    right = np.where(order == 0, np.abs(pairs["step"]) < NEAR_M, order * pairs["step"] > NEAR_M)
    ages: dict[str, float | None] = {}
    for age, name in enumerate(AGES):
        involved = (pairs["first_age"] == age) | (pairs["second_age"] == age)
        cost = MISS_COST * (missed == age).sum()
        ages[name] = float(right[involved].sum() / (involved.sum() + cost)) if involved.any() else None
    kinds = {"equal": order == 0, "closer": order < 0, "farther": order > 0}
    return LayerScores(
        pcdr=float(right.sum() / (len(pairs) + MISS_COST * len(missed))) if len(pairs) else np.nan,
        pcdr_by_age=ages,
        mpckh=float(heads.mean()) if len(heads) else np.nan,
        correct={name: (int(right[kind].sum()), int(kind.sum())) for name, kind in kinds.items()},
        people=people,
        found=people - len(missed),
        false=false,
    )


def _pairs(depth: np.ndarray, layer: np.ndarray, age: np.ndarray) -> np.ndarray:
    """PAIR records of all pairs of people of known layer."""
    known = layer != UNKNOWN_LAYER
    depth, layer, age = depth[known], layer[known], age[known]
    first, second = np.triu_indices(len(depth), k=1)
    records = np.zeros(len(first), PAIR)
    records["layers"], records["step"] = layer[second] - layer[first], depth[second] - depth[first]
    records["first_age"], records["second_age"] = age[first], age[second]
    return records


def _head_shares(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Share of each person's labelled joints within a head of their label; people of one labelled joint left out."""
    enough = (~np.isnan(true[..., 0])).sum(axis=1) >= 2
    predicted, true = predicted[enough], true[enough]
    if not len(true):
        return np.zeros(0)
    known = ~np.isnan(true[..., 0])
    diagonal = np.linalg.norm(np.nanmax(true, axis=1) - np.nanmin(true, axis=1), axis=-1)
    error = np.linalg.norm(predicted - true, axis=-1)
    within = error < HEAD_SHARE * diagonal[:, None]
    return (within & known).sum(axis=1) / known.sum(axis=1)
