"""Augmented samples: the camera and the people follow the pixels."""

from dataclasses import replace

import numpy as np
import pytest

from bodykit.body import load_body
from bodykit.camera import Intrinsics
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_joints
from depthhmr.data.augment import Augment, augment, cover, joint_pixels, mosaic, move, recolour
from depthhmr.data.shards import MAX_PEOPLE

BODY, SIZE = load_body(), 64
NOTHING = Augment(move=0, colour=0, grey=0, cover=0, blur=0, jpeg=0, mosaic=0)


def posed(samples: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """Two people each, with 3D and true 2D joints, under a camera that is neither square nor centred."""
    rng = np.random.default_rng(seed)
    intrinsics = np.float32([[60, 66, 30, 35]] * samples)
    arrays = {
        "rgb": rng.integers(0, 255, (samples, SIZE, SIZE, 3), np.uint8),
        "depth": np.zeros((samples, SIZE, SIZE), np.float16),
        "intrinsics": intrinsics,
        "count": np.full(samples, 2, np.int16),
        "visible": np.ones((samples, MAX_PEOPLE), np.float32),
        "rotations": np.tile(np.eye(3, dtype=np.float32), (samples, MAX_PEOPLE, 24, 1, 1)),
        "betas": rng.normal(size=(samples, MAX_PEOPLE, 10)).astype(np.float32),
        "joints_3d": np.ones((samples, MAX_PEOPLE, 24, 3), np.float32),
        "joints_2d": np.zeros((samples, MAX_PEOPLE, 24, 2), np.float32),
        "known_2d": np.zeros((samples, MAX_PEOPLE, 24), bool),
        "known_3d": np.zeros((samples, MAX_PEOPLE), bool),
        "layer": np.full((samples, MAX_PEOPLE), -1, np.int16),
        "everyone": np.ones(samples, bool),
        "metric": np.ones(samples, bool),
        "known_depth": np.ones(samples, bool),
    }
    arrays["rotations"][:, :2] = axis_angle_to_matrix(rng.normal(0, 0.3, (samples, 2, 24, 3)))
    arrays["rotations"][:, :2, 0] = arrays["rotations"][:, :2, 0] @ np.diag([1.0, -1, -1])
    place = np.stack(
        [rng.uniform(-1, 1, (samples, 2)), rng.uniform(-0.5, 0.5, (samples, 2)), rng.uniform(4, 6, (samples, 2))], -1
    )
    for row in range(samples):
        arrays["joints_3d"][row, :2] = pose_joints(
            BODY, arrays["betas"][row, :2], arrays["rotations"][row, :2], place[row]
        )
        camera = Intrinsics(*(float(value) for value in intrinsics[row]))
        arrays["joints_2d"][row, :2] = camera.project(arrays["joints_3d"][row, :2])
        arrays["known_2d"][row, :2], arrays["known_3d"][row, :2] = True, True
    return arrays


def photos(samples: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """One person each, labelled in 2D alone."""
    arrays = posed(samples, seed)
    arrays["count"][:] = 1
    for name in ("known_3d", "metric", "known_depth", "everyone"):
        arrays[name][:] = False
    arrays["joints_3d"][:] = 1
    arrays["joints_2d"][:, 1:], arrays["known_2d"][:, 1:] = 0, False
    return arrays


def projected(arrays) -> np.ndarray:
    f, c = arrays["intrinsics"][:, None, None, :2], arrays["intrinsics"][:, None, None, 2:]
    return arrays["joints_3d"][:, :2, :, :2] / arrays["joints_3d"][:, :2, :, 2:] * f + c


def test_moved_people_project_onto_their_moved_pixels_and_are_still_posed_by_their_rotations():
    arrays = posed()

    moved = move(arrays, np.radians([15.0, -40, 0]), np.array([1.7, 0.8, 1]), np.array([[-20.0, 5], [3, 8], [4, 0]]))

    assert moved["joints_2d"][:, :2] == pytest.approx(projected(moved), abs=1e-3)
    assert np.abs(moved["joints_2d"][:, :2] - arrays["joints_2d"][:, :2]).max(axis=(1, 2, 3)).min() > 3.9
    again = pose_joints(
        BODY,
        *(moved[name][:, :2].reshape(6, *moved[name].shape[2:]) for name in ("betas", "rotations")),
        moved["joints_3d"][:, :2, 0].reshape(6, 3),
    )
    assert again.reshape(3, 2, 24, 3) == pytest.approx(moved["joints_3d"][:, :2], abs=1e-4)
    assert moved["joints_3d"][..., 2] == pytest.approx(arrays["joints_3d"][..., 2])  # depth along the axis stays


def test_a_bright_spot_and_its_depth_land_where_the_matrix_says():
    arrays = posed(1)
    arrays["rgb"][:] = 0
    arrays["rgb"][0, 20:25, 40:45] = 255
    arrays["depth"][0, 20:25, 40:45] = 3.5
    arrays["joints_2d"][0, 0, 7] = 42.5, 22.5  # its middle

    moved = move(arrays, np.radians([10.0]), np.array([1.2]), np.array([[-6.0, 4.0]]))

    bright = np.argwhere(moved["rgb"][0].min(axis=-1) > 128) + 0.5
    deep = np.argwhere(moved["depth"][0] > 0) + 0.5
    assert bright.mean(axis=0)[::-1] == pytest.approx(moved["joints_2d"][0, 0, 7], abs=0.5)
    assert deep.mean(axis=0)[::-1] == pytest.approx(moved["joints_2d"][0, 0, 7], abs=0.5)
    assert set(np.unique(moved["depth"])) == {0, 3.5}  # nothing between the person and the background
    assert (arrays["depth"] > 0).sum() == 25  # the given arrays stay as they were


def test_who_leaves_the_picture_is_less_visible():
    arrays = posed(1)
    pixels = arrays["joints_2d"][0, 0]
    inside = ((pixels > 0) & (pixels < SIZE)).all(axis=-1)

    moved = move(arrays, np.zeros(1), np.ones(1), np.array([[-np.median(pixels[:, 0]), 0]]))

    after = moved["joints_2d"][0, 0]
    left = (inside & ((after > 0) & (after < SIZE)).all(axis=-1)).sum() / inside.sum()
    assert 0 < left < 1 and moved["visible"][0, 0] == pytest.approx(left)
    assert moved["visible"][0, 2] == 1  # nobody


def test_samples_without_flags_move_as_rendered_ones_do():
    full = posed()
    flags = {"joints_2d", "known_2d", "known_3d", "layer", "everyone", "metric", "known_depth"}
    rendered = {name: values for name, values in full.items() if name not in flags}
    numbers = np.radians([5.0, 6, 7]), np.array([1.1, 1.2, 0.9]), np.ones((3, 2))

    ours, theirs = move(rendered, *numbers), move(full, *numbers)

    assert set(ours) == set(rendered)
    assert all((ours[name] == theirs[name]).all() for name in rendered)


def test_a_joint_without_a_label_stays_without_one():
    arrays = photos(1)
    arrays["joints_2d"][0, 0, 5] = 0

    moved = move(arrays, np.radians([12.0]), np.array([1.3]), np.array([[5.0, 5.0]]))

    assert not moved["joints_2d"][0, 0, 5].any() and moved["joints_2d"][0, 0, 6].any()
    assert not moved["joints_2d"][0, 1:].any()


def test_a_mosaic_holds_several_labelled_people_in_their_own_tiles():
    arrays = photos(5)
    for row in range(5):  # each person's joints are white on a picture of their own colour
        arrays["rgb"][row] = 20 * row
        for x, y in arrays["joints_2d"][row, 0].round().astype(int):
            arrays["rgb"][row, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = 250

    made = mosaic(arrays, np.random.default_rng(1), replace(NOTHING, mosaic=1.0))

    assert set(made["count"].tolist()) <= {2, 4} and (made["count"] >= 2).all()
    assert not made["everyone"].any() and not made["known_3d"].any()
    hits = []
    for row in range(5):
        people = made["count"][row]
        assert made["known_2d"][row, :people].all() and not made["known_2d"][row, people:].any()
        for x, y in made["joints_2d"][row, :people].reshape(-1, 2).astype(int):
            if 0 <= x < SIZE and 0 <= y < SIZE:
                hits.append(made["rgb"][row, y, x].min())
    assert np.mean(np.array(hits) > 100) > 0.9
    assert made["intrinsics"][0] == pytest.approx([55.426, 55.426, 32, 32], abs=1e-3)


def test_pictures_with_anything_known_in_metres_are_never_tiled():
    arrays = posed()
    assert mosaic(arrays, np.random.default_rng(0), replace(NOTHING, mosaic=1.0)) is arrays
    lonely = photos(1)
    assert mosaic(lonely, np.random.default_rng(0), replace(NOTHING, mosaic=1.0)) is lonely


def test_a_patch_hides_pixels_depth_and_joints_alike():
    arrays = posed(6)
    arrays["depth"][:] = 4

    covered = cover(arrays, np.random.default_rng(0), replace(NOTHING, cover=1.0))

    changed = (covered["rgb"] != arrays["rgb"]).any(axis=-1)
    assert changed.any() and (covered["depth"][changed] == 0).all()
    assert (covered["depth"] == 0).mean() < 0.3
    pixels, _ = joint_pixels(covered)
    for row in range(6):
        for who in range(2):
            inside = ((pixels[row, who] > 0) & (pixels[row, who] < SIZE)).all(axis=-1)
            x, y = pixels[row, who][inside].astype(int).T
            assert covered["visible"][row, who] == pytest.approx((covered["depth"][row, y, x] > 0).mean())


def test_colours_change_and_padding_does_not():
    arrays = posed(2)
    arrays["rgb"][:, :16] = 127

    changed = recolour(arrays, np.random.default_rng(0), replace(NOTHING, colour=1, blur=1, jpeg=1))["rgb"]

    assert (changed[:, :16] == 127).all() and (changed[:, 16:] != arrays["rgb"][:, 16:]).mean() > 0.8


def test_everything_together_keeps_people_on_their_pixels_and_is_repeatable():
    arrays = posed(8, seed=3)
    kept = {name: values.copy() for name, values in arrays.items()}

    one = augment(arrays, np.random.default_rng(5), Augment())
    two = augment(arrays, np.random.default_rng(5), Augment())

    assert all((one[name] == two[name]).all() for name in arrays)
    assert all((kept[name] == arrays[name]).all() for name in arrays)
    assert {name: (values.shape, values.dtype) for name, values in one.items()} == {
        name: (values.shape, values.dtype) for name, values in arrays.items()
    }
    assert one["joints_2d"][:, :2] == pytest.approx(projected(one), abs=1e-2)
    assert (one["intrinsics"] != arrays["intrinsics"]).any()


def test_nothing_chosen_changes_nothing():
    arrays = posed()
    same = augment(arrays, np.random.default_rng(0), NOTHING)
    assert all((same[name] == arrays[name]).all() for name in arrays)
