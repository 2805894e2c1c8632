"""Joints as sparse means of skin vertices, so that the shape directions move them too."""

import numpy as np
from scipy.optimize import nnls

from bodykit.body import JOINT_NAMES, JOINTS

CANDIDATES = 90
SUM_WEIGHT = 100.0  # how strongly the weights are held to a sum of 1 before they are normalised
# A joint deep in the trunk is a mean of a whole ring of skin; one in a limb needs only its surroundings, metres.
TRUNK_RADIUS, LIMB_RADIUS = 0.26, 0.11
TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "left_hip", "right_hip", "left_collar", "right_collar")


def fit_regressor(people: np.ndarray, joints: np.ndarray, mirror: np.ndarray, joint_mirror: np.ndarray) -> np.ndarray:
    """Non-negative weights [24, V], rows summing to 1, that give joints [n, 24, 3] from people [n, V, 3].

    Left joints are fitted and mirrored, joints on the middle use both sides alike.
    """
    mean = people.mean(axis=0)
    regressor = np.zeros((JOINTS, len(mean)))
    for joint, name in enumerate(JOINT_NAMES):
        if name.startswith("right"):
            continue
        radius = TRUNK_RADIUS if name in TRUNK else LIMB_RADIUS
        central = joint_mirror[joint] == joint
        candidates = _spread(mean, joints[:, joint].mean(axis=0), radius, left_only=central)
        columns = people[:, candidates]
        if central:
            columns = (columns + people[:, mirror[candidates]]) / 2
        system = columns.transpose(0, 2, 1).reshape(-1, len(candidates)).astype(np.float64)
        system = np.vstack([system, np.full((1, len(candidates)), SUM_WEIGHT)])
        wanted = np.append(joints[:, joint].reshape(-1), SUM_WEIGHT)
        weights, _ = nnls(system, wanted, maxiter=6000)
        weights[weights < 1e-3] = 0
        weights /= weights.sum()
        np.add.at(regressor[joint], candidates, weights / 2 if central else weights)
        if central:
            np.add.at(regressor[joint], mirror[candidates], weights / 2)
        else:
            regressor[joint_mirror[joint], mirror[candidates]] = weights
    return regressor


def _spread(vertices: np.ndarray, centre: np.ndarray, radius: float, *, left_only: bool) -> np.ndarray:
    """Up to 90 vertices around a point, spread evenly over the surface by farthest-point sampling."""
    distance = np.linalg.norm(vertices - centre, axis=1)
    near = np.flatnonzero((distance < radius) & ((vertices[:, 0] > -1e-6) | (not left_only)))
    if len(near) < 12:
        near = np.argsort(distance)[:CANDIDATES]
    chosen = [int(np.argmin(distance[near]))]
    gap = np.linalg.norm(vertices[near] - vertices[near[chosen[0]]], axis=1)
    while len(chosen) < min(CANDIDATES, len(near)):
        chosen.append(int(np.argmax(gap)))
        gap = np.minimum(gap, np.linalg.norm(vertices[near] - vertices[near[chosen[-1]]], axis=1))
    return near[chosen]
