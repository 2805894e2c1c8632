"""Scores per person: found or missed, and the errors of each found person, as records."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bodykit.body import Body
from bodykit.camera import NEAR_M
from bodykit.skinning import pose_vertices
from depthhmr.evaluation import metrics
from depthhmr.evaluation.predictions import Prediction, Truth

MIN_HEIGHT = 0.2  # share of the picture's side: smaller people do not count
MIN_VISIBLE = 0.3  # share of the silhouette: people who are hidden further do not count
MISS_M = 0.4  # error of a missed or a false person where pictures are ranked

PERSON = np.dtype(
    [
        ("image", "i4"),
        ("person", "i4"),
        ("query", "i4"),  # -1: missed, and all errors below are NaN
        ("distance", "f8"),  # of the pelvis along z, metres
        ("height", "f8"),  # of the box, share of the picture's side
        ("visible", "f8"),  # share of the silhouette
        ("towards", "f8"),  # cosine between the facing and the direction to the camera: 1 faces along -z
        ("mve", "f8"),  # metres, as all distances here
        ("mpjpe", "f8"),
        ("pa_mpjpe", "f8"),
        ("root", "f8"),
        ("facing", "f8"),  # degrees
        ("orientation", "f8"),  # degrees
        ("pck", "f8"),
    ]
)
ERRORS = ("mve", "mpjpe", "pa_mpjpe", "root", "facing", "orientation", "pck")


@dataclass(frozen=True, eq=False)
class PersonScores:
    """Every person that counts, found or missed, and the tallies of each picture."""

    people: np.ndarray  # PERSON records, ordered by picture
    false: np.ndarray  # int[I] predictions that match no person
    ignored: np.ndarray  # int[I] true people who do not count
    in_order: np.ndarray  # int[I] pairs of people in the right order of depth
    pairs: np.ndarray  # int[I] pairs of people

    @property
    def found(self) -> np.ndarray:
        return self.people[self.people["query"] >= 0]

    def pick(self, pictures: np.ndarray) -> "PersonScores":
        """Only these pictures, int[N], with repetitions. Records keep their picture's number."""
        size = np.bincount(self.people["image"], minlength=len(self.false))
        start = np.cumsum(size) - size
        within = np.arange(size[pictures].sum()) - np.repeat(np.cumsum(size[pictures]) - size[pictures], size[pictures])
        rows = np.repeat(start[pictures], size[pictures]) + within
        tallies = (self.false, self.ignored, self.in_order, self.pairs)
        return PersonScores(self.people[rows], *(tally[pictures] for tally in tallies))


def measure_people(
    predictions: Sequence[Prediction], body: Body, threshold: float, *, min_height: float = MIN_HEIGHT
) -> PersonScores:
    """Matches every picture and measures the people found."""
    records, tallies = [], np.zeros((len(predictions), 4), dtype=int)
    for image, prediction in enumerate(predictions):
        counts, chosen, matching = match(prediction, threshold, min_height)
        found = _errors_of(prediction, body, matching.true, chosen[matching.predicted])
        missed = _blank(prediction, matching.missed)
        people = np.concatenate([found, missed])
        people["image"] = image
        records.append(people)
        depths = np.full(len(counts), np.nan)
        depths[matching.true] = prediction.translation[chosen[matching.predicted], 2]
        pairs = metrics.depth_order(depths[counts], prediction.truth.translation[counts, 2])
        tallies[image] = len(matching.false), (~counts).sum(), *pairs
    return PersonScores(np.concatenate([np.zeros(0, PERSON), *records]), *tallies.T)


def picture_errors(scored: PersonScores, only: np.ndarray | None = None) -> np.ndarray:
    """The error of each picture, metres [I], for ranking: the mean MVE of its people, with misses and false people.

    only: bool[people], the people to rank by, without false people, who belong to no class. NaN for a picture without
    such people.
    """
    images = len(scored.false)
    people = scored.people if only is None else scored.people[only]
    false = scored.false if only is None else np.zeros(images)
    cost = np.where(people["query"] >= 0, people["mve"], MISS_M)
    total = np.bincount(people["image"], cost, images) + MISS_M * false
    size = np.bincount(people["image"], minlength=images) + false
    return np.where(size > 0, total / np.maximum(size, 1), np.nan)


def counted(truth: Truth, min_height: float = MIN_HEIGHT) -> np.ndarray:
    """bool[P]: tall enough in the picture, visible enough, and with the pelvis in front of the camera."""
    height = (truth.boxes[:, 3] - truth.boxes[:, 1]) / truth.side
    return (height >= min_height) & (truth.visible >= MIN_VISIBLE) & (truth.translation[:, 2] > NEAR_M)


def match(
    prediction: Prediction, threshold: float, min_height: float
) -> tuple[np.ndarray, np.ndarray, metrics.Matching]:
    """The true people that count, bool[P], the queries that are people, and the matching of both."""
    counts = counted(prediction.truth, min_height)
    chosen = np.flatnonzero(prediction.scores >= threshold)
    return counts, chosen, metrics.match_people(prediction.joints_2d[chosen], prediction.truth.joints_2d, counts)


def _errors_of(prediction: Prediction, body: Body, people: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """PERSON records of these true people against these queries."""
    truth, records = prediction.truth, _blank(prediction, people)
    if not len(people):
        return records
    true_vertices, true_joints = pose_vertices(
        body, truth.betas[people], truth.rotations[people], truth.translation[people]
    )
    vertices, joints = pose_vertices(
        body, prediction.betas[queries], prediction.rotations[queries], prediction.translation[queries]
    )
    size = (truth.boxes[people, 2:] - truth.boxes[people, :2]).max(axis=1)
    records["query"] = queries
    records["mve"] = metrics.mean_distance(vertices, true_vertices, joints[:, 0], true_joints[:, 0])
    records["mpjpe"] = metrics.mean_distance(joints, true_joints, joints[:, 0], true_joints[:, 0])
    records["pa_mpjpe"] = metrics.procrustes_distance(joints, true_joints)
    records["root"] = metrics.root_distance(prediction.translation[queries], truth.translation[people])
    records["facing"] = metrics.facing_angle(prediction.rotations[queries, 0], truth.rotations[people, 0])
    records["orientation"] = metrics.rotation_angle(prediction.rotations[queries, 0], truth.rotations[people, 0])
    records["pck"] = metrics.correct_keypoints(prediction.joints_2d[queries], truth.joints_2d[people], size)
    return records


def _blank(prediction: Prediction, people: np.ndarray) -> np.ndarray:
    """PERSON records of these true people, all errors unknown."""
    truth = prediction.truth
    records = np.zeros(len(people), PERSON)
    records["person"], records["query"] = people, -1
    for name in ERRORS:
        records[name] = np.nan
    records["distance"] = truth.translation[people, 2]
    records["height"] = (truth.boxes[people, 3] - truth.boxes[people, 1]) / truth.side
    records["visible"] = truth.visible[people]
    records["towards"] = -(truth.rotations[people, 0] @ metrics.FORWARD)[:, 2]
    return records
