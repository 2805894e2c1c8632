"""Mesh files: one module per format, each with a function `write` that returns the bytes of a file."""

from collections.abc import Callable, Sequence

from bodykit.meshio import glb, obj, ply, stl
from bodykit.meshio.mesh import Mesh

# Formats of meshes alone, which any number of people share.
WRITERS: dict[str, Callable[[Sequence[Mesh]], bytes]] = {
    "glb": glb.write,
    "obj": obj.write,
    "ply": ply.write,
    "stl": stl.write,
}

__all__ = ["WRITERS", "Mesh"]
