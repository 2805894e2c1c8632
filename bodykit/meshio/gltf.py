"""The parts of a binary glTF 2.0 file: one blob with views and accessors, materials, two chunks.

Layout and enumerations: glTF 2.0 specification, Khronos Group, sections 3.6 and 4.4. Knows nothing of scenes or people.
"""

import json
import math
import struct
from typing import Any

import numpy as np

from bodykit.camera import NEAR_M, PhotoCamera
from bodykit.meshio.mesh import FRAME, UNITS

# glTF has +y up and looks along -z, so y and z change sign: half a turn about x, which keeps faces counter-clockwise.
CAMERA_TO_GLTF = np.array([1, -1, -1], dtype=np.float32)

MAGIC, VERSION = 0x46546C67, 2  # "glTF"
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942  # "JSON", "BIN\0"
ALIGNMENT = 4  # bytes; of both chunks and of every buffer view
UINT8, UINT16, UINT32, FLOAT32 = 5121, 5123, 5125, 5126
FAR_M = 1000.0  # without an end, Blender's camera sees 10^12 m far and has no precision left in depth
VERTEX_BUFFER, INDEX_BUFFER = 34962, 34963
UINT16_VERTICES = 65535  # index 65535 itself means "restart the primitive" and must not be used


class Buffer:
    """The one binary blob with its views and accessors."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self._known: dict[tuple[bytes, str], int] = {}

    def vectors(self, values: np.ndarray, *, bounds: bool) -> int:
        """Appends float32[V, 3]; returns the accessor. Positions must carry their bounds."""
        return self.floats(values, "VEC3", target=VERTEX_BUFFER, bounds=bounds)

    def floats(self, values: np.ndarray, kind: str, *, target: int | None = None, bounds: bool = False) -> int:
        """Appends float32 values, one row per element; returns the accessor. Times of keyframes must carry bounds."""
        packed = np.ascontiguousarray(values, "<f4")
        limits = {}
        if bounds:
            rows = packed.reshape(len(packed), -1)
            limits = {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        return self._append(packed, target, FLOAT32, kind, len(packed), **limits)

    def indices(self, faces: np.ndarray, vertex_count: int) -> int:
        """Appends the faces, or finds them again: people share one topology, which saves 80 kB for each."""
        small = vertex_count <= UINT16_VERTICES
        packed = faces.astype("<u2" if small else "<u4")
        return self.shared(packed, "SCALAR", UINT16 if small else UINT32, packed.size, target=INDEX_BUFFER)

    def shared(self, packed: np.ndarray, kind: str, component: int, count: int, *, target: int | None = None) -> int:
        """Appends data in its final type, unless the same was appended before."""
        key = packed.tobytes(), kind
        if key not in self._known:
            self._known[key] = self._append(packed, target, component, kind, count)
        return self._known[key]

    def parts(self) -> dict[str, Any]:
        """Its share of the document."""
        if not self.data:
            return {}
        return {
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.data)}],
        }

    def _append(
        self, array: np.ndarray, target: int | None, component: int, kind: str, count: int, **limits: Any
    ) -> int:
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        if target is not None:
            view["target"] = target
        assert view["byteOffset"] % ALIGNMENT == 0, f"buffer view starts at byte {view['byteOffset']}, not aligned"
        self.views.append(view)
        self.accessors.append(
            {"bufferView": len(self.views) - 1, "componentType": component, "count": count, "type": kind} | limits
        )
        self.data += array.tobytes()
        self.data += b"\0" * (-len(self.data) % ALIGNMENT)
        return len(self.accessors) - 1


def asset() -> dict[str, Any]:
    """The generator of the file, and the meaning of its numbers."""
    return {
        "version": "2.0",
        "generator": "DepthHMR bodykit",
        "extras": {"units": UNITS, "frame": "+y up, camera looks along -z", "source_frame": FRAME},
    }


def camera(photo: PhotoCamera) -> dict[str, Any]:
    """The photo's camera, for a node at the origin without a turn.

    glTF knows no principal point: the numbers of `extras` say where it is, in pixels of the photo.
    """
    lens = photo.intrinsics
    return {
        "name": "photo",
        "type": "perspective",
        "perspective": {
            "yfov": 2 * math.atan(photo.height / (2 * lens.fy)),
            "aspectRatio": photo.width / photo.height * lens.fy / lens.fx,
            "znear": NEAR_M,
            "zfar": FAR_M,
        },
        "extras": {
            "fx": lens.fx,
            "fy": lens.fy,
            "cx": lens.cx,
            "cy": lens.cy,
            "width": photo.width,
            "height": photo.height,
        },
    }


def with_camera(document: dict[str, Any], photo: PhotoCamera | None) -> dict[str, Any]:
    """The document with a node for the photo's camera, if there is one."""
    if photo is None:
        return document
    document["cameras"] = [camera(photo)]
    document["scenes"][0]["nodes"].append(len(document["nodes"]))
    document["nodes"].append({"name": "photo_camera", "camera": 0})
    return document


def material(name: str, colour: tuple[int, int, int]) -> dict[str, Any]:
    """A matt surface of an sRGB colour."""
    surface = {"baseColorFactor": [*linear(colour).tolist(), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}
    return {"name": name, "pbrMetallicRoughness": surface}


def linear(colour: tuple[int, int, int]) -> np.ndarray:
    """[3] linear light, 0 to 1, of an sRGB colour: glTF and USD have factors in linear light."""
    share = np.asarray(colour) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4).round(6)


def pack(document: dict[str, Any], buffer: Buffer) -> bytes:
    """The .glb file."""
    text = json.dumps(document | buffer.parts(), separators=(",", ":"), allow_nan=False).encode()
    chunks = [_chunk(JSON_CHUNK, text, b" ")]
    if buffer.data:
        chunks.append(_chunk(BINARY_CHUNK, bytes(buffer.data), b"\0"))
    body = b"".join(chunks)
    return struct.pack("<3I", MAGIC, VERSION, 12 + len(body)) + body


def _chunk(kind: int, data: bytes, filler: bytes) -> bytes:
    data += filler * (-len(data) % ALIGNMENT)
    return struct.pack("<2I", len(data), kind) + data
