"""3DPW's MPJPE, PA-MPJPE and MVE (also called PVE) on 14 joints regressed from the meshes.

von Marcard et al., ECCV 2018; the protocol of nkolot/SPIN, which later work keeps: a regressor of 17 Human3.6M joints turns
the predicted mesh and the true one (of the true gender) into joints, 14 of them are Leeds Sports Poses', and both bodies
are moved so that their Human3.6M pelvis lies at the origin. VIBE moves the middle of the hips there instead. The data
set's own challenge takes SMPL's 24 joints with the pelvis joint at the origin; these figures have 24 in their name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bodykit.body import JOINTS
from bodykit.errors import UserError
from depthhmr.benchmarks.people import People
from depthhmr.benchmarks.records import mean, pooled, records, root_and_shape, tables
from depthhmr.evaluation.evaluation import PeopleRow
from depthhmr.evaluation.metrics import match_people, mean_distance, procrustes_distance
from depthhmr.evaluation.person_scores import PersonScores

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
    """Errors in millimetres over the people found; NaN without any. A missed person adds to no error, only to recall."""

    mpjpe: float
    pa_mpjpe: float
    mve: float
    mpjpe_24: float
    pa_mpjpe_24: float
    recall: float
    people: int
    found: int
    without_error: int  # people found who have no pose of the body in use
    pelvis: Pelvis
    splits: dict[str, list[PeopleRow]]


def measure_3dpw(
    pictures: Iterable[tuple[People, People]], regressor: np.ndarray, *, pelvis: Pelvis = "h36m"
) -> PersonScores:
    """Matches every picture and measures the people found; `records.PERSON` records.

    pictures: predicted people, and true people with a valid pose, of each. regressor: [17, V], rows in the order of
    `H36M`. People are matched by `metrics.match_people`; the public protocols take boxes or identities of the truth
    for that. False people cost nothing in any of them, as passers-by are not labelled. UserError for other meshes.
    """
    if regressor.ndim != 2 or len(regressor) != len(H36M):
        raise UserError(f"expected a joint regressor of shape [{len(H36M)}, V], got {list(regressor.shape)}")
    rows = []
    for image, (predicted, true) in enumerate(pictures):
        people = records(true, image)
        matching = match_people(predicted.joints_2d, true.joints_2d)
        people["query"][matching.true] = matching.predicted
        for n, m in zip(matching.predicted, matching.true, strict=True):
            if true.is_posed(m):
                errors = _errors(predicted.vertices[n], true.vertices[m], regressor, pelvis)
                people["mpjpe"][m], people["pa_mpjpe"][m], people["mve"][m] = errors
                joints = predicted.joints_3d[n, None, :JOINTS], true.joints_3d[m, None, :JOINTS]
                people["mpjpe_24"][m] = mean_distance(*joints, *(points[:, 0] for points in joints))[0]
                people["root"][m], people["pa_mpjpe_24"][m] = root_and_shape(predicted, true, n, m)
        rows.append(people)
    return pooled(rows, [0] * len(rows), [0] * len(rows))


def threedpw_figures(scored: PersonScores, pelvis: Pelvis) -> ThreeDPWScores:
    """The figures over all pictures."""
    people, found = scored.people, scored.found
    return ThreeDPWScores(
        **{name: 1000 * mean(found[name]) for name in ("mpjpe", "pa_mpjpe", "mve", "mpjpe_24", "pa_mpjpe_24")},
        recall=len(found) / len(people) if len(people) else np.nan,
        people=len(people),
        found=len(found),
        without_error=int(np.isnan(found["mve"]).sum()),
        pelvis=pelvis,
        splits=tables(people),
    )


def _errors(predicted: np.ndarray, true: np.ndarray, regressor: np.ndarray, pelvis: Pelvis) -> np.ndarray:
    """MPJPE, PA-MPJPE and MVE in metres [3] of meshes [V, 3]."""
    if predicted.shape != true.shape or len(predicted) != regressor.shape[1]:
        raise UserError(
            f"3DPW compares meshes of one body: the regressor takes {regressor.shape[1]} vertices, "
            f"the truth has {len(true)}, the prediction {len(predicted)}"
        )
    meshes = [predicted[None], true[None]]
    joints = [regressor @ mesh for mesh in meshes]  # [1, 17, 3]
    lsp = [points[:, LSP_OF_H36M] for points in joints]
    roots = (
        [points[:, 0] for points in joints] if pelvis == "h36m" else [points[:, HIPS].mean(axis=1) for points in lsp]
    )
    errors = mean_distance(*lsp, *roots), procrustes_distance(*lsp), mean_distance(*meshes, *roots)
    return np.concatenate(errors)
