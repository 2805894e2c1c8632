"""Scores on photographs of which one person each has 2D labels: recall and PCK. No depth, no mesh.

PCK counts a joint as right within a share of the torso diameter: the distance from the left shoulder to the right hip of
the labelled person (Sapp and Taskar, "MODEC", CVPR 2013; joints 10 and 3 of Leeds Sports Poses). The shares of the
longer side of the labelled box, as 4DHumans and SAM 3D Body print for LSP Extended, are reported as well, under their own name.
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

# Name of a split -> column of `PhotoMatches` and its classes. Photographs have no known distances.
SPLITS: dict[str, tuple[str, tuple[tuple[float, float, str], ...]]] = {
    "size": ("height", ((0, 0.35, "under 0.35"), (0.35, 0.65, "0.35 to 0.65"), (0.65, np.inf, "over 0.65"))),
    "labelled": ("labelled", ((0, 0.85, "under 85 %"), (0.85, 1.0, "85 to 99 %"), (1.0, np.inf, "all joints"))),
}


@dataclass(frozen=True, eq=False)
class PhotoMatches:
    """The matches of the labelled people of N photos. Pixels of the photos; J our 24 joints."""

    found: np.ndarray  # bool[N]
    query: np.ndarray  # int[N], the prediction matched to the labelled person, -1 if missed
    distance: np.ndarray  # [N, J] from label to prediction; inf if the person is missed, NaN without a label
    torso: np.ndarray  # [N] torso diameter, NaN if neither diagonal is labelled
    box: np.ndarray  # [N] longer side of the box around the labels
    height: np.ndarray  # [N] the same as a share of the longer side of the photo
    labelled: np.ndarray  # [N] share of the joints labelled anywhere that are labelled here
    reported: np.ndarray  # int[N] predictions of any person

    def pick(self, photos: np.ndarray) -> "PhotoMatches":
        """These photos only: a mask or int[M]."""
        return PhotoMatches(*(getattr(self, name)[photos] for name in self.__dataclass_fields__))

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
    """Shares of labelled people and of their labelled joints. All joints of a missed person are wrong."""

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

    If one of the two has no label, the other diagonal; NaN if that has none either.
    """
    straight, other = (np.linalg.norm(joints[:, a] - joints[:, b], axis=-1) for a, b in TORSO)
    return np.where(np.isnan(straight), other, straight)


def match_photos(predictions: Sequence[PhotoPrediction], threshold: float) -> PhotoMatches:
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
    return PhotoMatches(
        query >= 0, query, distance, torso_diameter(joints), box, box / sides, known.sum(axis=1) / ever, reported
    )


def score_photos(predictions: Sequence[PhotoPrediction], threshold: float) -> PhotoScores:
    """Recall and PCK of the labelled people when a query is a person from `threshold` on. At least one prediction."""
    matches = match_photos(predictions, threshold)
    labelled = ~np.isnan(matches.distance)
    names = [j for j in range(len(JOINT_NAMES)) if labelled[:, j].any()]
    return PhotoScores(
        photos=len(predictions),
        recall=_recall(matches),
        pck={f"{share:g}": _pck(matches, share) for share in SHARES},
        with_torso=int((~np.isnan(matches.torso)).sum()),
        pck_box={f"{share:g}": _share_within(matches.distance, share * matches.box) for share in SHARES},
        pck_by_joint={
            JOINT_NAMES[j]: _share_within(matches.distance[:, j, None], JOINT_SHARE * matches.torso) for j in names
        },
        people_per_photo=float(matches.reported.mean()),
        threshold=threshold,
        splits={name: _split(matches, column, classes) for name, (column, classes) in SPLITS.items()},
        intervals={"recall": _interval(matches, _recall), "pck": _interval(matches, _pck)},
    )


def _recall(matches: PhotoMatches) -> float:
    return float(matches.found.mean()) if len(matches.found) else np.nan


def _pck(matches: PhotoMatches, share: float = JOINT_SHARE) -> float:
    return _share_within(matches.distance, share * matches.torso)


def _share_within(distance: np.ndarray, reach: np.ndarray) -> float:
    """Share of the labelled joints [N, J] within `reach` [N] of their label; people with a reach of NaN do not count."""
    known = ~np.isnan(distance) & ~np.isnan(reach)[:, None]
    return float((distance <= reach[:, None])[known].mean()) if known.any() else np.nan


def _split(matches: PhotoMatches, column: str, classes: tuple[tuple[float, float, str], ...]) -> list[PhotoSplitRow]:
    values, rows = getattr(matches, column), []
    for low, high, name in classes:
        members = matches.pick((values >= low) & (values < high))
        rows.append(PhotoSplitRow(name, len(members.found), _recall(members), _pck(members)))
    return rows


def _interval(matches: PhotoMatches, measure: Callable[[PhotoMatches], float]) -> tuple[float, float]:
    """Percentile bootstrap over photos, always the same draws."""
    rng, count = np.random.default_rng(0), len(matches.found)
    return interval(np.array([measure(matches.pick(rng.integers(0, count, count))) for _ in range(DRAWS)]))
