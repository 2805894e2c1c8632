"""The surface of one person, ready to be written to a file. Knows no file format."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

FRAME = "camera coordinates, right-handed, x right, y down, z forward"
UNITS = "metres"
PLAIN = (200, 200, 205)  # sRGB, a light neutral grey


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh in camera coordinates (x right, y down, z forward, metres).

    vertices: float32[V, 3]; faces: int32[F, 3], counter-clockwise seen from outside; colour: sRGB, 0-255.
    Raises ValueError for wrong shapes, for no faces, for values that are not finite and for faces that name missing
    vertices: no mesh file can hold any of them.
    """

    vertices: np.ndarray
    faces: np.ndarray
    name: str
    colour: tuple[int, int, int] = PLAIN

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", np.ascontiguousarray(self.vertices, dtype=np.float32))
        object.__setattr__(self, "faces", np.ascontiguousarray(self.faces, dtype=np.int32))
        object.__setattr__(self, "colour", tuple(int(channel) for channel in self.colour))
        self._check()

    @cached_property
    def normals(self) -> np.ndarray:
        """Unit normals of the vertices, float32[V, 3], camera frame; each face counts by its area.

        A vertex without any face of positive area gets the direction to the camera (0, 0, -1): files want unit length.
        """
        from bodykit.raster import vertex_normals  # numba: not imported for files without normals

        normals = vertex_normals(self.vertices, self.faces)
        normals[~normals.any(axis=1)] = (0.0, 0.0, -1.0)
        return normals

    def _check(self) -> None:
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3:
            raise ValueError(f"mesh {self.name!r}: expected vertices [V, 3], got {list(self.vertices.shape)}")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or not len(self.faces):
            raise ValueError(f"mesh {self.name!r}: expected faces [F, 3] with F > 0, got {list(self.faces.shape)}")
        if not np.isfinite(self.vertices).all():
            raise ValueError(f"mesh {self.name!r}: expected finite vertices, got NaN or infinity")
        if self.faces.min() < 0 or self.faces.max() >= len(self.vertices):
            raise ValueError(
                f"mesh {self.name!r}: expected faces that name vertices 0 to {len(self.vertices) - 1}, "
                f"got {self.faces.min()} to {self.faces.max()}"
            )
        if len(self.colour) != 3 or not all(0 <= channel <= 255 for channel in self.colour):
            raise ValueError(f"mesh {self.name!r}: expected a colour of three numbers 0 to 255, got {self.colour}")
