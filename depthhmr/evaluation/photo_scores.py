"""How well a network finds the one labelled person of each photo. Knows 2D labels only: no depth, no mesh.

PCK counts a joint as right within a share of the torso diameter: the distance from the left shoulder to the right hip of
the labelled person (Sapp and Taskar, "MODEC", CVPR 2013; joints 10 and 3 of Leeds Sports Poses). The shares of the
longer side of the labelled box, as 4DHumans and SAM 3D Body print for LSP Extended, stand beside it under their own name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bodykit.body import JOINT_NAMES
from depthhmr.evaluation import metrics
from depthhmr.evaluation.evaluation import DRAWS, interval
from depthhmr.evaluation.photos import PhotoPrediction

SHARES = (0.05, 0.1, 0.2)
JOINT_SHARE = 0.2  # of the torso: single joints, splits and intervals
TORSO = tuple((JOINT_NAMES.index(a), JOINT_NAMES.index(b)) for a, b in (("left_shoulder", "right_hip"),
                                                                        ("right_shoulder", "left_hip")))  # fmt: skip

# Name of a split -> column of `Sight` and its classes. Distances are not known of photographs.
SPLITS: dict[str, tuple[str, tuple[tuple[float, float, str], ...]]] = {
    "size": ("height", ((0, 0.35, "under 0.35"), (0.35, 0.65, "0.35 to 0.65"), (0.65, np.inf, "over 0.65"))),
    "labelled": ("labelled", ((0, 0.85, "under 85 %"), (0.85, 1.0, "85 to 99 %"), (1.0, np.inf, "all joints"))),
}


@dataclass(frozen=True, eq=False)
class Sight:
    """What became of the labelled people of N photos. Pixels of the photos; J our 24 joints."""

    found: np.ndarray  # bool[N]
    query: np.ndarray  # int[N], the prediction that is the labelled person, -1 where she is missed
    distance: np.ndarray  # [N, J] from label to prediction; inf of a missed person, NaN without a label
    torso: np.ndarray  # [N] torso diameter, NaN where neither diagonal is labelled
    box: np.ndarray  # [N] longer side of the box around the labels
    height: np.ndarray  # [N] the same as a share of the longer side of the photo
    labelled: np.ndarray  # [N] share of the joints labelled anywhere that are labelled here
    reported: np.ndarray  # int[N] predictions of any person

    def pick(self, photos: np.ndarray) -> "Sight":
        """These photos only: a mask or int[M]."""
        return Sight(*(getattr(self, name)[photos] for name in self.__dataclass_fields__))

    def errors(self) -> np.ndarray:
        """Mean distance of each person's joints in torso diameters, each at most 1 [N]; NaN: missed or no torso."""
        share = np.minimum(self.distance / self.torso[:, None], 1)
        known = self.found & ~np.isnan(self.torso)
        return np.where(known, np.nansum(share, axis=1) / np.maximum((~np.isnan(share)).sum(axis=1), 1), np.nan)


@dataclass(frozen=True)
class PhotoSplitRow:
    """One class of photos of a split; NaN without any."""

    name: str
    photos: int
    recall: float
    pck: float  # at 0.2 of the torso


@dataclass(frozen=True)
class PhotoScores:
    """A missed person has all joints wrong. Shares of labelled people and of their labelled joints."""

    photos: int
    recall: float
    pck: dict[str, float]  # by share of the torso diameter, over the labelled joints of photos with a torso
    with_torso: int  # photos
    pck_box: dict[str, float]  # by share of the longer side of the labelled box, over all labelled joints
    pck_by_joint: dict[str, float]  # at 0.2 of the torso
    people_per_photo: float  # reported people, labelled or not
    threshold: float
    splits: dict[str, list[PhotoSplitRow]]
    intervals: dict[str, tuple[float, float]]  # 95 %: recall, and pck at 0.2 of the torso


def torso_diameter(joints: np.ndarray) -> np.ndarray:
    """From the left shoulder to the right hip: joints [P, 24, 2] -> pixels [P].

    Where one of the two has no label, the other diagonal; NaN where that has none either.
    """
    straight, other = (np.linalg.norm(joints[:, a] - joints[:, b], axis=-1) for a, b in TORSO)
    return np.where(np.isnan(straight), other, straight)


def look(predictions: Sequence[PhotoPrediction], threshold: float) -> Sight:
    """Matches the labelled person of every photo with a prediction; a query is a person from `threshold` on.

    Matching is that of AGORA (metrics.match_people) over the labelled joints.
    """
    joints = np.stack([prediction.photo.joints for prediction in predictions])
    known = ~np.isnan(joints[..., 0])
    query, distance = np.full(len(predictions), -1), np.where(known, np.inf, np.nan)
    reported = np.zeros(len(predictions), int)
    for row, prediction in enumerate(predictions):
        chosen = prediction.people(threshold)
        people, labelled = prediction.joints_2d[chosen], known[row]
        reported[row] = len(chosen)
        matching = metrics.match_people(people[:, labelled], joints[row, labelled][None])
        if len(matching.true):
            query[row] = chosen[matching.predicted[0]]
            distance[row] = np.linalg.norm(prediction.joints_2d[query[row]] - joints[row], axis=1)
    box = (np.nanmax(joints, axis=1) - np.nanmin(joints, axis=1)).max(axis=1)
    sides = np.array([max(prediction.size) for prediction in predictions])
    ever = known.any(axis=0).sum()
    return Sight(
        query >= 0, query, distance, torso_diameter(joints), box, box / sides, known.sum(axis=1) / ever, reported
    )


def score_photos(predictions: Sequence[PhotoPrediction], threshold: float) -> PhotoScores:
    """Recall and PCK of the labelled people when a query is a person from `threshold` on. At least one prediction."""
    sight = look(predictions, threshold)
    labelled = ~np.isnan(sight.distance)
    names = [j for j in range(len(JOINT_NAMES)) if labelled[:, j].any()]
    return PhotoScores(
        photos=len(predictions),
        recall=_recall(sight),
        pck={f"{share:g}": _pck(sight, share) for share in SHARES},
        with_torso=int((~np.isnan(sight.torso)).sum()),
        pck_box={f"{share:g}": _share_within(sight.distance, share * sight.box) for share in SHARES},
        pck_by_joint={
            JOINT_NAMES[j]: _share_within(sight.distance[:, j, None], JOINT_SHARE * sight.torso) for j in names
        },
        people_per_photo=float(sight.reported.mean()),
        threshold=threshold,
        splits={name: _split(sight, column, classes) for name, (column, classes) in SPLITS.items()},
        intervals={"recall": _interval(sight, _recall), "pck": _interval(sight, _pck)},
    )


def _recall(sight: Sight) -> float:
    return float(sight.found.mean()) if len(sight.found) else np.nan


def _pck(sight: Sight, share: float = JOINT_SHARE) -> float:
    return _share_within(sight.distance, share * sight.torso)


def _share_within(distance: np.ndarray, reach: np.ndarray) -> float:
    """Share of the labelled joints [N, J] within `reach` [N] of their label; people of unknown reach do not count."""
    known = ~np.isnan(distance) & ~np.isnan(reach)[:, None]
    return float((distance <= reach[:, None])[known].mean()) if known.any() else np.nan


def _split(sight: Sight, column: str, classes: tuple[tuple[float, float, str], ...]) -> list[PhotoSplitRow]:
    values, rows = getattr(sight, column), []
    for low, high, name in classes:
        members = sight.pick((values >= low) & (values < high))
        rows.append(PhotoSplitRow(name, len(members.found), _recall(members), _pck(members)))
    return rows


def _interval(sight: Sight, measure: Callable[[Sight], float]) -> tuple[float, float]:
    """Percentile bootstrap over photos, always the same draws."""
    rng, count = np.random.default_rng(0), len(sight.found)
    return interval(np.array([measure(sight.pick(rng.integers(0, count, count))) for _ in range(DRAWS)]))
