"""Scores of a network on rendered samples while it trains: the measures of evaluation.py, on tensors at hand.

Quicker than an evaluation of the exported model, and without meshes (no MVE). The figures that are published come from
`depthhmr evaluate`.
"""

import numpy as np
import torch

from depthhmr.batch import make_batch
from depthhmr.metrics import (
    facing_angle,
    match_people,
    mean_distance,
    precision_recall_f1,
    procrustes_distance,
    root_distance,
)
from depthhmr.model import DepthHMR, joint_boxes

MIN_HEIGHT = 0.2  # of the image side: who is smaller does not count
MIN_VISIBLE = 0.3
THRESHOLDS = (0.2, 0.3, 0.4, 0.5)


@torch.no_grad()
def validate(model: DepthHMR, arrays: dict[str, np.ndarray], size: int, chunk: int = 32) -> dict[str, float]:
    """arrays as a shard stores them -> val.f1 (at its best threshold), val.mpjpe and val.pa_mpjpe in mm, val.root_median
    in m, val.facing_median in degrees, of people at least a fifth of the image high."""
    images = _predict(model, arrays, size, chunk)
    best: dict[str, float] = {}
    for threshold in THRESHOLDS:
        scores = _score(images, threshold)
        if scores["val.f1"] > best.get("val.f1", -1.0):
            best = scores
    return best


def _predict(model: DepthHMR, arrays: dict[str, np.ndarray], size: int, chunk: int) -> list[dict[str, np.ndarray]]:
    """One dictionary of predictions and truths per image."""
    images = []
    for start in range(0, len(arrays["count"]), chunk):
        batch = make_batch({name: values[start : start + chunk] for name, values in arrays.items()}, size)
        people = model(batch.image, batch.intrinsics)
        flat_rotations, flat_betas = people.rotations.flatten(0, 1), people.betas.flatten(0, 1)
        joints = model.body.joints(flat_betas, flat_rotations, people.translation.flatten(0, 1))
        joints = joints.unflatten(0, people.scores.shape)
        for row in range(len(batch)):
            valid = batch.valid[row]
            intrinsics = batch.intrinsics[row]
            true_boxes = joint_boxes(batch.joints[row, valid], intrinsics.expand(int(valid.sum()), 4))
            tall = (true_boxes[:, 3] - true_boxes[:, 1]) >= MIN_HEIGHT * size
            images.append(
                {
                    "scores": people.scores[row].sigmoid().numpy(),
                    "joints": joints[row].numpy(),
                    "root": people.rotations[row, :, 0].numpy(),
                    "true_joints": batch.joints[row, valid].numpy(),
                    "true_root": batch.rotations[row, valid, 0].numpy(),
                    "counts": (tall & (batch.visible[row, valid] >= MIN_VISIBLE)).numpy(),
                    "intrinsics": intrinsics.numpy(),
                }
            )
    return images


def _pixels(joints: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    return joints[..., :2] / np.maximum(joints[..., 2:], 0.1) * intrinsics[:2] + intrinsics[2:]


def _score(images: list[dict[str, np.ndarray]], threshold: float) -> dict[str, float]:
    found = false = missed = 0
    errors: dict[str, list[np.ndarray]] = {"mpjpe": [], "pa": [], "root": [], "facing": []}
    for image in images:
        kept = image["scores"] >= threshold
        joints, true = image["joints"][kept], image["true_joints"]
        matching = match_people(
            _pixels(joints, image["intrinsics"]), _pixels(true, image["intrinsics"]), image["counts"]
        )
        real = image["counts"][matching.true]
        mine, theirs = matching.predicted[real], matching.true[real]
        found, false, missed = found + len(mine), false + len(matching.false), missed + len(matching.missed)
        if not len(mine):
            continue
        a, b = joints[mine], true[theirs]
        errors["mpjpe"].append(mean_distance(a, b, a[:, 0], b[:, 0]))
        errors["pa"].append(procrustes_distance(a, b))
        errors["root"].append(root_distance(a[:, 0], b[:, 0]))
        errors["facing"].append(facing_angle(image["root"][kept][mine], image["true_root"][theirs]))
    joined = {name: np.concatenate(values) if values else np.array([np.nan]) for name, values in errors.items()}
    precision, recall, f1 = precision_recall_f1(found, false, missed)
    return {
        "val.f1": f1,
        "val.precision": precision,
        "val.recall": recall,
        "val.threshold": threshold,
        "val.mpjpe": 1000 * float(joined["mpjpe"].mean()),
        "val.pa_mpjpe": 1000 * float(joined["pa"].mean()),
        "val.root_median": float(np.median(joined["root"])),
        "val.facing_median": float(np.median(joined["facing"])),
        "val.flipped": float((joined["facing"] > 120).mean()),
    }
