"""The public measures of multi-person mesh recovery, on numpy arrays.

Definitions and their sources are in docs/evaluation.md. P people, V vertices, J joints; camera frame (x right, y down,
z forward) in metres, pixels in any one scale. Errors are returned per person, for the caller to pool and split.
"""

from dataclasses import dataclass

import numpy as np

MATCH_IOU = 0.1  # AGORA: pairs whose joint boxes overlap less do not match
SAME_LAYER_M = 0.2  # PCDR: people nearer to each other in depth than this are in one layer
PCK_SHARE = 0.05  # PCK: of the person's box
FORWARD = np.array([0.0, 0.0, 1.0])  # body frame: where the chest faces in the rest pose


@dataclass(frozen=True)
class Matching:
    """The matching of one image. Indices into the predictions and into the true people."""

    predicted: np.ndarray  # int[T], the prediction of each found person
    true: np.ndarray  # int[T], the true person of each found person
    missed: np.ndarray  # int[], true people that count and were not found
    false: np.ndarray  # int[], predictions that match no person


def match_people(predicted: np.ndarray, true: np.ndarray, counts: np.ndarray | None = None) -> Matching:
    """Greedy matching as AGORA does it: pairs in the order of their mean joint distance, accepted from IoU 0.1 on.

    predicted: [N, J, 2] and true: [M, J, 2], projected joints in pixels; counts: bool[M], all when None. A true person
    that does not count takes part, but is not missed, and a prediction matched to them is not false.
    """
    counts = np.ones(len(true), dtype=bool) if counts is None else np.asarray(counts, dtype=bool)
    distance = np.linalg.norm(predicted[:, None] - true[None], axis=-1).mean(axis=-1)  # [N, M]
    overlap = box_iou(joint_boxes(predicted), joint_boxes(true))
    partner = np.full(len(true), -1)
    taken = np.zeros(len(predicted), dtype=bool)
    for flat in np.argsort(distance, axis=None, kind="stable"):
        n, m = np.unravel_index(flat, distance.shape)
        if not taken[n] and partner[m] < 0 and overlap[n, m] >= MATCH_IOU:
            taken[n], partner[m] = True, n
    found = np.flatnonzero(counts & (partner >= 0))
    return Matching(partner[found], found, np.flatnonzero(counts & (partner < 0)), np.flatnonzero(~taken))


def joint_boxes(joints: np.ndarray) -> np.ndarray:
    """x0, y0, x1, y1 around the joints of each person: [P, J, 2] -> [P, 4]."""
    return np.concatenate([joints.min(axis=-2), joints.max(axis=-2)], axis=-1)


def box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of every box with every box: [N, 4], [M, 4] -> [N, M]. Empty boxes overlap nothing."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    area = [np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=-1) for boxes in (first, second)]
    return shared / np.maximum(area[0][:, None] + area[1][None] - shared, 1e-12)


def precision_recall_f1(found: int, false: int, missed: int) -> tuple[float, float, float]:
    """P = TP/(TP+FP), R = TP/(TP+FN), F1 = TP/(TP + (FP+FN)/2); each is 0 where it would divide by zero."""
    precision, recall = found / max(found + false, 1), found / max(found + missed, 1)
    return precision, recall, found / max(found + (false + missed) / 2, 1)


def mean_distance(
    predicted: np.ndarray, true: np.ndarray, predicted_pelvis: np.ndarray, true_pelvis: np.ndarray
) -> np.ndarray:
    """Mean distance of corresponding points once both pelvis joints lie at the origin: [P, N, 3] x2 -> metres [P].

    MPJPE for joints and MVE for vertices. Only the translation is removed.
    """
    moved = (predicted - predicted_pelvis[:, None]) - (true - true_pelvis[:, None])
    return np.linalg.norm(moved, axis=-1).mean(axis=-1)


def procrustes_distance(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean distance after the best rotation, scale and translation of the prediction: [P, J, 3] x2 -> metres [P].

    PA-MPJPE. The least-squares similarity of Umeyama (1991); mirroring is not allowed.
    """
    source = predicted - predicted.mean(axis=1, keepdims=True)
    target = true - true.mean(axis=1, keepdims=True)
    u, singular, vt = np.linalg.svd(np.swapaxes(target, 1, 2) @ source)
    mirrored = np.linalg.det(u @ vt) < 0
    sign = np.ones_like(singular)
    sign[mirrored, -1] = -1
    rotation = (u * sign[:, None]) @ vt
    scale = (singular * sign).sum(axis=1) / np.maximum((source**2).sum(axis=(1, 2)), 1e-12)
    aligned = scale[:, None, None] * (source @ np.swapaxes(rotation, 1, 2))
    return np.linalg.norm(aligned - target, axis=-1).mean(axis=-1)


def root_distance(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Distance of the pelvis joints in camera coordinates: [P, 3] x2 -> metres [P]."""
    return np.linalg.norm(predicted - true, axis=-1)


def facing_angle(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Angle between the facings of two bodies, from their global orientations [P, 3, 3]: degrees [P], 0 to 180.

    The facing is the third column of the global orientation: the chest's forward axis in the camera frame. A turn about
    that axis (lying on a side against standing) does not change it.
    """
    facings = predicted @ FORWARD, true @ FORWARD
    across = np.linalg.norm(np.cross(*facings), axis=-1)
    return np.degrees(np.arctan2(across, (facings[0] * facings[1]).sum(axis=-1)))


def rotation_angle(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The angle of the rotation that turns one orientation into the other: [P, 3, 3] x2 -> degrees [P], 0 to 180."""
    between = predicted @ np.swapaxes(true, -1, -2)
    # From sine and cosine together: arccos of the trace alone loses all digits below a tenth of a degree.
    skew = [between[..., i, j] - between[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))]
    trace = np.trace(between, axis1=-2, axis2=-1)
    return np.degrees(np.arctan2(np.linalg.norm(skew, axis=0), trace - 1))


def depth_order(predicted_z: np.ndarray, true_z: np.ndarray) -> tuple[int, int]:
    """(correct pairs, pairs) of the people of one image, from their pelvis depths [P] in metres. PCDR0.2.

    predicted_z is NaN for a missed person, whose pairs are all wrong. A pair within 0.2 m is in one layer and must be
    predicted so; any other pair must be predicted more than 0.2 m apart, in the right order.
    """
    first, second = np.triu_indices(len(true_z), k=1)
    true_layer, predicted_layer = (_layer(z[first] - z[second]) for z in (true_z, predicted_z))
    return int((true_layer == predicted_layer).sum()), len(first)


def _layer(step: np.ndarray) -> np.ndarray:
    """-1 nearer, 0 same layer, +1 farther, NaN unknown."""
    return np.where(np.isnan(step), np.nan, np.sign(step) * (np.abs(step) >= SAME_LAYER_M))


def correct_keypoints(
    predicted: np.ndarray, true: np.ndarray, size: np.ndarray, share: float = PCK_SHARE
) -> np.ndarray:
    """Share of the joints within `share` of the person's size: [P, J, 2] x2, size [P] in the same pixels -> [P]. PCK.

    A joint that is NaN in `true` has no label and does not count; a person without labels gives NaN.
    """
    distance = np.linalg.norm(predicted - true, axis=-1)
    labelled = ~np.isnan(distance)
    hits = (np.nan_to_num(distance, nan=np.inf) <= share * size[:, None]).sum(axis=-1)
    total = labelled.sum(axis=-1)
    return np.where(total > 0, hits / np.maximum(total, 1), np.nan)
