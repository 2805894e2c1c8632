"""Scores of tracking people over the frames of a sequence: identities, jitter, position, lag.

Needs no tracker, smoother or network. docs/tracking.md defines each figure. A sequence has T
frames and P true people; person i of every frame is the same person. Camera frame, metres, seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import lap
import numpy as np

from bodykit.camera import NEAR_M
from depthhmr.evaluation import metrics

# As in `person_scores`: shares of the silhouette and of the picture's side from which on a person counts.
MIN_VISIBLE, MIN_HEIGHT = 0.3, 0.2
MAX_COST = 1.0  # of a pair: for example half a body height sideways and 50 % in depth
MAX_LAG_S = 0.4


@dataclass(frozen=True, eq=False)
class TrueFrame:
    """The P people of a frame."""

    time_s: float
    joints_3d: np.ndarray  # [P, 24, 3]
    joints_2d: np.ndarray  # [P, 24, 2] pixels
    counts: np.ndarray  # bool[P]; for the others neither a find nor a miss counts


@dataclass(frozen=True, eq=False)
class ReportedFrame:
    """The N people reported in a frame."""

    joints_3d: np.ndarray  # [N, 24, 3]
    joints_2d: np.ndarray  # [N, 24, 2] pixels
    ids: tuple[int | None, ...] = ()  # the track of each; None without a track


@dataclass(frozen=True)
class IdentityScores:
    """Sums over sequences, which can be added."""

    truths: int = 0  # people that count, summed over frames
    found: int = 0  # of these, reported with an id
    false: int = 0  # reports with an id that match no person
    switches: int = 0  # a found person has another id than at the last find
    fragments: int = 0  # a person is found again after frames in which they counted and were missed
    owned: int = 0  # frames in which people and ids agree under the best one-to-one assignment of the whole sequence
    tracks: int = 0  # assigned ids
    ghosts: int = 0  # of these, never matched to a person
    people: int = 0  # true people that counted at least once

    def __add__(self, other: "IdentityScores") -> "IdentityScores":
        return IdentityScores(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def idf1(self) -> float:
        """2 IDTP / (truths + reports), after Ristani et al. 2016."""
        return 2 * self.owned / max(self.truths + self.found + self.false, 1)

    @property
    def mota(self) -> float:
        """1 - (missed + false + switches) / truths."""
        return 1 - (self.truths - self.found + self.false + self.switches) / max(self.truths, 1)


@dataclass(frozen=True)
class MotionScores:
    """Means over found people; jitter is the mean length of the error of the acceleration."""

    root_m: float  # error of the pelvis
    root_depth_m: float  # of it, along the optical axis
    mpjpe_mm: float  # of the joints, pelvis at the origin
    pixels: float  # of the projected joints, pixels of the picture
    root_jitter: float  # m/s², of the pelvis
    depth_jitter: float  # m/s², of it, along the optical axis
    pose_jitter: float  # m/s², of the joints, pelvis at the origin
    frames: int


def pair(reported: ReportedFrame, true: TrueFrame) -> np.ndarray:
    """The row of the report matched to each true person, -1 without one.

    The optimal assignment by the mean distance of the projected joints in heights of the true person plus the
    difference in log depth; joint boxes must overlap as AGORA asks.
    """
    partner = np.full(len(true.joints_2d), -1)
    if not len(reported.joints_2d) or not len(partner):
        return partner
    boxes = metrics.joint_boxes(true.joints_2d)
    height = np.maximum(boxes[:, 3] - boxes[:, 1], 1.0)
    pixels = np.linalg.norm(reported.joints_2d[:, None] - true.joints_2d[None], axis=-1).mean(axis=-1)
    depth = np.maximum(true.joints_3d[:, 0, 2], NEAR_M)
    apart = np.abs(np.log(reported.joints_3d[:, None, 0, 2] / depth))
    cost = pixels / height + apart
    cost[metrics.box_iou(metrics.joint_boxes(reported.joints_2d), boxes) < metrics.MATCH_IOU] = (
        10 * MAX_COST * max(cost.shape)
    )
    cost = np.minimum(cost, 10 * MAX_COST * max(cost.shape))
    _, column, _ = lap.lapjv(cost.astype(np.float64), extend_cost=True, cost_limit=MAX_COST)
    rows = np.flatnonzero(column >= 0)
    rows = rows[cost[rows, column[rows]] <= MAX_COST]
    partner[column[rows]] = rows
    return partner


def identity(
    pairs: Sequence[np.ndarray], reported: Sequence[ReportedFrame], true: Sequence[TrueFrame]
) -> IdentityScores:
    """Scores of the ids of one sequence; `pairs` are the results of `pair`, frame by frame."""
    people = len(true[0].counts) if true else 0
    given = sorted({track for frame in reported for track in frame.ids if track is not None})
    column = {track: i for i, track in enumerate(given)}
    together = np.zeros((people, len(given)), int)
    ever = np.zeros(len(given), bool)
    last: list[int | None] = [None] * people
    lost = np.zeros(people, bool)
    truths = found = false = switches = fragments = 0
    for partner, report, frame in zip(pairs, reported, true, strict=True):
        truths += int(frame.counts.sum())
        taken = set(partner[partner >= 0].tolist())
        false += sum(track is not None and row not in taken for row, track in enumerate(report.ids))
        for person, row in enumerate(partner):
            track = report.ids[row] if row >= 0 else None
            if track is not None:
                ever[column[track]] = True
            if not frame.counts[person]:
                continue
            if track is None:
                lost[person] = last[person] is not None
                continue
            found += 1
            together[person, column[track]] += 1
            switches += last[person] is not None and last[person] != track
            fragments += bool(lost[person])
            lost[person], last[person] = False, track
    owned = 0
    if together.size:
        _, best, _ = lap.lapjv(float(together.max()) - together.astype(np.float64), extend_cost=True)
        rows = np.flatnonzero(best >= 0)
        owned = int(together[rows, best[rows]].sum())
    seen = sum(bool(np.any([frame.counts[i] for frame in true])) for i in range(people))
    return IdentityScores(truths, found, false, switches, fragments, owned, len(given), int((~ever).sum()), seen)


def motion(
    sequences: Sequence[tuple[Sequence[np.ndarray], Sequence[ReportedFrame], Sequence[TrueFrame]]],
) -> MotionScores:
    """Errors and jitter over sequences of (pairs, reports, truth); people are matched by the pairs, not by ids."""
    errors: list[tuple[float, ...]] = []
    jitters: list[tuple[float, ...]] = []
    for pairs, reported, true in sequences:
        for t, person in _found(pairs, true):
            mine, real = reported[t].joints_3d[pairs[t][person]], true[t].joints_3d[person]
            off = mine[0] - real[0]
            relative = (mine - mine[0]) - (real - real[0])
            flat = reported[t].joints_2d[pairs[t][person]] - true[t].joints_2d[person]
            errors.append(
                (
                    float(np.linalg.norm(off)), abs(float(off[2])), 1e3 * float(np.linalg.norm(relative, axis=1).mean()),
                    float(np.linalg.norm(flat, axis=1).mean()),
                )
            )  # fmt: skip
        for t, person in _found(pairs, true):
            if not 0 < t < len(true) - 1 or not all(
                pairs[s][person] >= 0 and true[s].counts[person] for s in (t - 1, t + 1)
            ):
                continue
            before, after = true[t].time_s - true[t - 1].time_s, true[t + 1].time_s - true[t].time_s
            wrong = [reported[s].joints_3d[pairs[s][person]] - true[s].joints_3d[person] for s in (t - 1, t, t + 1)]
            bend = 2 * ((wrong[2] - wrong[1]) / after - (wrong[1] - wrong[0]) / before) / (before + after)
            jitters.append(
                (
                    float(np.linalg.norm(bend[0])), abs(float(bend[0, 2])),
                    float(np.linalg.norm(bend - bend[0], axis=1)[1:].mean()),
                )
            )  # fmt: skip
    root, depth, mpjpe, pixels = np.mean(errors, axis=0) if errors else (np.nan,) * 4
    root_jitter, depth_jitter, pose_jitter = np.mean(jitters, axis=0) if jitters else (np.nan,) * 3
    return MotionScores(
        float(root), float(depth), float(mpjpe), float(pixels), float(root_jitter), float(depth_jitter),
        float(pose_jitter), len(errors),
    )  # fmt: skip


def lag_ms(late: np.ndarray, early: np.ndarray, step_s: float) -> float:
    """Milliseconds by which the curve `late` [T, D] follows `early` [T, D]: the shift that brings them closest.

    Both have a fixed step; a parabola locates the minimum between frames. NaN for curves that are too short or constant.
    """
    most = round(MAX_LAG_S / step_s)
    if len(late) < 4 * most + 1 or np.ptp(early, axis=0).max() < 1e-6:
        return float("nan")
    inner = late[most : len(late) - most]
    errors = np.array([((inner - early[most - k : len(early) - most - k]) ** 2).sum() for k in range(-most, most + 1)])
    best = int(errors.argmin())
    if best in (0, 2 * most):
        return 1e3 * (best - most) * step_s
    low, middle, high = errors[best - 1 : best + 2]
    bow = low - 2 * middle + high
    return 1e3 * step_s * (best - most + (0.5 * (low - high) / bow if bow > 0 else 0.0))


def _found(pairs: Sequence[np.ndarray], true: Sequence[TrueFrame]) -> list[tuple[int, int]]:
    """(frame, person) of all people that count and were reported."""
    return [(t, int(i)) for t, partner in enumerate(pairs) for i in np.flatnonzero((partner >= 0) & true[t].counts)]
