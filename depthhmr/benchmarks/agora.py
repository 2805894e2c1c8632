"""AGORA's F1, MPJPE, MVE, NMJE and NMVE as pixelite1201/agora_evaluation computes them for SMPL bodies.

Patel et al., "AGORA: Avatars in Geography Optimized for Regression Analysis", CVPR 2021. Joints are SMPL's 24, in pixels
of 3840 x 2160 for the leaderboard (the +1 of boxes makes the pixel a unit that matters, though hardly).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bodykit.errors import UserError
from depthhmr.benchmarks.matching import match_greedy
from depthhmr.benchmarks.people import People

FLOOR = 0.1  # IoU
MOST_OCCLUDED = 90.0  # percent; whoever is hidden further, or of unknown occlusion (below 0), does not count
BODY_JOINTS = 24
HIPS = [1, 2]  # AGORA's pelvis is the middle of the hips, not joint 0
OCCLUSIONS = tuple((low, low + 10) for low in range(0, 90, 10))  # percent, from (excluded but for 0) to (included)


@dataclass(frozen=True, eq=False)
class AgoraTruth:
    """The true people of one picture."""

    people: People
    occlusion: np.ndarray  # [M] percent
    kid: np.ndarray  # bool[M]

    def __post_init__(self) -> None:
        if not len(self.people) == len(self.occlusion) == len(self.kid):
            raise UserError(
                f"expected one occlusion and one kid flag for each of {len(self.people)} people, "
                f"got {len(self.occlusion)} and {len(self.kid)}"
            )

    @property
    def counts(self) -> np.ndarray:
        """bool[M]: hidden by at most 90 %. Children count like everybody else."""
        return (self.occlusion >= 0) & (self.occlusion <= MOST_OCCLUDED)


@dataclass(frozen=True)
class AgoraFigures:
    """Shares, and errors in millimetres; NaN where nobody was found."""

    precision: float
    recall: float
    f1: float
    mpjpe: float
    mve: float
    nmje: float  # mpjpe / f1; NaN, too, where f1 is 0
    nmve: float

    def published(self) -> "AgoraFigures":
        """Rounded as the public evaluation does it: the normalised errors come from rounded errors over a rounded F1."""
        precision, recall, f1 = (round(value, 2) for value in (self.precision, self.recall, self.f1))
        mpjpe, mve = (float(np.round(value, 1)) for value in (self.mpjpe, self.mve))
        nmje, nmve = (float(np.round(_over(value, f1), 1)) for value in (mpjpe, mve))
        return AgoraFigures(precision, recall, f1, mpjpe, mve, nmje, nmve)


@dataclass(frozen=True)
class OcclusionRow:
    """The true people whose occlusion lies in one class; errors in millimetres of those found."""

    name: str
    people: int
    recall: float
    mpjpe: float
    mve: float


@dataclass(frozen=True)
class AgoraScores:
    published: AgoraFigures  # as a leaderboard prints them
    exact: AgoraFigures
    kids: AgoraFigures | None  # published figures of children alone, all false people counted; None without children
    counts: dict[str, int]
    by_occlusion: list[OcclusionRow]


PERSON = np.dtype([("occlusion", "f8"), ("kid", "?"), ("found", "?"), ("mpjpe", "f8"), ("mve", "f8")])


def score_agora(
    pictures: Iterable[tuple[People, AgoraTruth]], *, body_vertices: np.ndarray | None = None
) -> AgoraScores:
    """The figures of all pictures: (predicted people, true people) of each.

    body_vertices: int[B], the vertices that MVE is taken over (AGORA lists those of the body); all when None.
    """
    records, false, images, ignored = [np.zeros(0, PERSON)], 0, 0, 0
    for predicted, truth in pictures:
        rows, wrong = _picture(predicted, truth, body_vertices)
        records.append(rows)
        false, images, ignored = false + wrong, images + 1, ignored + int((~truth.counts).sum())
    people = np.concatenate(records)
    exact = _figures(people, false)
    kids = people[people["kid"]]
    found = int(people["found"].sum())
    return AgoraScores(
        published=exact.published(),
        exact=exact,
        kids=_figures(kids, false).published() if len(kids) else None,
        counts={
            "images": images, "people": len(people), "ignored": ignored, "found": found,
            "missed": len(people) - found, "false": false, "kids": len(kids),
        },
        by_occlusion=[_occlusion_row(people, low, high) for low, high in OCCLUSIONS],
    )  # fmt: skip


def _picture(predicted: People, truth: AgoraTruth, vertices: np.ndarray | None) -> tuple[np.ndarray, int]:
    """PERSON records of the people that count, and the number of false people."""
    true, counts = truth.people, truth.counts
    matching = match_greedy(predicted.joints_2d, true.joints_2d, floor=FLOOR, counts=counts)
    rows = np.zeros(len(true), PERSON)
    rows["occlusion"], rows["kid"], rows["mpjpe"], rows["mve"] = truth.occlusion, truth.kid, np.nan, np.nan
    rows["found"][matching.true] = True
    for n, m in zip(matching.predicted, matching.true, strict=True):
        moved = [people.joints_3d[i, HIPS].mean(axis=0) for people, i in ((predicted, n), (true, m))]
        joints = [people.joints_3d[i, :BODY_JOINTS] for people, i in ((predicted, n), (true, m))]
        meshes = [people.vertices[i] for people, i in ((predicted, n), (true, m))]
        if meshes[0].shape != meshes[1].shape:
            raise UserError(
                f"MVE compares meshes of one body: expected {len(meshes[1])} vertices as in the truth, got {len(meshes[0])}"
            )
        if vertices is not None:
            meshes = [mesh[vertices] for mesh in meshes]
        rows["mpjpe"][m], rows["mve"][m] = (
            1000 * np.linalg.norm((first - moved[0]) - (second - moved[1]), axis=1).mean()
            for first, second in (joints, meshes)
        )
    return rows[counts], len(matching.false)


def _figures(people: np.ndarray, false: int) -> AgoraFigures:
    found, missed = int(people["found"].sum()), int((~people["found"]).sum())
    if len(people):
        precision, recall = found / max(found + false, 1), found / len(people)
        f1 = found / (found + 0.5 * (false + missed))
    else:
        precision = recall = f1 = 0.0
    mpjpe, mve = _mean(people, "mpjpe"), _mean(people, "mve")
    return AgoraFigures(precision, recall, f1, mpjpe, mve, _over(mpjpe, f1), _over(mve, f1))


def _occlusion_row(people: np.ndarray, low: int, high: int) -> OcclusionRow:
    inside = (people["occlusion"] > (low or -1)) & (people["occlusion"] <= high)
    members = people[inside]
    recall = float(members["found"].mean()) if len(members) else np.nan
    return OcclusionRow(f"{low} to {high} %", len(members), recall, _mean(members, "mpjpe"), _mean(members, "mve"))


def _mean(people: np.ndarray, name: str) -> float:
    """Over the people found; NaN without any."""
    found = people[name][people["found"]]
    return float(found.mean()) if len(found) else np.nan


def _over(error: float, f1: float) -> float:
    return error / f1 if f1 else np.nan
