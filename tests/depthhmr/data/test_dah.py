"""Depth around humans: isolated by meshes, refined by a map where it deserves it, pooled without mixing."""

import numpy as np
import pytest
from scipy import ndimage

from bodykit.body import load_body
from bodykit.camera import Intrinsics
from bodykit.rotations import axis_angle_to_matrix
from depthhmr.data.dah import isolate, pool, refine
from depthhmr.data.dah_sheet import rehearse, sheet

BODY, SIZE = load_body(), 96
CAMERA = Intrinsics(90, 90, 48, 48)
NEAR, FAR = 0, 1
HEAD_TOP = 0.75  # metres above the pelvis


@pytest.fixture(scope="module")
def isolated():
    """Two people who stand upright, 3 m and 5 m away, arms out; the near one's left hand is before the far one's head."""
    rotations = np.tile(np.eye(3, dtype=np.float32), (2, 24, 1, 1))
    rotations[:, 0] = axis_angle_to_matrix(np.array([np.pi, 0, 0]))
    pelvis = np.float32([[-0.5, 0.1, 3], [0.45, 0.1, 5]])
    return isolate(BODY, np.zeros((2, 10), np.float32), rotations, pelvis, CAMERA, SIZE)


def scene(isolated, wall: float = 12.0) -> np.ndarray:
    """True depth of the two before a wall."""
    return np.where(isolated.depth > 0, isolated.depth, wall)


def inverse_map(depth: np.ndarray, scale: float = 37.0, shift: float = 2.5) -> np.ndarray:
    return (scale / depth + shift).astype(np.float32)


def pixel(x: float, y: float, z: float) -> tuple[int, int]:
    """Row and column of a camera point."""
    u, v = CAMERA.project(np.array([x, y, z]))
    return int(v), int(u)


def test_each_pixel_knows_the_nearest_person_and_how_far_she_is(isolated):
    near, far = pixel(-0.5, -0.2, 3), pixel(0.45, -0.2, 5)

    assert (isolated.person[near], isolated.person[far]) == (NEAR, FAR)
    assert isolated.depth[near] == pytest.approx(2.9, abs=0.1) and isolated.depth[far] == pytest.approx(4.9, abs=0.1)
    assert ((isolated.person >= 0) == (isolated.depth > 0)).all() and (
        (isolated.joint >= 0) == (isolated.depth > 0)
    ).all()
    assert isolated.person[2, 2] == -1
    hand = pixel(0.25, -0.34, 3)
    assert isolated.person[hand] == NEAR and isolated.person[hand[0] + 4, hand[1]] == FAR


def test_of_nobody_there_is_no_depth():
    nobody = isolate(BODY, np.zeros((0, 10)), np.zeros((0, 24, 3, 3)), np.zeros((0, 3)), CAMERA, 16)

    assert not nobody.depth.any() and (nobody.person == -1).all()


@pytest.mark.parametrize("inverse", [True, False])
def test_a_true_map_is_found_again_behind_any_scale_and_shift(isolated, inverse):
    true = scene(isolated)
    monocular = inverse_map(true) if inverse else (0.2 * true - 3).astype(np.float32)

    refined = refine(isolated, 2, monocular, inverse=inverse)

    assert refined.trusted.all()
    assert refined.aligned[isolated.depth > 0] == pytest.approx(isolated.depth[isolated.depth > 0], rel=1e-3)
    assert refined.aligned[2, 2] == pytest.approx(12, rel=0.02)
    assert (refined.person == isolated.person).mean() > 0.99
    both = (refined.depth > 0) & (isolated.depth > 0)
    assert refined.depth[both] == pytest.approx(isolated.depth[both], rel=1e-3)


def test_a_third_of_wild_pixels_does_not_move_the_fit(isolated):
    rng = np.random.default_rng(0)
    monocular = inverse_map(scene(isolated))
    wild = rng.random(monocular.shape) < 0.33
    monocular[wild] += rng.uniform(5, 30, wild.sum()).astype(np.float32)

    refined = refine(isolated, 2, monocular, inverse=True)

    calm = (isolated.depth > 0) & ~wild
    assert np.median(np.abs(refined.aligned - isolated.depth)[calm]) < 0.01


@pytest.mark.parametrize("monocular", [np.full((SIZE, SIZE), 3.0), np.full((SIZE, SIZE), np.nan)])
def test_a_map_that_shows_nothing_is_rejected_and_the_meshes_stand(isolated, monocular):
    refined = refine(isolated, 2, monocular, inverse=True)

    assert refined.aligned is None and not refined.trusted.any()
    assert (refined.depth == isolated.depth).all() and (refined.person == isolated.person).all()


def test_a_map_that_runs_the_wrong_way_is_rejected(isolated):
    assert refine(isolated, 2, scene(isolated), inverse=True).aligned is None
    assert refine(isolated, 2, inverse_map(scene(isolated)), inverse=False).aligned is None


def test_a_person_whom_the_map_misplaces_is_fitted_on_her_own(isolated):
    true = scene(isolated)
    shifted = np.where(isolated.person == FAR, true * 1.12, true)

    refined = refine(isolated, 2, inverse_map(shifted), inverse=True)

    far = isolated.person == FAR
    assert refined.trusted.all()
    assert np.median(np.abs(refined.aligned - isolated.depth)[far]) < 0.1


def test_noise_on_one_person_leaves_her_mesh_and_helps_the_other(isolated):
    rng = np.random.default_rng(0)
    true = scene(isolated)
    far = isolated.person == FAR
    true[far] *= rng.uniform(0.5, 2.0, far.sum())

    refined = refine(isolated, 2, inverse_map(true), inverse=True)

    assert refined.trusted.tolist() == [True, False]
    assert (refined.depth[far] == isolated.depth[far]).all()


def test_something_before_a_person_hides_her_there(isolated):
    true = scene(isolated)
    row, column = pixel(-0.5, 0.0, 3)
    true[row - 6 : row + 6, column - 20 : column + 20] = 1.5  # a board, seen by the map alone

    refined = refine(isolated, 2, inverse_map(true), inverse=True)

    board = np.zeros(true.shape, bool)
    board[row - 6 : row + 6, column - 20 : column + 20] = True
    near = isolated.person == NEAR
    assert not refined.depth[board & near].any() and (refined.person[board & near] == -1).all()
    assert (refined.depth[~board & near] > 0).all()


def test_a_person_whom_the_map_bends_is_not_hidden(isolated):
    slope = 1 - 0.35 * np.linspace(0, 1, SIZE)[:, None]  # the lower, the nearer

    refined = refine(isolated, 2, inverse_map(scene(isolated) * slope), inverse=True)

    assert (refined.depth[isolated.depth > 0] > 0).all()


def test_hair_is_added_and_the_floor_at_the_feet_is_not(isolated):
    true = scene(isolated)
    row, column = pixel(-0.5, 0.1 - HEAD_TOP, 3)
    hair = np.zeros(true.shape, bool)
    hair[row - 2 : row + 3, column - 4 : column + 5] = True
    hair &= isolated.depth == 0
    true[hair] = 2.95
    feet = np.flatnonzero((isolated.person == NEAR).any(axis=1))[-1]
    floor = np.zeros(true.shape, bool)
    floor[feet - 1 : feet + 3] = True
    floor &= isolated.depth == 0
    true[floor] = 3.0

    refined = refine(isolated, 2, inverse_map(true), inverse=True)

    assert (refined.person[hair] == NEAR).mean() > 0.9
    assert refined.depth[hair & (refined.person == NEAR)] == pytest.approx(2.95, abs=0.05)
    assert not refined.depth[floor].any()


def test_a_map_without_outlines_adds_nothing(isolated):
    blurred = ndimage.gaussian_filter(1 / scene(isolated, wall=3.05), 8)

    refined = refine(isolated, 2, blurred, inverse=True)

    assert (refined.depth[isolated.depth == 0] > 0).sum() < 40


def test_a_cell_takes_its_nearest_surface_and_never_a_mean():
    rng = np.random.default_rng(0)
    depth = rng.choice([0, 0, 3.0, 3.05, 8.0], (5, 32, 32)).astype(np.float32)
    depth[0, :8, :8] = 0
    depth[0, :8, 8:16] = 8
    depth[0, 3, 9] = 3.0

    cells, share = pool(depth, 8)

    assert cells.shape == share.shape == (5, 4, 4)
    assert set(np.unique(cells).tolist()) <= set(np.unique(depth).tolist())
    assert (cells[0, 0, 0], share[0, 0, 0]) == (0, 0)
    assert (cells[0, 0, 1], share[0, 0, 1]) == (3, 1)
    assert np.isin(cells[1:], np.float32([3, 3.05])).all()  # 3 and 3.05 m are one surface, 8 m is behind it
    assert share[2, 1, 3] == pytest.approx((depth[2, 8:16, 24:] > 0).mean())


def test_a_stride_that_does_not_divide_is_told():
    with pytest.raises(ValueError, match="divides 32 pixels, got 5"):
        pool(np.zeros((32, 32)), 5)


def test_on_rendered_people_the_target_shows_more_of_them_than_meshes_or_map_alone():
    rows, scores = rehearse(BODY, range(20_000_000, 20_000_012), 96)

    fitted, meshes, target = scores.values()
    assert target.overlap > meshes.overlap and target.overlap > fitted.overlap
    assert target.error_m < fitted.error_m
    page = sheet(rows[:2], 8)
    assert page.width > 6 * 96 and page.height > 2 * 96
