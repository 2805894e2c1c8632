"""Binary glTF 2.0: one node and one mesh per person under a single root. Knows nothing of bodies or images.

The only format that leaves camera coordinates: people stand upright, the camera of the photo sits at the origin.
"""

from collections.abc import Sequence
from typing import Any

from bodykit.camera import PhotoCamera
from bodykit.meshio.gltf import CAMERA_TO_GLTF, Buffer, asset, material, pack, with_camera
from bodykit.meshio.mesh import Mesh


def write(meshes: Sequence[Mesh], camera: PhotoCamera | None = None) -> bytes:
    """A .glb file; the same meshes give the same bytes. No meshes give a valid file with an empty root node.

    `camera` is the photo's: through it the people cover themselves in the photo.
    """
    buffer = Buffer()
    document: dict[str, Any] = {
        "asset": asset(),
        "scene": 0,
        "scenes": [{"name": "scene", "nodes": [0]}],
        "nodes": [{"name": "people"}, *({"name": mesh.name, "mesh": i} for i, mesh in enumerate(meshes))],
    }
    if meshes:
        document["nodes"][0]["children"] = list(range(1, len(meshes) + 1))
        document["meshes"] = [_mesh(mesh, i, buffer) for i, mesh in enumerate(meshes)]
        document["materials"] = [material(mesh.name, mesh.colour) for mesh in meshes]
    return pack(with_camera(document, camera), buffer)


def _mesh(mesh: Mesh, index: int, buffer: Buffer) -> dict[str, Any]:
    attributes = {
        "POSITION": buffer.vectors(mesh.vertices * CAMERA_TO_GLTF, bounds=True),
        "NORMAL": buffer.vectors(mesh.normals * CAMERA_TO_GLTF, bounds=False),
    }
    indices = buffer.indices(mesh.faces, len(mesh.vertices))
    return {"name": mesh.name, "primitives": [{"attributes": attributes, "indices": indices, "material": index}]}
