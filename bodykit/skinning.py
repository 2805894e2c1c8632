"""Posing a body: from shape and rotations to joints and vertices, by linear blend skinning in numpy and numba."""

import numpy as np

from bodykit.body import JOINTS, Body, SparseRows


def pose_joints(body: Body, betas: np.ndarray, rotations: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Joints [P, 24, 3] of P people, without touching a vertex.

    betas [P, 10]; rotations [P, 24, 3, 3] (joint 0 into the camera frame, the others relative to their parent);
    translation [P, 3] metres: where joint 0 ends up, exactly.
    """
    betas, rotations, translation = _checked(betas, rotations, translation)
    return _chain(body, _rest_joints(body, betas), rotations, translation)[1]


def pose_vertices(
    body: Body, betas: np.ndarray, rotations: np.ndarray, translation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [P, V, 3] and joints [P, 24, 3] of P people; arguments as for `pose_joints`."""
    from bodykit.skin_kernel import skin  # numba takes 0.3 s and 50 MB to import; joints alone do not need it

    betas, rotations, translation = _checked(betas, rotations, translation)
    people, count = len(betas), len(body.template)
    rest_joints = _rest_joints(body, betas)
    world, joints = _chain(body, rest_joints, rotations, translation)
    # A joint's transform moves its rest position onto its posed one: x -> R x + (posed - R rest).
    transforms = np.empty((people, JOINTS, 3, 4), np.float32)
    transforms[..., :3] = world
    transforms[..., 3] = joints - (world @ rest_joints[..., None])[..., 0]
    features = (rotations[:, 1:] - np.eye(3, dtype=np.float32)).reshape(people, 9 * (JOINTS - 1))
    vertices = np.empty((people, count, 3), np.float32)
    rows: SparseRows = body.posedirs
    skin(
        body.template,
        body.shapedirs,
        betas,
        transforms,
        features,
        body.weight_index,
        body.weight_value,
        rows.offset,
        rows.column,
        rows.value,
        vertices,
    )
    return vertices, joints


def _rest_joints(body: Body, betas: np.ndarray) -> np.ndarray:
    """Joints [P, 24, 3] of the shaped body in the rest pose."""
    return (betas @ body.joint_shapedirs.reshape(-1, betas.shape[1]).T).reshape(-1, JOINTS, 3) + body.joint_template


def _chain(
    body: Body, rest_joints: np.ndarray, rotations: np.ndarray, translation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Camera-frame rotations [P, 24, 3, 3] and positions [P, 24, 3] of all joints, one tree level at a time."""
    world = np.empty_like(rotations)
    joints = np.empty_like(rest_joints)
    world[:, 0] = rotations[:, 0]
    joints[:, 0] = translation
    for children, parents in tree_levels(body.parents):
        above = world[:, parents]
        bones = rest_joints[:, children] - rest_joints[:, parents]
        world[:, children] = above @ rotations[:, children]
        joints[:, children] = joints[:, parents] + (above @ bones[..., None])[..., 0]
    return world, joints


_LEVELS: dict[tuple[int, ...], tuple[tuple[np.ndarray, np.ndarray], ...]] = {}


def tree_levels(parents: tuple[int, ...]) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """(children, their parents) as index arrays for each depth of the tree below the root."""
    if parents not in _LEVELS:
        depth = [0] * len(parents)
        for joint, parent in enumerate(parents):
            depth[joint] = 0 if parent < 0 else depth[parent] + 1
        levels = []
        for level in range(1, max(depth) + 1):
            children = [joint for joint in range(len(parents)) if depth[joint] == level]
            levels.append((np.array(children), np.array([parents[joint] for joint in children])))
        _LEVELS[parents] = tuple(levels)
    return _LEVELS[parents]


def _checked(
    betas: np.ndarray, rotations: np.ndarray, translation: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    people = len(betas)
    wanted = {"betas": (people, 10), "rotations": (people, JOINTS, 3, 3), "translation": (people, 3)}
    given = {"betas": betas, "rotations": rotations, "translation": translation}
    for name, array in given.items():
        if array.shape != wanted[name]:
            raise ValueError(f"{name} must have shape {list(wanted[name])}, got {list(array.shape)}")
    return (
        np.ascontiguousarray(betas, np.float32),
        np.ascontiguousarray(rotations, np.float32),
        np.ascontiguousarray(translation, np.float32),
    )
