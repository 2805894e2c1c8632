import numpy as np
import pytest

from bodykit.camera import NEAR_M, Intrinsics
from bodykit.raster import rasterise, vertex_normals

CAMERA = Intrinsics(100.0, 100.0, 50.0, 50.0)
TRIANGLE = np.array([[0, 1, 2]], np.int32)


def flat_triangle(depth: float) -> np.ndarray:
    """A triangle that covers the middle of the picture, parallel to it, seen from outside (counter-clockwise)."""
    return np.array([[-0.3, 0.3, 1.0], [0.3, 0.3, 1.0], [0.0, -0.3, 1.0]], np.float32) * depth


def test_a_triangle_covers_the_pixels_whose_centres_lie_inside() -> None:
    raster = rasterise(flat_triangle(2.0), TRIANGLE, CAMERA, 100, 100)

    assert raster.face[50, 50] == 0
    assert raster.face[5, 5] == -1
    # corners at (20, 80), (80, 80), (50, 20): 1800 square pixels
    assert abs(int((raster.face == 0).sum()) - 1800) < 40
    assert raster.depth[50, 50] == pytest.approx(2.0)
    assert not raster.depth[raster.face < 0].any()


def test_the_nearer_of_two_triangles_is_seen() -> None:
    vertices = np.concatenate([flat_triangle(3.0), flat_triangle(2.0)])

    raster = rasterise(vertices, np.array([[0, 1, 2], [3, 4, 5]], np.int32), CAMERA, 100, 100)

    assert set(np.unique(raster.face)) == {-1, 1}


def test_shares_interpolate_positions_on_a_slanted_triangle() -> None:
    vertices = np.array([[-1.0, 0.9, 2.0], [1.5, 0.8, 5.0], [0.1, -1.2, 3.0]], np.float32)

    raster = rasterise(vertices, TRIANGLE, CAMERA, 100, 100)

    rows, columns = np.nonzero(raster.face == 0)
    points = raster.interpolate(vertices, TRIANGLE)
    seen = CAMERA.project(points)
    np.testing.assert_allclose(seen, np.stack([columns, rows], axis=1) + 0.5, atol=0.01)
    np.testing.assert_allclose(points[:, 2], raster.depth[rows, columns], rtol=1e-5)


def test_a_triangle_that_crosses_the_near_plane_is_left_out() -> None:
    vertices = flat_triangle(2.0)
    vertices[2, 2] = NEAR_M / 2

    assert (rasterise(vertices, TRIANGLE, CAMERA, 100, 100).face == -1).all()


def test_culling_hides_faces_seen_from_behind() -> None:
    outward, inward = TRIANGLE, TRIANGLE[:, ::-1]
    cull = {"intrinsics": CAMERA, "height": 100, "width": 100, "cull": True}

    assert (rasterise(flat_triangle(2.0), outward, **cull).face == 0).any()
    assert (rasterise(flat_triangle(2.0), inward, **cull).face == -1).all()


def test_two_triangles_with_a_common_edge_leave_no_gap() -> None:
    vertices = np.array([[-1, 1, 2], [1, 1.1, 3], [1.2, -1, 2], [-1, -1.1, 3]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)

    raster = rasterise(vertices, faces, CAMERA, 100, 100)

    for row in raster.face:
        covered = np.nonzero(row >= 0)[0]
        assert len(covered) == 0 or len(covered) == covered[-1] - covered[0] + 1


def test_normals_point_towards_the_side_from_which_the_face_runs_counter_clockwise() -> None:
    normals = vertex_normals(flat_triangle(1.0), TRIANGLE)

    np.testing.assert_allclose(normals, [[0, 0, -1]] * 3, atol=1e-6)


def test_faces_that_point_at_no_vertex_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vertices 0\.\.2, got 0\.\.3"):
        rasterise(flat_triangle(1.0), np.array([[0, 1, 3]], np.int32), CAMERA, 10, 10)
