"""Wavefront OBJ: text, one object per person, camera coordinates. Without colours, which would need a second file."""

from collections.abc import Sequence

import numpy as np

from bodykit.meshio.mesh import FRAME, UNITS, Mesh


def write(meshes: Sequence[Mesh]) -> bytes:
    """An .obj file with vertices to a micrometre, normals and one-based faces."""
    parts = [f"# frame: {FRAME}\n# units: {UNITS}\n# people: {len(meshes)}\n"]
    first = 1
    for mesh in meshes:
        parts += [
            f"o {'_'.join(mesh.name.split()) or 'mesh'}\n",
            _lines("v %.6f %.6f %.6f\n", mesh.vertices),
            _lines("vn %.4f %.4f %.4f\n", mesh.normals),
            _lines("f %d//%d %d//%d %d//%d\n", np.repeat(mesh.faces + first, 2, axis=1)),
        ]
        first += len(mesh.vertices)
    return "".join(parts).encode()


def _lines(pattern: str, rows: np.ndarray) -> str:
    # One format operation for the whole block is four times faster than a loop over its rows.
    return (pattern * len(rows)) % tuple(rows.ravel().tolist())
