"""MakeHuman's 163 bones and its joint markers, reduced to the 24 joints of the body."""

import numpy as np
from scipy import sparse

from bodykit.body import JOINT_NAMES, JOINTS
from depthhmr.bake.sources import Assets, BaseMesh

# Two more columns than joints: the lower halves of the forearms, needed to spread a twist along the arm.
LEFT_FOREARM, RIGHT_FOREARM = JOINTS, JOINTS + 1
SEGMENTS = JOINTS + 2

# Joint name without its side -> the marker cubes whose mean is the joint. `*` stands for the side, l or r.
JOINT_MARKERS: dict[str, tuple[str, ...]] = {
    "pelvis": ("pelvis",),
    "spine1": ("spine-3",),
    "spine2": ("spine-2",),
    "spine3": ("spine-1",),
    "neck": ("neck",),
    "head": ("head",),
    "hip": ("*-upper-leg",),
    "knee": ("*-knee",),
    "ankle": ("*-ankle",),
    "foot": tuple(f"*-toe-{toe}-1" for toe in range(1, 6)),
    "collar": ("*-clavicle", "*-scapula"),
    "shoulder": ("*-shoulder",),
    "elbow": ("*-elbow",),
    "wrist": ("*-hand",),
    "hand": tuple(f"*-finger-{finger}-1" for finger in range(2, 6)),
}

# Bone -> joint that carries it; bones that are not named follow their nearest named ancestor.
CENTRAL_BONES = {
    "root": "pelvis",
    "spine05": "pelvis",
    "spine04": "pelvis",
    "spine03": "spine1",
    "spine02": "spine2",
    "spine01": "spine3",
    "neck01": "neck",
    "neck02": "neck",
    "neck03": "neck",
    "head": "head",
}
SIDE_BONES = {
    "upperleg01": "hip",
    "upperleg02": "hip",
    "lowerleg01": "knee",
    "lowerleg02": "knee",
    "foot": "ankle",
    "clavicle": "collar",
    "shoulder01": "collar",
    "upperarm01": "shoulder",
    "upperarm02": "shoulder",
    "lowerarm01": "elbow",
    "lowerarm02": "elbow",
    "wrist": "wrist",
    **{f"toe{toe}-1": "foot" for toe in range(1, 6)},
    **{f"finger{finger}-1": "hand" for finger in range(1, 6)},
}
SIDES = {"left": ("l", ".L"), "right": ("r", ".R")}


def mirrored_joints() -> np.ndarray:
    """For each joint the index of the same joint on the other side, [24]."""
    swap = {"left": "right", "right": "left"}
    others = []
    for name in JOINT_NAMES:
        side, _, rest = name.partition("_")
        others.append(JOINT_NAMES.index(f"{swap[side]}_{rest}" if side in swap else name))
    return np.array(others)


def joint_matrix(mesh: BaseMesh) -> sparse.csr_matrix:
    """[24, N]: joints as means of marker vertices."""
    matrix = sparse.lil_matrix((JOINTS, len(mesh.vertices)))
    for joint, name in enumerate(JOINT_NAMES):
        side, _, rest = name.partition("_")
        markers = JOINT_MARKERS[rest or name]
        for marker in markers:
            letter = SIDES[side][0] if side in SIDES else ""
            vertices = mesh.group_vertices("joint-" + marker.replace("*", letter))
            for vertex in vertices:
                matrix[joint, vertex] += 1 / len(vertices) / len(markers)
    return matrix.tocsr()


def segment_weights(assets: Assets) -> np.ndarray:
    """Skinning weights [N, 26] of the base mesh: 24 joints and the lower halves of both forearms."""
    weights = np.zeros((len(assets.base_mesh.vertices), SEGMENTS))
    segment_of = _named_bones()
    for bone, rows in assets.bone_weights.items():
        carrier = bone
        while carrier not in segment_of:
            carrier = assets.bone_parents[carrier]
        vertices = rows[:, 0].astype(int)
        weights[:, segment_of[carrier]] += np.bincount(vertices, rows[:, 1], minlength=len(weights))
    for eye in ("helper-l-eye", "helper-r-eye"):
        eyeball = assets.base_mesh.group_vertices(eye)
        weights[eyeball] = 0
        weights[eyeball, JOINT_NAMES.index("head")] = 1
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)


def merge_forearms(weights: np.ndarray) -> np.ndarray:
    """[..., 26] segments to [..., 24] joints."""
    merged = weights[..., :JOINTS].copy()
    merged[..., JOINT_NAMES.index("left_elbow")] += weights[..., LEFT_FOREARM]
    merged[..., JOINT_NAMES.index("right_elbow")] += weights[..., RIGHT_FOREARM]
    return merged


def _named_bones() -> dict[str, int]:
    segments = {bone: JOINT_NAMES.index(joint) for bone, joint in CENTRAL_BONES.items()}
    for side, (_, suffix) in SIDES.items():
        segments["pelvis" + suffix] = JOINT_NAMES.index("pelvis")
        for bone, joint in SIDE_BONES.items():
            segments[bone + suffix] = JOINT_NAMES.index(f"{side}_{joint}")
    segments["lowerarm02.L"], segments["lowerarm02.R"] = LEFT_FOREARM, RIGHT_FOREARM
    return segments
