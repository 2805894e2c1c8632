"""Biovision BVH: one person's skeleton and how it moves, as text. +y up, metres, the camera at the origin as in glTF.

The channels of a joint are Z, X, Y: R = Rz Rx Ry. BVH has no comments, so the file cannot say any of this itself.
Hand-written, as the libraries that write BVH (bvhio, pybvh) build an object per joint and frame.
"""

import numpy as np

from bodykit.body import JOINTS, Body
from bodykit.meshio.even import EvenMotion
from bodykit.meshio.gltf import CAMERA_TO_GLTF
from bodykit.meshio.rigs import RIGS

ANGLES = "Zrotation Xrotation Yrotation"
END_M = 0.1  # length of the bones behind the last joints, which the body does not know
POLE = 1e-6  # cos(x) below which z and y turn about the same axis


def write(body: Body, motion: EvenMotion, betas: np.ndarray, *, rig: str = "smpl") -> bytes:
    """A .bvh file of one person; `rig` names the joints, a key of RIGS."""
    rest = body.joint_template + body.joint_shapedirs @ np.asarray(betas, np.float32)  # [24, 3]
    order = _depth_first(body.parents)
    lines = ["HIERARCHY", *_joint(0, 0, body.parents, rest, RIGS[rig]), "MOTION"]
    frames = len(motion.rotations)
    lines += [f"Frames: {frames}", f"Frame Time: {1 / motion.fps:.9f}"]
    rotations = motion.rotations.copy()
    rotations[:, 0] = CAMERA_TO_GLTF[:, None] * rotations[:, 0]
    angles = np.degrees(np.unwrap(_euler_zxy(rotations), axis=0))[:, order].reshape(frames, 3 * JOINTS)
    rows = np.concatenate([motion.translation * CAMERA_TO_GLTF, angles], axis=1)
    pattern = " ".join(["%.6f"] * 3 + ["%.4f"] * 3 * JOINTS)
    return "\n".join([*lines, *(pattern % tuple(row) for row in rows.tolist()), ""]).encode()


def _joint(joint: int, depth: int, parents: tuple[int, ...], rest: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """The lines of a joint and of all below it."""
    pad = "  " * depth
    bone = rest[joint] - rest[parents[joint]] if depth else np.zeros(3)
    head = f"JOINT {names[joint]}" if depth else f"ROOT {names[joint]}"
    channels = f"3 {ANGLES}" if depth else f"6 Xposition Yposition Zposition {ANGLES}"
    lines = [head, "{", f"  OFFSET {_vector(bone)}", f"  CHANNELS {channels}"]
    children = [child for child, above in enumerate(parents) if above == joint]
    lines = [pad + line for line in lines]
    for child in children:
        lines += _joint(child, depth + 1, parents, rest, names)
    if not children:
        onward = bone / max(float(np.linalg.norm(bone)), 1e-9) * END_M
        lines += [pad + line for line in ("  End Site", "  {", f"    OFFSET {_vector(onward)}", "  }")]
    return [*lines, pad + "}"]


def _depth_first(parents: tuple[int, ...], joint: int = 0) -> list[int]:
    """The joints in the order of the hierarchy, which is that of the channels."""
    children = [child for child, above in enumerate(parents) if above == joint]
    return [joint, *(found for child in children for found in _depth_first(parents, child))]


def _vector(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values.tolist())


def _euler_zxy(rotations: np.ndarray) -> np.ndarray:
    """Angles (z, x, y) [..., 3] in radians with R = Rz Rx Ry. At the pole of x the turn about y is put to 0."""
    m = rotations
    x = np.arcsin(np.clip(m[..., 2, 1], -1, 1))
    pole = np.hypot(m[..., 0, 1], m[..., 1, 1]) < POLE
    z = np.where(pole, np.arctan2(m[..., 1, 0], m[..., 0, 0]), np.arctan2(-m[..., 0, 1], m[..., 1, 1]))
    y = np.where(pole, 0.0, np.arctan2(-m[..., 2, 0], m[..., 2, 2]))
    return np.stack([z, x, y], axis=-1)
