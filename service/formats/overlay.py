"""Draws posed people over their photo. Knows nothing of engines, files or HTTP.

`service.formats.shading` and the rasteriser are compiled by numba, so they are imported at the first drawing, not at startup.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bodykit.camera import NEAR_M, Intrinsics
from bodykit.palette import person_colours

OPACITY = 0.75  # clothes and creases show through, so it is visible whether the body fits
BAND_PIXELS = 4_000_000  # drawn at once; a phone's photo is one to three bands


def draw_overlay(
    image: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    intrinsics: Intrinsics,
    *,
    colours: np.ndarray | None = None,
    opacity: float = OPACITY,
) -> np.ndarray:
    """A copy of the photo with shaded people over it, uint8[H, W, 3]. Pixels without a person stay unchanged.

    image: uint8[H, W, 3]; vertices: float[P, V, 3], camera frame, metres; faces: int[F, 3], the closed surface of every
    person, counter-clockwise from outside; colours: uint8[P, 3] sRGB, by default the palette's. Nearer people cover farther
    ones. Raises ValueError for arrays of another shape.
    """
    painted = image.copy()
    paint_overlay(painted, vertices, faces, intrinsics, colours=colours, opacity=opacity)
    return painted


def paint_overlay(
    image: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    intrinsics: Intrinsics,
    *,
    colours: np.ndarray | None = None,
    opacity: float = OPACITY,
    band_pixels: int = BAND_PIXELS,
) -> None:
    """`draw_overlay` in place. Takes 30 bytes for each of `band_pixels`, whatever the size of the photo."""
    _check(image, vertices, faces)
    window = _window(vertices, intrinsics, image.shape[0], image.shape[1])
    if window is None:
        return
    from bodykit.raster import rasterise, vertex_normals
    from service.formats.shading import blend

    rows, columns = window
    people, count = vertices.shape[:2]
    points = np.ascontiguousarray(vertices.reshape(-1, 3), dtype=np.float32)
    first = np.arange(people, dtype=np.int32)[:, None, None] * count
    triangles = (np.asarray(faces, dtype=np.int32) + first).reshape(-1, 3)
    normals = vertex_normals(points, triangles)
    chosen = person_colours(people) if colours is None else np.ascontiguousarray(colours, dtype=np.uint8)
    for band in _bands(rows, max(1, band_pixels // (columns.stop - columns.start))):
        # Silhouette edges depend on the rows above and below; those rows are drawn with their own band.
        wider = slice(max(band.start - 1, rows.start), min(band.stop + 1, rows.stop))
        camera = replace(intrinsics, cx=intrinsics.cx - columns.start, cy=intrinsics.cy - wider.start)
        raster = rasterise(points, triangles, camera, wider.stop - wider.start, columns.stop - columns.start, cull=True)
        part = image[wider, columns].copy()
        blend(part, raster.face, raster.bary, triangles, normals, chosen, opacity)
        image[band, columns] = part[band.start - wider.start : band.stop - wider.start]


def _bands(rows: slice, height: int) -> Iterator[slice]:
    for top in range(rows.start, rows.stop, height):
        yield slice(top, min(top + height, rows.stop))


def _window(vertices: np.ndarray, camera: Intrinsics, height: int, width: int) -> tuple[slice, slice] | None:
    """The rows and columns that people can cover, plus a border of one pixel; None if there are none.

    People are usually small, and clearing 1280 x 720 pixels costs more memory traffic than drawing them.
    """
    visible = vertices[vertices[..., 2] > NEAR_M]
    if not len(visible):
        return None
    if len(visible) < vertices.shape[0] * vertices.shape[1]:
        return slice(0, height), slice(0, width)
    pixels = camera.project(visible)
    low = np.clip(np.floor(pixels.min(axis=0)) - 1, 0, (width, height)).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, (width, height)).astype(int)
    if (high <= low).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _check(image: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected an image uint8[H, W, 3], got {image.dtype}{list(image.shape)}")
    if vertices.ndim != 3 or vertices.shape[2] != 3:
        raise ValueError(f"expected vertices [P, V, 3], got {list(vertices.shape)}")
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"expected faces [F, 3], got {list(faces.shape)}")
