"""Relative Human's PCDR0.2, overall and by age, and its mPCKh0.6, as Arthur151/Relative_Human computes them.

Sun et al., "Putting People in their Place" (BEV), CVPR 2022. Their program prints PCDR as "PCRD".
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bodykit.errors import UserError
from depthhmr.benchmarks.matching import match_greedy
from depthhmr.data.relative_human import AGES, GENDERS

MIN_IOU = 0.05
SAME_LAYER_M = 0.2  # people of one layer are nearer to each other than this, people of two layers farther apart
MISS_COST = 0.3  # pairs, for every person missed
HEAD_SHARE = 0.143  # mPCKh0.6: of the diagonal of the box, because a body is about seven heads high
NOWHERE = -2.0  # pixels: where the public evaluation puts a joint without a label, also for boxes
UNKNOWN_LAYER = -1
STEPS = ((0, 0, "one layer"), (1, 1, "1 layer apart"), (2, 2, "2 layers apart"), (3, np.inf, "3 and more"))


@dataclass(frozen=True, eq=False)
class LayerTruth:
    """The labelled people of one picture. People without a single labelled joint must be left out."""

    joints_2d: np.ndarray  # [M, 14, 2] pixels, CrowdPose's joints; NaN without a label
    layer: np.ndarray  # int[M], rising with depth; -1 unknown
    age: np.ndarray  # int[M], rows of AGES; anything else is unknown
    gender: np.ndarray  # int[M], rows of GENDERS; anything else is unknown

    def __post_init__(self) -> None:
        if not len(self.joints_2d) == len(self.layer) == len(self.age) == len(self.gender):
            raise UserError(
                f"expected one layer, one age and one gender for each of {len(self.joints_2d)} people, "
                f"got {len(self.layer)}, {len(self.age)} and {len(self.gender)}"
            )
        if len(self.joints_2d) and np.isnan(self.joints_2d[..., 0]).all(axis=1).any():
            raise UserError("expected at least one labelled joint for each person, got a person without any")


@dataclass(frozen=True, eq=False)
class LayerPrediction:
    """The predicted people of one picture."""

    joints_2d: np.ndarray  # [N, 14, 2] pixels, the joints of the truth
    depth: np.ndarray  # [N] metres along z


@dataclass(frozen=True)
class LayerRow:
    """One class of a split. A class of pairs has no people and no recall."""

    name: str
    people: int | None
    recall: float
    pairs: int  # with at least one of the class
    right: int
    pcdr: float  # missed people of the class count as in PCDR0.2; NaN without pairs


@dataclass(frozen=True)
class LayerScores:
    """Shares. PCDR of an age is None if no pair has a person of that age, and NaN without any pair."""

    pcdr: float
    pcdr_by_age: dict[str, float | None]
    mpckh: float
    correct: dict[str, tuple[int, int]]  # equal, closer, farther: (right pairs, pairs)
    people: int
    found: int
    false: int
    splits: dict[str, list[LayerRow]]  # by layers between the two of a pair, by age and gender where labelled


PERSON = np.dtype(
    [
        ("image", "i4"),
        ("person", "i4"),
        ("query", "i4"),  # the prediction matched to the person; -1: missed
        ("layer", "i8"),
        ("age", "i8"),
        ("gender", "i8"),
        ("heads", "f8"),  # share of the labelled joints within a head of their label; NaN: missed, or a single joint
    ]
)
PAIR = np.dtype(
    [
        ("image", "i4"),
        ("first", "i4"),  # people, by their number in the picture
        ("second", "i4"),
        ("layers", "i8"),  # from the first to the second
        ("step", "f8"),  # of their predicted depths, metres
        ("right", "?"),
    ]
)


@dataclass(frozen=True, eq=False)
class LayerRecords:
    """All labelled people, and all pairs of found people of known layer."""

    people: np.ndarray  # PERSON records
    pairs: np.ndarray  # PAIR records
    false: np.ndarray  # int[I] predictions that match no person

    def kinds(self, kind: str, number: int) -> tuple[np.ndarray, np.ndarray]:
        """People of one age or gender, bool[people], and pairs with at least one of them, bool[pairs]."""
        members = self.people[kind] == number
        named = {(image, person) for image, person in self.people[["image", "person"]][members].tolist()}
        ends = [
            np.array([end in named for end in self.pairs[["image", side]].tolist()], bool)
            for side in ("first", "second")
        ]
        return members, ends[0] | ends[1]


def measure_layers(pictures: Iterable[tuple[LayerPrediction, LayerTruth]]) -> LayerRecords:
    """Matches every picture and checks the order of its pairs.

    A pair counts when both are found and both layers are known; z of the second less z of the first must lie within
    0.2 m in one layer, and beyond 0.2 m on the right side otherwise.
    """
    people, pairs, false = [np.zeros(0, PERSON)], [np.zeros(0, PAIR)], []
    for image, (predicted, truth) in enumerate(pictures):
        known = ~np.isnan(truth.joints_2d[..., 0])
        joints = np.where(known[..., None], truth.joints_2d, NOWHERE)
        matching = match_greedy(
            predicted.joints_2d, joints, floor=MIN_IOU, counts=np.ones(len(joints), dtype=bool), labelled=known
        )
        rows = np.zeros(len(joints), PERSON)
        rows["image"], rows["person"], rows["query"], rows["heads"] = image, np.arange(len(joints)), -1, np.nan
        rows["layer"], rows["age"], rows["gender"] = truth.layer, truth.age, truth.gender
        rows["query"][matching.true] = matching.predicted
        rows["heads"][matching.true] = _head_shares(
            predicted.joints_2d[matching.predicted], truth.joints_2d[matching.true]
        )
        people.append(rows)
        pairs.append(_pairs(rows[matching.true], predicted.depth[matching.predicted]))
        false.append(len(matching.false))
    return LayerRecords(np.concatenate(people), np.concatenate(pairs), np.array(false, int))


def layer_figures(scored: LayerRecords) -> LayerScores:
    """The figures over all pictures.

    Every person missed, of known layer or not, adds 0.3 to the number of pairs. For an age: the pairs with at least one
    of that age, and the missed of that age.
    """
    people, pairs = scored.people, scored.pairs
    missed, heads = people["query"] < 0, people["heads"][~np.isnan(people["heads"])]
    order = np.sign(pairs["layers"])
    sides = {"equal": order == 0, "closer": order < 0, "farther": order > 0}
    ages, genders = (_rows(scored, kind, names) for kind, names in (("age", AGES), ("gender", GENDERS)))
    gaps = np.abs(pairs["layers"])
    steps = [_row(name, pairs[(gaps >= low) & (gaps <= high)]) for low, high, name in STEPS]
    splits = {"layers": steps, "age": ages, "gender": genders}
    return LayerScores(
        pcdr=_share(pairs, int(missed.sum())),
        pcdr_by_age={row.name: row.pcdr if row.pairs else None for row in ages},
        mpckh=float(heads.mean()) if len(heads) else np.nan,
        correct={name: (int(pairs["right"][kind].sum()), int(kind.sum())) for name, kind in sides.items()},
        people=len(people),
        found=int((~missed).sum()),
        false=int(scored.false.sum()),
        splits={name: rows for name, rows in splits.items() if any(row.pairs or row.people for row in rows)},
    )


def layer_ranking(scored: LayerRecords) -> np.ndarray:
    """One number per picture to rank them by [I]: the share of its pairs that is wrong, 0.3 of a wrong pair for every person
    missed, and a hundredth of the share of joints farther than a head from their label, which decides between pictures
    whose pairs are equally right. NaN for a picture without a pair or a missed person.
    """
    images, people, pairs = len(scored.false), scored.people, scored.pairs
    missed = MISS_COST * np.bincount(people["image"][people["query"] < 0], minlength=images)
    total = np.bincount(pairs["image"], minlength=images) + missed
    wrong = np.bincount(pairs["image"][~pairs["right"]], minlength=images) + missed
    known = people[~np.isnan(people["heads"])]
    off = np.bincount(known["image"], 1 - known["heads"], images).astype(float)
    off /= np.maximum(np.bincount(known["image"], minlength=images), 1)
    return np.where(total > 0, wrong / np.maximum(total, MISS_COST) + 0.01 * off, np.nan)


def _rows(scored: LayerRecords, kind: str, names: tuple[str, ...]) -> list[LayerRow]:
    rows = []
    for number, name in enumerate(names):
        members, pairs = scored.kinds(kind, number)
        rows.append(_row(name, scored.pairs[pairs], scored.people[members]))
    return rows


def _row(name: str, pairs: np.ndarray, members: np.ndarray | None = None) -> LayerRow:
    right = int(pairs["right"].sum())
    if members is None:
        return LayerRow(name, None, np.nan, len(pairs), right, _share(pairs, 0))
    missed = int((members["query"] < 0).sum())
    recall = 1 - missed / len(members) if len(members) else np.nan
    return LayerRow(name, len(members), recall, len(pairs), right, _share(pairs, missed))


def _share(pairs: np.ndarray, missed: int) -> float:
    """PCDR of these pairs with `missed` people missed."""
    return float(pairs["right"].sum() / (len(pairs) + MISS_COST * missed)) if len(pairs) else np.nan


def _pairs(found: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """PAIR records of all pairs of found people of known layer; depth [found] metres."""
    known = found["layer"] != UNKNOWN_LAYER
    found, depth = found[known], depth[known]
    first, second = np.triu_indices(len(found), k=1)
    records = np.zeros(len(first), PAIR)
    records["image"] = found["image"][first]
    records["first"], records["second"] = found["person"][first], found["person"][second]
    records["layers"], records["step"] = found["layer"][second] - found["layer"][first], depth[second] - depth[first]
    order, step = np.sign(records["layers"]), records["step"]
    records["right"] = np.where(order == 0, np.abs(step) < SAME_LAYER_M, order * step > SAME_LAYER_M)
    return records


def _head_shares(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Share of each person's labelled joints within a head of their label [P]; NaN for people with a single labelled joint."""
    known = ~np.isnan(true[..., 0])
    shares = np.full(len(true), np.nan)
    enough = known.sum(axis=1) >= 2
    if enough.any():
        some, labels = known[enough], true[enough]
        diagonal = np.linalg.norm(np.nanmax(labels, axis=1) - np.nanmin(labels, axis=1), axis=-1)
        within = np.linalg.norm(predicted[enough] - labels, axis=-1) < HEAD_SHARE * diagonal[:, None]
        shares[enough] = (within & some).sum(axis=1) / some.sum(axis=1)
    return shares
