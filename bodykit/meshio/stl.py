"""Binary STL: all people in one mesh. Its readers are slicers and CAD programs: z is up, and the unit is a millimetre."""

from collections.abc import Sequence

import numpy as np

from bodykit.meshio.mesh import Mesh
from bodykit.meshio.zup import CAMERA_TO_Z_UP

TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
HEADER = b"people by DepthHMR; millimetres, z up, y away from the camera at the origin"  # must not begin with "solid"
MILLIMETRES = 1000.0


def write(meshes: Sequence[Mesh]) -> bytes:
    """A binary .stl file. STL has neither names nor shared vertices."""
    triangles = np.concatenate([np.zeros(0, TRIANGLE), *(_triangles(mesh) for mesh in meshes)])
    return HEADER.ljust(80, b" ") + np.uint32(len(triangles)).tobytes() + triangles.tobytes()


def _triangles(mesh: Mesh) -> np.ndarray:
    corners = (mesh.vertices @ CAMERA_TO_Z_UP.T * MILLIMETRES)[mesh.faces]  # [F, 3 corners, 3]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(across, axis=1, keepdims=True)
    rows = np.zeros(len(corners), TRIANGLE)
    rows["corners"], rows["normal"] = corners, across / np.where(length > 0, length, 1)  # 0 for one without area
    return rows
