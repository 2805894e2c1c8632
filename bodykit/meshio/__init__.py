"""Mesh files: one module per format, each with `write(meshes) -> bytes`."""

from collections.abc import Callable, Sequence

from bodykit.meshio import glb, obj, ply
from bodykit.meshio.mesh import Mesh

WRITERS: dict[str, Callable[[Sequence[Mesh]], bytes]] = {"glb": glb.write, "obj": obj.write, "ply": ply.write}

__all__ = ["WRITERS", "Mesh"]
