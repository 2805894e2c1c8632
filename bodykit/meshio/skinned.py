"""People in a glTF document as a skinned mesh over a skeleton of 24 joints. Shared by `animation` and `rigged`.

A plain skin blends joint transforms. What it leaves out of our own skinning are the pose-dependent bulges and creases
(`posedirs` of the body).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bodykit.body import JOINT_NAMES, JOINTS, Body
from bodykit.meshio.gltf import CAMERA_TO_GLTF, FLOAT32, UINT8, VERTEX_BUFFER, Buffer, asset, material
from bodykit.meshio.mesh import Mesh
from bodykit.rotations import axis_angle_to_matrix, matrix_to_quaternion


class SkinnedPeople:
    """A document under construction. The skeletons hang below the node `people`; the meshes stand beside it, because
    a skinned mesh ignores its own place in the scene.
    """

    def __init__(self, body: Body, *, joint_names: Sequence[str] = JOINT_NAMES) -> None:
        self.buffer = Buffer()
        self._body, self._joint_names = body, joint_names
        self._nodes: list[dict[str, Any]] = [{"name": "people"}]
        self._roots: list[int] = []  # of the skeletons
        self._meshes: list[dict[str, Any]] = []
        self._materials: list[dict[str, Any]] = []
        self._skins: list[dict[str, Any]] = []

    def add(
        self, name: str, colour: tuple[int, int, int], betas: np.ndarray, turns: np.ndarray, place: np.ndarray
    ) -> int:
        """Returns the node of the pelvis; the other joints follow it in their order.

        turns: [24, 4] quaternions as of `quaternions`; place: [3] the pelvis in camera coordinates.
        """
        betas = np.asarray(betas, np.float32)
        rest_joints = self._body.joint_template + self._body.joint_shapedirs @ betas  # [24, 3]
        first = len(self._nodes)
        self._roots.append(first)
        self._nodes += self._skeleton(rest_joints, turns, place, first)
        self._skins.append(
            {
                "name": name,
                "joints": list(range(first, first + JOINTS)),
                "skeleton": first,
                "inverseBindMatrices": self.buffer.floats(_inverse_binds(rest_joints), "MAT4"),
            }
        )
        number = len(self._meshes)
        self._meshes.append(self._mesh(name, betas, number))
        self._materials.append(material(name, colour))
        self._nodes.append({"name": name, "mesh": number, "skin": number})
        return first

    def document(self) -> dict[str, Any]:
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
        return document

    def _skeleton(
        self, rest_joints: np.ndarray, turns: np.ndarray, place: np.ndarray, first: int
    ) -> list[dict[str, Any]]:
        parents = self._body.parents
        bones = rest_joints - np.where(np.array(parents)[:, None] >= 0, rest_joints[list(parents)], 0)
        bones[0] = np.asarray(place, np.float32) * CAMERA_TO_GLTF
        nodes = []
        for joint, name in enumerate(self._joint_names):
            node: dict[str, Any] = {
                "name": name,
                "translation": bones[joint].tolist(),
                "rotation": turns[joint].tolist(),
            }
            if children := [first + child for child, above in enumerate(parents) if above == joint]:
                node["children"] = children
            nodes.append(node)
        return nodes

    def _mesh(self, name: str, betas: np.ndarray, number: int) -> dict[str, Any]:
        body, buffer = self._body, self.buffer
        rest = Mesh(body.template + body.shapedirs @ betas, body.faces, name)
        joints, weights = _weights(body)
        attributes = {
            "POSITION": buffer.vectors(rest.vertices, bounds=True),
            "NORMAL": buffer.vectors(rest.normals, bounds=False),
            "JOINTS_0": buffer.shared(joints, "VEC4", UINT8, len(joints), target=VERTEX_BUFFER),
            "WEIGHTS_0": buffer.shared(weights, "VEC4", FLOAT32, len(weights), target=VERTEX_BUFFER),
        }
        indices = buffer.indices(body.faces, len(body.template))
        return {"name": name, "primitives": [{"attributes": attributes, "indices": indices, "material": number}]}


def quaternions(axis_angle: np.ndarray) -> np.ndarray:
    """[K, 24, 4] (x, y, z, w) in glTF's axes; neighbours in time lie on the same side, so that turns take the short way."""
    matrices = axis_angle_to_matrix(np.asarray(axis_angle, np.float64))
    matrices[:, 0] = CAMERA_TO_GLTF[:, None] * matrices[:, 0]  # only joint 0 turns into the camera's frame
    found = matrix_to_quaternion(matrices)[..., [1, 2, 3, 0]]
    opposite = np.sum(found[1:] * found[:-1], axis=-1, keepdims=True) < 0
    signs = np.cumprod(np.where(opposite, -1, 1), axis=0)
    found[1:] *= signs
    return found


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
