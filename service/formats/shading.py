"""Lighting and blending of the overlay in one pass over the covered pixels. Compiled by numba."""

import numpy as np

from bodykit.kernels import kernel

# Direction towards the light in the camera frame: above, left and behind the photographer, as in most photos.
LIGHT = np.array([-0.40, -0.55, -0.73], dtype=np.float32)
SHADOW = 0.30  # brightness of a surface facing away from the light
HIGHLIGHT = 0.16  # white added where the surface reflects the light towards the camera


@kernel(
    "void(uint8[:, :, ::1], int32[:, ::1], float32[:, :, ::1], int32[:, ::1], float32[:, ::1], uint8[:, ::1], float64)",
    nogil=True,
    fastmath=True,
)
def blend(
    image: np.ndarray,
    face: np.ndarray,
    bary: np.ndarray,
    triangles: np.ndarray,
    normals: np.ndarray,
    colours: np.ndarray,
    opacity: float,
) -> None:
    """Blends shaded people into `image`, in place.

    image: uint8[H, W, 3]; face: int32[H, W], -1 without a person; bary: float32[H, W, 3]; triangles: int32[P * F, 3];
    normals: float32[P * V, 3]; colours: uint8[P, 3]. Silhouettes fade inwards: each uncovered one of a pixel's eight
    neighbours takes a sixth of its weight, so a straight edge takes half. Pixels outside the image count as covered.
    """
    height, width = face.shape
    faces_per_person = len(triangles) // len(colours)
    for y in range(height):
        for x in range(width):
            triangle = face[y, x]
            if triangle < 0:
                continue
            uncovered = 0
            for row in range(max(y - 1, 0), min(y + 2, height)):
                for column in range(max(x - 1, 0), min(x + 2, width)):
                    uncovered += face[row, column] < 0
            nx, ny, nz = 0.0, 0.0, 0.0
            for corner in range(3):
                normal = normals[triangles[triangle, corner]]
                weight = bary[y, x, corner]
                nx += weight * normal[0]
                ny += weight * normal[1]
                nz += weight * normal[2]
            length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            lit = (nx * LIGHT[0] + ny * LIGHT[1] + nz * LIGHT[2]) / length
            wrapped = 0.5 + 0.5 * lit  # half-Lambert: the shadow side stays modelled
            shade = SHADOW + (1 - SHADOW) * wrapped * wrapped
            shine = 255 * HIGHLIGHT * max(lit, 0.0) ** 12
            alpha = opacity * max(0.0, 1 - uncovered / 6)
            colour = colours[triangle // faces_per_person]
            for channel in range(3):
                painted = min(colour[channel] * shade + shine, 255.0)
                image[y, x, channel] = np.uint8(image[y, x, channel] * (1 - alpha) + painted * alpha + 0.5)
