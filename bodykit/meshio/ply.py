"""Binary PLY: all people in one mesh, camera coordinates. A comment per person gives their range of vertices."""

from collections.abc import Sequence

import numpy as np

from bodykit.meshio.mesh import FRAME, UNITS, Mesh

VERTEX = np.dtype([("position", "<f4", 3), ("normal", "<f4", 3), ("colour", "u1", 3)])
FACE = np.dtype([("count", "u1"), ("index", "<i4", 3)])


def write(meshes: Sequence[Mesh]) -> bytes:
    """A little-endian binary .ply file with normals and vertex colours."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    vertices = np.concatenate([np.zeros(0, VERTEX), *(_vertices(mesh) for mesh in meshes)])
    placed = list(zip(meshes, starts[:-1], strict=True))
    faces = np.concatenate([np.zeros(0, FACE), *(_faces(mesh, start) for mesh, start in placed)])
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment frame: {FRAME}",
        f"comment units: {UNITS}",
        *(
            f"comment vertices {start} to {start + len(mesh.vertices) - 1}: {' '.join(mesh.name.split())}"
            for mesh, start in placed
        ),
        f"element vertex {len(vertices)}",
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    return "\n".join(header).encode("ascii", "replace") + vertices.tobytes() + faces.tobytes()


def _vertices(mesh: Mesh) -> np.ndarray:
    rows = np.empty(len(mesh.vertices), VERTEX)
    rows["position"], rows["normal"], rows["colour"] = mesh.vertices, mesh.normals, mesh.colour
    return rows


def _faces(mesh: Mesh, start: int) -> np.ndarray:
    rows = np.empty(len(mesh.faces), FACE)
    rows["count"], rows["index"] = 3, mesh.faces + start
    return rows
