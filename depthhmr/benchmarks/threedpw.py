"""3DPW's MPJPE, PA-MPJPE and MVE (also called PVE) on 14 joints regressed from the meshes.

von Marcard et al., ECCV 2018; the protocol of nkolot/SPIN, which later work keeps: a regressor of 17 Human3.6M joints turns
the predicted mesh and the true one (of the true gender) into joints, 14 of them are Leeds Sports Poses', and both bodies
are moved so that their Human3.6M pelvis lies at the origin. VIBE moves the middle of the hips there instead.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bodykit.errors import UserError
from depthhmr.benchmarks.people import People
from depthhmr.metrics import match_people, mean_distance, procrustes_distance

Pelvis = Literal["h36m", "mid_hip"]
H36M = ("pelvis", "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle", "spine", "neck",
        "jaw", "head_top", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow",
        "right_wrist")  # fmt: skip
LSP = ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
       "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top")  # fmt: skip
LSP_OF_H36M = [H36M.index(name) for name in LSP]
HIPS = [LSP.index("right_hip"), LSP.index("left_hip")]


@dataclass(frozen=True)
class ThreeDPWScores:
    """Errors in millimetres over the people found; NaN without any. A missed person adds to no error: read recall."""

    mpjpe: float
    pa_mpjpe: float
    mve: float
    recall: float
    people: int
    found: int
    pelvis: Pelvis


def score_3dpw(
    pictures: Iterable[tuple[People, People]], regressor: np.ndarray, *, pelvis: Pelvis = "h36m"
) -> ThreeDPWScores:
    """(predicted people, true people with a valid pose) of every picture. UserError where meshes do not fit.

    regressor: [17, V], rows in the order of `H36M`. Who is who is found by `metrics.match_people`; the public protocols
    take boxes or identities of the truth for that, and false people cost nothing in any of them.
    """
    if regressor.ndim != 2 or len(regressor) != len(H36M):
        raise UserError(f"expected a joint regressor of shape [{len(H36M)}, V], got {list(regressor.shape)}")
    errors, people = [np.zeros((3, 0))], 0
    for predicted, true in pictures:
        people += len(true)
        matching = match_people(predicted.joints_2d, true.joints_2d)
        if len(matching.true):
            meshes = predicted.vertices[matching.predicted], true.vertices[matching.true]
            errors.append(_errors(*meshes, regressor, pelvis))
    mpjpe, pa_mpjpe, mve = (1000 * row.mean() if row.size else np.nan for row in np.concatenate(errors, axis=1))
    found = sum(batch.shape[1] for batch in errors)
    recall = found / people if people else np.nan
    return ThreeDPWScores(float(mpjpe), float(pa_mpjpe), float(mve), recall, people, found, pelvis)


def _errors(predicted: np.ndarray, true: np.ndarray, regressor: np.ndarray, pelvis: Pelvis) -> np.ndarray:
    """MPJPE, PA-MPJPE and MVE in metres [3, P] of meshes [P, V, 3]."""
    if predicted.shape != true.shape or predicted.shape[1] != regressor.shape[1]:
        raise UserError(
            f"3DPW compares meshes of one body: the regressor knows {regressor.shape[1]} vertices, "
            f"the truth has {true.shape[1]}, the prediction {predicted.shape[1]}"
        )
    joints = [np.einsum("jv,pvc->pjc", regressor, meshes) for meshes in (predicted, true)]
    lsp = [points[:, LSP_OF_H36M] for points in joints]
    roots = (
        [points[:, 0] for points in joints] if pelvis == "h36m" else [points[:, HIPS].mean(axis=1) for points in lsp]
    )
    return np.stack([mean_distance(*lsp, *roots), procrustes_distance(*lsp), mean_distance(predicted, true, *roots)])
