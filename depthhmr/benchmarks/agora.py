"""AGORA's F1, MPJPE, MVE, NMJE and NMVE as pixelite1201/agora_evaluation computes them for SMPL bodies.

Patel et al., "AGORA: Avatars in Geography Optimized for Regression Analysis", CVPR 2021. Joints are SMPL's 24, in pixels
of 3840 x 2160 for the leaderboard; boxes include their border pixels, so the unit matters a little.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bodykit.body import JOINT, JOINTS
from bodykit.errors import UserError
from depthhmr.benchmarks.matching import match_greedy
from depthhmr.benchmarks.people import People
from depthhmr.benchmarks.records import mean, pooled, records, root_and_shape, tables
from depthhmr.evaluation.evaluation import PeopleRow
from depthhmr.evaluation.person_scores import PersonScores

MIN_IOU = 0.1
MAX_OCCLUSION = 90.0  # percent; an unknown occlusion is negative
CHILD, ADULT = "child", "adult"
HIPS = [JOINT["left_hip"], JOINT["right_hip"]]  # AGORA's pelvis is the middle of the hips, not joint 0


@dataclass(frozen=True, eq=False)
class AgoraTruth:
    """The true people of one picture."""

    people: People
    occlusion: np.ndarray  # [M] percent
    kid: np.ndarray  # bool[M]
    scored: np.ndarray | None = None  # bool[M], AGORA's isValid; all when None

    def __post_init__(self) -> None:
        if not len(self.people) == len(self.occlusion) == len(self.kid):
            raise UserError(
                f"expected one occlusion and one kid flag for each of {len(self.people)} people, "
                f"got {len(self.occlusion)} and {len(self.kid)}"
            )

    @property
    def counts(self) -> np.ndarray:
        """bool[M]: the people of the totals, which are the valid ones, children included."""
        return np.ones(len(self.people), bool) if self.scored is None else self.scored

    @property
    def findable(self) -> np.ndarray:
        """bool[M]: valid and occluded by 0 to 90 %. The other valid people are always missed."""
        return self.counts & (self.occlusion >= 0) & (self.occlusion <= MAX_OCCLUSION)


@dataclass(frozen=True)
class AgoraFigures:
    """Shares, and errors in millimetres; NaN if nobody was found."""

    precision: float
    recall: float
    f1: float
    mpjpe: float
    mve: float
    nmje: float  # mpjpe / f1; NaN if f1 is 0
    nmve: float

    def published(self) -> "AgoraFigures":
        """Rounded as the public evaluation does it: the normalised errors come from rounded errors over a rounded F1."""
        precision, recall, f1 = (round(value, 2) for value in (self.precision, self.recall, self.f1))
        mpjpe, mve = (float(np.round(value, 1)) for value in (self.mpjpe, self.mve))
        nmje, nmve = (float(np.round(_over(value, f1), 1)) for value in (mpjpe, mve))
        return AgoraFigures(precision, recall, f1, mpjpe, mve, nmje, nmve)


@dataclass(frozen=True)
class AgoraScores:
    published: AgoraFigures  # as a leaderboard prints them
    exact: AgoraFigures
    kids: AgoraFigures | None  # published figures of children alone, against all false people; None without children
    counts: dict[str, int]
    splits: dict[str, list[PeopleRow]]


def measure_agora(
    pictures: Iterable[tuple[People, AgoraTruth]], *, body_vertices: np.ndarray | None = None
) -> PersonScores:
    """Matches every picture and measures the people found; `records.PERSON` records.

    body_vertices: int[B], the vertices that MVE is taken over (AGORA lists those of the body); all when None.
    """
    rows, false, ignored = [], [], []
    for image, (predicted, truth) in enumerate(pictures):
        people, wrong = _picture(predicted, truth, body_vertices, image)
        rows.append(people)
        false.append(wrong)
        ignored.append(int((~truth.counts).sum()))
    return pooled(rows, false, ignored)


def agora_figures(scored: PersonScores) -> AgoraScores:
    """The figures over all pictures."""
    people, false = scored.people, int(scored.false.sum())
    exact = _figures(people, false)
    kids = people[people["kid"] == CHILD]
    found = scored.found
    return AgoraScores(
        published=exact.published(),
        exact=exact,
        kids=_figures(kids, false).published() if len(kids) else None,
        counts={
            "images": len(scored.false), "people": len(people), "ignored": int(scored.ignored.sum()),
            "found": len(found), "missed": len(people) - len(found), "false": false, "kids": len(kids),
            "without_error": int(np.isnan(found["mve"]).sum()),
        },
        splits=tables(people),
    )  # fmt: skip


def _picture(predicted: People, truth: AgoraTruth, vertices: np.ndarray | None, image: int) -> tuple[np.ndarray, int]:
    """PERSON records of the people that count, and the number of false people."""
    true = truth.people
    matching = match_greedy(predicted.joints_2d, true.joints_2d, floor=MIN_IOU, counts=truth.findable)
    rows = records(true, image)
    rows["occlusion"], rows["kid"] = truth.occlusion, np.where(truth.kid, CHILD, ADULT)
    rows["query"][matching.true] = matching.predicted
    for n, m in zip(matching.predicted, matching.true, strict=True):
        if not true.is_posed(m):
            continue
        moved = [people.joints_3d[i, HIPS].mean(axis=0) for people, i in ((predicted, n), (true, m))]
        joints = [people.joints_3d[i, :JOINTS] for people, i in ((predicted, n), (true, m))]
        meshes = [people.vertices[i] for people, i in ((predicted, n), (true, m))]
        if meshes[0].shape != meshes[1].shape:
            raise UserError(
                f"MVE compares meshes of one body: expected {len(meshes[1])} vertices as in the truth, got {len(meshes[0])}"
            )
        if vertices is not None:
            meshes = [mesh[vertices] for mesh in meshes]
        rows["mpjpe"][m], rows["mve"][m] = (
            np.linalg.norm((first - moved[0]) - (second - moved[1]), axis=1).mean()
            for first, second in (joints, meshes)
        )
        rows["root"][m], rows["pa_mpjpe"][m] = root_and_shape(predicted, true, n, m)
    return rows[truth.counts], len(matching.false)


def _figures(people: np.ndarray, false: int) -> AgoraFigures:
    found = people[people["query"] >= 0]
    missed = len(people) - len(found)
    if len(people):
        precision, recall = len(found) / max(len(found) + false, 1), len(found) / len(people)
        f1 = len(found) / (len(found) + 0.5 * (false + missed))
    else:
        precision = recall = f1 = 0.0
    mpjpe, mve = 1000 * mean(found["mpjpe"]), 1000 * mean(found["mve"])
    return AgoraFigures(precision, recall, f1, mpjpe, mve, _over(mpjpe, f1), _over(mve, f1))


def _over(error: float, f1: float) -> float:
    return error / f1 if f1 else np.nan
