"""Binary glTF 2.0: one node and one mesh per person under a single root. Knows nothing of bodies or images.

The only format that leaves camera coordinates: glTF wants +y up and looks along -z, so y and z change sign (half a turn
about x, which keeps faces counter-clockwise). People stand upright, the camera of the photo sits at the origin.
Layout and enumerations: glTF 2.0 specification, Khronos Group, sections 3.6 and 4.4.
"""

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from bodykit.meshio.mesh import FRAME, UNITS, Mesh

CAMERA_TO_GLTF = np.array([1, -1, -1], dtype=np.float32)

MAGIC, VERSION = 0x46546C67, 2  # "glTF"
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942  # "JSON", "BIN\0"
ALIGNMENT = 4  # bytes; of both chunks and of every buffer view
UINT16, UINT32, FLOAT32 = 5123, 5125, 5126
VERTEX_BUFFER, INDEX_BUFFER = 34962, 34963
UINT16_VERTICES = 65535  # index 65535 itself means "restart the primitive" and must not be used


def write(meshes: Sequence[Mesh]) -> bytes:
    """A .glb file; the same meshes give the same bytes. No meshes give a valid file with an empty root node."""
    buffer = _Buffer()
    document: dict[str, Any] = {
        "asset": {
            "version": "2.0",
            "generator": "DepthHMR bodykit",
            "extras": {"units": UNITS, "frame": "+y up, camera looks along -z", "source_frame": FRAME},
        },
        "scene": 0,
        "scenes": [{"name": "scene", "nodes": [0]}],
        "nodes": [{"name": "people"}, *({"name": mesh.name, "mesh": i} for i, mesh in enumerate(meshes))],
    }
    if meshes:
        document["nodes"][0]["children"] = list(range(1, len(meshes) + 1))
        document["meshes"] = [_mesh(mesh, i, buffer) for i, mesh in enumerate(meshes)]
        document["materials"] = [_material(mesh) for mesh in meshes]
        document |= {"accessors": buffer.accessors, "bufferViews": buffer.views}
        document["buffers"] = [{"byteLength": len(buffer.data)}]
    return _pack(document, bytes(buffer.data))


class _Buffer:
    """The one binary blob with its views and accessors."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self._indices: dict[bytes, int] = {}

    def vectors(self, values: np.ndarray, *, bounds: bool) -> int:
        """Appends float32[V, 3]; returns the accessor. Positions must carry their bounds."""
        limits = {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()} if bounds else {}
        return self._append(values.astype("<f4"), VERTEX_BUFFER, FLOAT32, "VEC3", len(values), **limits)

    def indices(self, faces: np.ndarray, vertex_count: int) -> int:
        """Appends the faces, or finds them again: people share one topology, which saves 80 kB for each."""
        small = vertex_count <= UINT16_VERTICES
        packed = faces.astype("<u2" if small else "<u4")
        key = packed.tobytes()
        if key not in self._indices:
            kind = UINT16 if small else UINT32
            self._indices[key] = self._append(packed, INDEX_BUFFER, kind, "SCALAR", packed.size)
        return self._indices[key]

    def _append(self, array: np.ndarray, target: int, component: int, kind: str, count: int, **limits: Any) -> int:
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes, "target": target}
        assert view["byteOffset"] % ALIGNMENT == 0, f"buffer view starts at byte {view['byteOffset']}, not aligned"
        self.views.append(view)
        self.accessors.append(
            {"bufferView": len(self.views) - 1, "componentType": component, "count": count, "type": kind} | limits
        )
        self.data += array.tobytes()
        self.data += b"\0" * (-len(self.data) % ALIGNMENT)
        return len(self.accessors) - 1


def _mesh(mesh: Mesh, material: int, buffer: _Buffer) -> dict[str, Any]:
    attributes = {
        "POSITION": buffer.vectors(mesh.vertices * CAMERA_TO_GLTF, bounds=True),
        "NORMAL": buffer.vectors(mesh.normals * CAMERA_TO_GLTF, bounds=False),
    }
    indices = buffer.indices(mesh.faces, len(mesh.vertices))
    return {"name": mesh.name, "primitives": [{"attributes": attributes, "indices": indices, "material": material}]}


def _material(mesh: Mesh) -> dict[str, Any]:
    colour = np.asarray(mesh.colour) / 255
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)  # glTF factors are linear
    surface = {"baseColorFactor": [*linear.round(6).tolist(), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}
    return {"name": mesh.name, "pbrMetallicRoughness": surface}


def _pack(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    chunks = [_chunk(JSON_CHUNK, text, b" ")]
    if binary:
        chunks.append(_chunk(BINARY_CHUNK, binary, b"\0"))
    body = b"".join(chunks)
    return struct.pack("<3I", MAGIC, VERSION, 12 + len(body)) + body


def _chunk(kind: int, data: bytes, filler: bytes) -> bytes:
    data += filler * (-len(data) % ALIGNMENT)
    return struct.pack("<2I", len(data), kind) + data
