"""A z-buffer: triangle, depth and barycentric position for every pixel. Single-threaded numba, no graphics library.

Shading comes later and from the `Raster`: most pixels are empty, and each covered one is shaded once.
"""

from dataclasses import dataclass

import numpy as np

from bodykit.camera import NEAR_M, Intrinsics
from bodykit.kernels import kernel


@dataclass(frozen=True)
class Raster:
    """What the camera sees at each pixel centre of an image of H x W pixels."""

    face: np.ndarray  # [H, W] int32 row of `faces`, -1 for background
    depth: np.ndarray  # [H, W] float32 z in metres, 0 for background
    bary: np.ndarray  # [H, W, 3] float32 perspective-correct shares of the three corners, 0 for background

    def interpolate(self, attributes: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Vertex attributes [N, C] at every covered pixel, [pixels, C], in the order of `face[face >= 0]`."""
        covered = self.face >= 0
        corners = attributes[faces[self.face[covered]]]
        return np.einsum("pk,pkc->pc", self.bary[covered], corners)


def rasterise(
    vertices: np.ndarray, faces: np.ndarray, intrinsics: Intrinsics, height: int, width: int, *, cull: bool = False
) -> Raster:
    """Draws a mesh: vertices [N, 3] in the camera frame (metres), faces [M, 3], into an image of height x width pixels.

    The nearest surface wins; at equal depth the earlier face. `cull` skips back faces, which a closed mesh hides
    anyway. Triangles with a corner closer than `NEAR_M` to the camera plane are left out, not clipped.
    """
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(
            f"expected vertices [N, 3] and faces [M, 3], got {list(vertices.shape)} and {list(faces.shape)}"
        )
    if height < 1 or width < 1:
        raise ValueError(f"expected an image of at least 1 x 1 pixels, got {height} x {width}")
    if len(faces) and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise ValueError(f"faces must point at vertices 0..{len(vertices) - 1}, got {faces.min()}..{faces.max()}")
    faces = np.ascontiguousarray(faces, np.int32)
    points = project(
        np.ascontiguousarray(vertices, np.float32), intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
    )
    face = np.full((height, width), -1, np.int32)
    inverse_depth = np.zeros((height, width), np.float32)
    draw(points, faces, 0, cull, face, inverse_depth)
    depth, bary = resolve(points, faces, face, inverse_depth)
    return Raster(face, depth, bary)


@kernel("float64[:, ::1](float32[:, ::1], float64, float64, float64, float64)", nogil=True, error_model="numpy")
def project(vertices, fx, fy, cx, cy):
    """Camera points [N, 3] -> float64 [N, 3]: pixel x, pixel y and 1/z; all zero for points closer than `NEAR_M`."""
    points = np.zeros((vertices.shape[0], 3), np.float64)
    for i in range(vertices.shape[0]):
        z = vertices[i, 2]
        if z > NEAR_M:
            points[i, 0] = fx * vertices[i, 0] / z + cx
            points[i, 1] = fy * vertices[i, 1] / z + cy
            points[i, 2] = 1.0 / z
    return points


@kernel(
    "void(float64[:, ::1], int32[:, ::1], int64, boolean, int32[:, ::1], float32[:, ::1])",
    nogil=True,
    error_model="numpy",
)
def draw(points, faces, first, cull, face, inverse_depth):
    """Draws faces of projected points into buffers `face` [H, W] (as `first` + row) and `inverse_depth` [H, W].

    The buffers may hold an earlier drawing: nearer surfaces replace it.
    """
    height, width = face.shape
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        az, bz, cz = points[a, 2], points[b, 2], points[c, 2]
        if az == 0 or bz == 0 or cz == 0:
            continue
        ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # counter-clockwise from outside in a frame with y down: faces towards the camera have negative area
        if area == 0 or (cull and area > 0):
            continue
        left = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        right = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        top = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
        bottom = min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        if left > right or top > bottom:
            continue
        scale = 1.0 / area
        step_b, step_c = (cy - ay) * scale, -(by - ay) * scale
        for row in range(top, bottom + 1):
            y = row + 0.5 - ay
            x = left + 0.5 - ax
            share_b = (x * (cy - ay) - y * (cx - ax)) * scale
            share_c = ((bx - ax) * y - (by - ay) * x) * scale
            for column in range(left, right + 1):
                share_a = 1.0 - share_b - share_c
                if share_a >= 0 and share_b >= 0 and share_c >= 0:
                    near = np.float32(share_a * az + share_b * bz + share_c * cz)
                    if near > inverse_depth[row, column]:
                        inverse_depth[row, column] = near
                        face[row, column] = first + t
                share_b += step_b
                share_c += step_c


@kernel(
    "UniTuple(float64, 3)(float64[:, ::1], int32, int32, int32, float64, float64)",
    nogil=True,
    error_model="numpy",
)
def shares_at(points, a, b, c, x, y):
    """Perspective-correct shares of the corners a, b, c of a projected triangle at the pixel position x, y."""
    ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
    scale = 1.0 / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
    share_b = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) * scale
    share_c = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * scale
    near_a, near_b, near_c = (1.0 - share_b - share_c) * points[a, 2], share_b * points[b, 2], share_c * points[c, 2]
    total = near_a + near_b + near_c
    return near_a / total, near_b / total, near_c / total


@kernel(
    "Tuple((float32[:, ::1], float32[:, :, ::1]))(float64[:, ::1], int32[:, ::1], int32[:, ::1], float32[:, ::1])",
    nogil=True,
    error_model="numpy",
)
def resolve(points, faces, face, inverse_depth):
    """Depth [H, W] and perspective-correct shares [H, W, 3] of what `draw` left in the buffers."""
    height, width = face.shape
    depth = np.zeros((height, width), np.float32)
    bary = np.zeros((height, width, 3), np.float32)
    for row in range(height):
        for column in range(width):
            t = face[row, column]
            if t >= 0:
                depth[row, column] = 1.0 / inverse_depth[row, column]
                shares = shares_at(points, faces[t, 0], faces[t, 1], faces[t, 2], column + 0.5, row + 0.5)
                bary[row, column, 0] = shares[0]
                bary[row, column, 1] = shares[1]
                bary[row, column, 2] = shares[2]
    return depth, bary


@kernel("float32[:, ::1](float32[:, ::1], int32[:, ::1])", nogil=True, error_model="numpy")
def vertex_normals(vertices, faces):
    """Unit normals [N, 3] of a mesh, each the mean of its faces' normals weighted by area; 0 for unused vertices."""
    normals = np.zeros_like(vertices)
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        wx, wy, wz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        x, y, z = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for corner in (a, b, c):
            normals[corner, 0] += x
            normals[corner, 1] += y
            normals[corner, 2] += z
    for i in range(vertices.shape[0]):
        length = np.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2)
        if length > 0:
            normals[i, 0] /= length
            normals[i, 1] /= length
            normals[i, 2] /= length
    return normals
