"""Outlines: the area of a person's whole silhouette, and the shadow of a mesh on the floor."""

import numpy as np
from numba import njit

from bodykit.camera import NEAR_M
from bodykit.raster import draw, project

SILHOUETTE = 48  # pixels across the raster that measures a silhouette


def coarse_faces(rest: np.ndarray, faces: np.ndarray, cell: float = 0.04) -> np.ndarray:
    """Fewer faces over the same vertices: all vertices in a cube of `cell` metres become the one nearest to their mean.

    A fifth of the faces; the outline of the body moves by less than a cube.
    """
    cube = np.floor(rest / cell).astype(np.int64)
    _, cluster = np.unique(cube, axis=0, return_inverse=True)
    cluster = cluster.ravel()
    mean = np.stack([np.bincount(cluster, rest[:, axis]) for axis in range(3)], axis=1) / np.bincount(cluster)[:, None]
    order = np.lexsort((np.linalg.norm(rest - mean[cluster], axis=1), cluster))
    first = np.searchsorted(cluster[order], np.arange(len(mean)))
    merged = order[first][cluster][faces]
    a, b, c = merged.T
    kept = merged[(a != b) & (b != c) & (c != a)]
    return np.unique(kept, axis=0).astype(np.int32)


@njit(cache=True, nogil=True, error_model="numpy")
def silhouette(points, bare, body, sheets, box):
    """Area in square pixels of the outline of the faces `body` and `sheets`.

    Fills box [4] with the bounds of the first `bare` points and of the sheets. points [V, 3] are projected (x, y, 1/z)
    and are overwritten.
    """
    low_x, low_y, high_x, high_y = np.inf, np.inf, -np.inf, -np.inf
    for i in range(bare + 3 * sheets.shape[0]):
        point = points[i if i < bare else sheets[(i - bare) // 3, (i - bare) % 3]]
        if point[2] > 0:
            low_x, high_x = min(low_x, point[0]), max(high_x, point[0])
            low_y, high_y = min(low_y, point[1]), max(high_y, point[1])
    if low_x > high_x:
        return 0.0
    box[0], box[1], box[2], box[3] = low_x, low_y, high_x, high_y
    cell = max(high_x - low_x, high_y - low_y) / SILHOUETTE + 1e-9
    for i in range(points.shape[0]):
        points[i, 0] = (points[i, 0] - low_x) / cell
        points[i, 1] = (points[i, 1] - low_y) / cell
    face = np.full((SILHOUETTE, SILHOUETTE), -1, np.int32)
    near = np.zeros((SILHOUETTE, SILHOUETTE), np.float32)
    draw(points, body, 0, True, face, near)
    draw(points, sheets, 0, False, face, near)
    return (face >= 0).sum() * cell * cell


@njit(cache=True, nogil=True, error_model="numpy")
def cast(vertices, faces, toward, down, ground, lens, stencil):
    """Writes 255 into stencil [H, W], a picture of half the resolution, where the mesh casts a shadow on the floor.

    vertices [V, 3], `toward` (to the light) and `down` in the camera frame; the floor is `ground` metres down.
    """
    flat = np.empty_like(vertices)
    fall = toward[0] * down[0] + toward[1] * down[1] + toward[2] * down[2]
    for i in range(vertices.shape[0]):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        step = (x * down[0] + y * down[1] + z * down[2] - ground) / fall
        flat[i, 0] = x - step * toward[0]
        flat[i, 1] = y - step * toward[1]
        flat[i, 2] = max(z - step * toward[2], NEAR_M * 0.5)
    points = project(flat, lens[0] * 0.5, lens[1] * 0.5, lens[2] * 0.5, lens[3] * 0.5)
    face = np.full(stencil.shape, -1, np.int32)
    draw(points, faces, 0, False, face, np.zeros(stencil.shape, np.float32))
    for row in range(stencil.shape[0]):
        for column in range(stencil.shape[1]):
            if face[row, column] >= 0:
                stencil[row, column] = 255
