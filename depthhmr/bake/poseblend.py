"""Pose directions: the correction of linear blending at a bent joint, fitted to dual quaternion skinning, without scans."""

from dataclasses import dataclass

import numpy as np

from bodykit.body import JOINT_NAMES, JOINTS, PARENTS, POSE_FEATURES
from bodykit.rotations import axis_angle_to_matrix
from depthhmr.bake import dualquat

RIDGE = 0.3
MIN_METRES = 3e-4  # metres; smaller directions are dropped, which leaves about two entries in a hundred
# Two standard deviations, and the highest angle, about x, y, z in degrees, per joint.
RANGES = {
    "spine1": (35, 25, 20),
    "spine2": (25, 25, 20),
    "spine3": (25, 25, 20),
    "neck": (35, 40, 25),
    "head": (30, 40, 20),
    "hip": (110, 45, 50),
    "knee": (130, 8, 8),
    "ankle": (40, 20, 20),
    "foot": (30, 5, 5),
    "collar": (10, 20, 25),
    "shoulder": (60, 80, 85),
    "elbow": (60, 140, 10),
    "wrist": (30, 30, 60),
    "hand": (10, 10, 50),
}


@dataclass(frozen=True)
class Rest:
    """The mean person, which the fit poses."""

    vertices: np.ndarray  # [V, 3]
    joints: np.ndarray  # [24, 3]
    weights: np.ndarray  # [V, 24]


@dataclass(frozen=True)
class PoseBlend:
    """Directions and their effect on held-out poses, metres."""

    directions: np.ndarray  # [V, 207, 3]
    gap_before: float
    gap_after: float


def fit_pose_blend(
    rest: Rest, rng: np.random.Generator, mirror: np.ndarray, joint_mirror: np.ndarray, poses: int
) -> PoseBlend:
    """Least squares over random poses and their mirror images, per group of vertices that bend at the same joints."""
    rotations = _random_rotations(rng, poses)
    features = (rotations[:, 1:] - np.eye(3)).reshape(poses, -1)
    wanted = np.stack([_missing(rest, pose) for pose in rotations]).astype(np.float32)
    held_out = poses // 5
    signs, feature_mirror = _mirrored_features(joint_mirror)
    mirrored_features = (features * signs)[:, feature_mirror]
    mirrored_wanted = wanted[:, mirror] * np.array([-1, 1, 1], np.float32)
    train_features = np.concatenate([features[held_out:], mirrored_features[held_out:]])
    directions = np.zeros((len(rest.vertices), POSE_FEATURES, 3))
    for bending, vertices in _groups(rest.weights).items():
        columns = np.concatenate([np.arange(9 * (joint - 1), 9 * joint) for joint in bending])
        inputs = train_features[:, columns]
        outputs = np.concatenate([wanted[held_out:][:, vertices], mirrored_wanted[held_out:][:, vertices]])
        normal = inputs.T @ inputs + RIDGE * np.eye(len(columns))
        solution = np.linalg.solve(normal, inputs.T @ outputs.reshape(len(inputs), -1))
        directions[np.ix_(vertices, columns)] = solution.reshape(len(columns), len(vertices), 3).transpose(1, 0, 2)
    reflected = (directions[mirror] * signs[:, None] * [-1, 1, 1])[:, feature_mirror]
    directions = (directions + reflected) / 2
    directions[np.linalg.norm(directions, axis=2) < MIN_METRES] = 0
    predicted = np.einsum("pf,vfc->pvc", features[:held_out], directions, optimize=True)
    return PoseBlend(directions, _rms(wanted[:held_out]), _rms(wanted[:held_out] - predicted))


def _random_rotations(rng: np.random.Generator, poses: int) -> np.ndarray:
    """[poses, 24, 3, 3]; in half of the poses half of the joints rest."""
    vectors = np.zeros((poses, JOINTS, 3))
    for joint, name in enumerate(JOINT_NAMES):
        limit = RANGES.get(name.removeprefix("left_").removeprefix("right_"))
        if limit is not None:
            vectors[:, joint] = np.radians(limit) * rng.normal(0, 0.5, (poses, 3)).clip(-1, 1)
    vectors[::2] *= rng.random((len(vectors[::2]), JOINTS, 1)) < 0.5
    return axis_angle_to_matrix(vectors)


def _missing(rest: Rest, rotations: np.ndarray) -> np.ndarray:
    """Displacements [V, 3] in the rest pose after which linear blending gives the dual quaternion surface."""
    world = np.zeros((JOINTS, 3, 3))
    posed = np.zeros((JOINTS, 3))
    world[0], posed[0] = rotations[0], rest.joints[0]
    for joint in range(1, JOINTS):
        parent = PARENTS[joint]
        world[joint] = world[parent] @ rotations[joint]
        posed[joint] = posed[parent] + world[parent] @ (rest.joints[joint] - rest.joints[parent])
    shifts = posed - np.einsum("jab,jb->ja", world, rest.joints)
    goal = dualquat.skin(rest.vertices, rest.weights, world, shifts)
    blended = np.einsum("vj,jab->vab", rest.weights, world, optimize=True)
    linear = np.einsum("vab,vb->va", blended, rest.vertices) + rest.weights @ shifts
    return np.linalg.solve(blended + 1e-3 * np.eye(3), (goal - linear)[..., None])[..., 0]


def _groups(weights: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
    """Vertices by the joints at which they bend: those weighted by a joint and its parent."""
    moved = weights > 0.005
    groups: dict[tuple[int, ...], list[int]] = {}
    for vertex in range(len(weights)):
        bending = tuple(j for j in range(1, JOINTS) if moved[vertex, j] and moved[vertex, PARENTS[j]])
        if bending:
            groups.setdefault(bending, []).append(vertex)
    return {bending: np.array(vertices) for bending, vertices in groups.items()}


def _mirrored_features(joint_mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signs [207] and permutation [207] that take pose features to those of the mirrored pose."""
    flip = np.array([-1, 1, 1])
    signs = np.tile(np.outer(flip, flip).ravel(), JOINTS - 1)
    permutation = np.concatenate([9 * (joint_mirror[joint] - 1) + np.arange(9) for joint in range(1, JOINTS)])
    return signs, permutation


def _rms(displacement: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.sum(displacement**2, axis=-1))))
