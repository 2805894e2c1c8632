"""Binary glTF 2.0 that moves: one skinned mesh and one skeleton per person, and one animation that drives them all.

A plain skin blends joint transforms. What it leaves out of our own skinning are the pose-dependent bulges and creases
(`posedirs` of the body), and a person's shape cannot change while the clip runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bodykit.body import JOINT_NAMES, JOINTS, Body
from bodykit.meshio.gltf import CAMERA_TO_GLTF, FLOAT32, UINT8, VERTEX_BUFFER, Buffer, asset, material, pack
from bodykit.meshio.mesh import PLAIN, Mesh
from bodykit.rotations import axis_angle_to_matrix, matrix_to_quaternion

CLIP = "stream"
SEEN, HIDDEN = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)  # scales of the pelvis; glTF has no keyframes for "visible"


@dataclass(frozen=True, eq=False)
class Motion:
    """One person over a clip, in camera coordinates (x right, y down, z forward, metres).

    frames: int[K], strictly increasing, the frames of the clip in which the person is seen; axis_angle: [K, 24, 3]
    radians, joint 0 into the camera frame, the others relative to their parent; translation: [K, 3], where the pelvis
    is; betas: [10]; colour: sRGB, 0-255.
    """

    name: str
    frames: np.ndarray
    axis_angle: np.ndarray
    translation: np.ndarray
    betas: np.ndarray
    colour: tuple[int, int, int] = PLAIN

    def __post_init__(self) -> None:
        count = len(self.frames)
        wanted = {"frames": (count,), "axis_angle": (count, JOINTS, 3), "translation": (count, 3), "betas": (10,)}
        for name, shape in wanted.items():
            values = np.asarray(getattr(self, name))
            if values.shape != shape:
                raise ValueError(f"motion {self.name!r}: expected {name} {list(shape)}, got {list(values.shape)}")
            if not np.isfinite(values).all():
                raise ValueError(f"motion {self.name!r}: expected finite {name}, got NaN or infinity")
        if not count or np.any(np.diff(self.frames) <= 0):
            raise ValueError(f"motion {self.name!r}: expected frames that increase, got {list(self.frames)[:10]}")


def write(body: Body, motions: Sequence[Motion], times_s: np.ndarray) -> bytes:
    """A .glb file. `times_s` [N] are the seconds of the clip's frames, strictly increasing; the clip starts at the first.

    A person is hidden (scale 0) in frames in which it is not seen. No motions give a valid file with an empty node.
    """
    times = np.asarray(times_s, np.float64)
    if np.any(np.diff(times) <= 0) or not np.isfinite(times).all():
        raise ValueError("expected times of frames that increase")
    for motion in motions:
        if motion.frames[0] < 0 or motion.frames[-1] >= len(times):
            raise ValueError(f"motion {motion.name!r}: expected frames 0 to {len(times) - 1}, got {motion.frames[-1]}")
    clip = _Clip(body, (times - times[:1]).astype(np.float32))
    for motion in motions:
        clip.add(motion)
    return clip.file()


class _Clip:
    """A document under construction. The skeletons hang below the node `people`; the meshes stand beside it, because
    a skinned mesh ignores its own place in the scene.
    """

    def __init__(self, body: Body, times: np.ndarray) -> None:
        self._body, self._times, self._buffer = body, times, Buffer()
        self._nodes: list[dict[str, Any]] = [{"name": "people"}]
        self._roots: list[int] = []  # of the skeletons
        self._meshes: list[dict[str, Any]] = []
        self._materials: list[dict[str, Any]] = []
        self._skins: list[dict[str, Any]] = []
        self._channels: list[dict[str, Any]] = []
        self._samplers: list[dict[str, Any]] = []

    def add(self, motion: Motion) -> None:
        betas = np.asarray(motion.betas, np.float32)
        rest_joints = self._body.joint_template + self._body.joint_shapedirs @ betas  # [24, 3]
        first = len(self._nodes)
        self._roots.append(first)
        self._nodes += self._skeleton(rest_joints, first)
        self._skins.append(
            {
                "name": motion.name,
                "joints": list(range(first, first + JOINTS)),
                "skeleton": first,
                "inverseBindMatrices": self._buffer.floats(_inverse_binds(rest_joints), "MAT4"),
            }
        )
        self._meshes.append(self._mesh(motion, betas))
        self._materials.append(material(motion.name, motion.colour))
        number = len(self._meshes) - 1
        self._nodes.append({"name": motion.name, "mesh": number, "skin": number})
        self._move(motion, first)

    def file(self) -> bytes:
        meshes = [number for number, node in enumerate(self._nodes) if "mesh" in node]
        document: dict[str, Any] = {
            "asset": asset(),
            "scene": 0,
            "scenes": [{"name": "scene", "nodes": [0, *meshes]}],
            "nodes": self._nodes,
        }
        if meshes:
            self._nodes[0]["children"] = self._roots
            document |= {"meshes": self._meshes, "materials": self._materials, "skins": self._skins}
            document["animations"] = [{"name": CLIP, "channels": self._channels, "samplers": self._samplers}]
        return pack(document, self._buffer)

    def _skeleton(self, rest_joints: np.ndarray, first: int) -> list[dict[str, Any]]:
        nodes = []
        for joint, (name, parent) in enumerate(zip(JOINT_NAMES, self._body.parents, strict=True)):
            bone = rest_joints[joint] - (rest_joints[parent] if parent >= 0 else 0)
            node: dict[str, Any] = {"name": name, "translation": bone.astype(np.float32).tolist()}
            if children := [first + child for child, above in enumerate(self._body.parents) if above == joint]:
                node["children"] = children
            nodes.append(node)
        return nodes

    def _mesh(self, motion: Motion, betas: np.ndarray) -> dict[str, Any]:
        body, buffer = self._body, self._buffer
        rest = Mesh(body.template + body.shapedirs @ betas, body.faces, motion.name, motion.colour)
        joints, weights = _weights(body)
        attributes = {
            "POSITION": buffer.vectors(rest.vertices, bounds=True),
            "NORMAL": buffer.vectors(rest.normals, bounds=False),
            "JOINTS_0": buffer.shared(joints, "VEC4", UINT8, len(joints), target=VERTEX_BUFFER),
            "WEIGHTS_0": buffer.shared(weights, "VEC4", FLOAT32, len(weights), target=VERTEX_BUFFER),
        }
        primitive = {
            "attributes": attributes,
            "indices": buffer.indices(body.faces, len(body.template)),
            "material": len(self._meshes),
        }
        return {"name": motion.name, "primitives": [primitive]}

    def _move(self, motion: Motion, first: int) -> None:
        """Keyframes: where the pelvis is, how every joint turns, and whether the person is there at all."""
        frames = np.asarray(motion.frames)
        when = self._buffer.floats(self._times[frames], "SCALAR", bounds=True)
        place = np.asarray(motion.translation, np.float32) * CAMERA_TO_GLTF
        self._channel(first, "translation", when, self._buffer.floats(place, "VEC3"), "LINEAR")
        turns = _quaternions(np.asarray(motion.axis_angle))  # [K, 24, 4]
        for joint in range(JOINTS):
            values = self._buffer.floats(turns[:, joint], "VEC4")
            self._channel(first + joint, "rotation", when, values, "LINEAR")
        changes, there = _changes(frames, len(self._times))
        steps = self._buffer.floats(self._times[changes], "SCALAR", bounds=True)
        scales = self._buffer.floats(np.where(there[:, None], SEEN, HIDDEN), "VEC3")
        self._channel(first, "scale", steps, scales, "STEP")

    def _channel(self, node: int, path: str, times: int, values: int, interpolation: str) -> None:
        self._samplers.append({"input": times, "output": values, "interpolation": interpolation})
        self._channels.append({"sampler": len(self._samplers) - 1, "target": {"node": node, "path": path}})


def _inverse_binds(rest_joints: np.ndarray) -> np.ndarray:
    """[24, 16], column by column: they move a joint of the rest pose to the origin."""
    matrices = np.tile(np.eye(4, dtype=np.float32), (JOINTS, 1, 1))
    matrices[:, :3, 3] = -rest_joints
    return matrices.transpose(0, 2, 1).reshape(JOINTS, 16)


def _weights(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Joints uint8[V, 4] and weights float32[V, 4] as glTF wants them: a joint once per vertex, 0 where it weighs nothing,
    and a sum of 1 to the last bit that float32 has.
    """
    joints, weights = body.weight_index.copy(), body.weight_value.astype(np.float64)
    for later in range(1, 4):
        for earlier in range(later):
            same = (joints[:, later] == joints[:, earlier]) & (weights[:, later] > 0)
            weights[same, earlier] += weights[same, later]
            weights[same, later] = 0
    narrow = (weights / weights.sum(axis=1, keepdims=True)).astype("<f4")
    heaviest = narrow.argmax(axis=1)
    rows = np.arange(len(narrow))
    narrow[rows, heaviest] += (1 - narrow.sum(axis=1, dtype=np.float64)).astype("<f4")
    return np.where(narrow > 0, joints, 0).astype(np.uint8), narrow


def _quaternions(axis_angle: np.ndarray) -> np.ndarray:
    """[K, 24, 4] (x, y, z, w) in glTF's axes; neighbours in time lie on the same side, so that turns take the short way."""
    matrices = axis_angle_to_matrix(axis_angle.astype(np.float64))
    matrices[:, 0] = CAMERA_TO_GLTF[:, None] * matrices[:, 0]  # only joint 0 turns into the camera's frame
    quaternions = matrix_to_quaternion(matrices)[..., [1, 2, 3, 0]]
    opposite = np.sum(quaternions[1:] * quaternions[:-1], axis=-1, keepdims=True) < 0
    signs = np.cumprod(np.where(opposite, -1, 1), axis=0)
    quaternions[1:] *= signs
    return quaternions


def _changes(frames: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The frames in which a person comes or goes, the first frame always among them; and whether it is there from then on."""
    there = np.zeros(count, bool)
    there[frames] = True
    changes = np.concatenate([[0], 1 + np.flatnonzero(there[1:] != there[:-1])])
    return changes, there[changes]
