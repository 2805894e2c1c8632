"""The overlay draws people only, nearer ones in front."""

import subprocess
import sys

import numpy as np
import pytest

from bodykit.camera import Intrinsics
from bodykit.palette import person_colours
from service.formats.overlay import draw_overlay, paint_overlay

CAMERA = Intrinsics(fx=100, fy=100, cx=40, cy=30)
FACES = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)


def square(*, x: float = 0.0, z: float = 2.0, half: float = 0.2) -> np.ndarray:
    """A square that faces the camera; at 2 m it covers 20 x 20 pixels around the centre of the picture."""
    corners = [(-half, -half), (-half, half), (half, half), (half, -half)]
    return np.array([(x + dx, dy, z) for dx, dy in corners], dtype=np.float32)


def grey_photo() -> np.ndarray:
    return np.full((60, 80, 3), 90, dtype=np.uint8)


def test_only_the_pixels_of_a_person_change():
    photo = grey_photo()

    painted = draw_overlay(photo, square()[None], FACES, CAMERA)

    changed = (painted != photo).any(axis=2)
    assert changed[21:39, 31:49].all()
    changed[20:40, 30:50] = False
    assert not changed.any()
    assert (photo == 90).all()  # the photo itself is unchanged


def test_the_nearer_person_covers_the_farther_one_in_any_order():
    near, far = square(z=2.0), square(z=3.0, half=0.9)
    colours = np.array([[255, 0, 0], [0, 0, 255]], dtype=np.uint8)

    first = draw_overlay(grey_photo(), np.stack([near, far]), FACES, CAMERA, colours=colours)
    second = draw_overlay(grey_photo(), np.stack([far, near]), FACES, CAMERA, colours=colours[::-1])

    assert np.array_equal(first, second)
    assert first[30, 40, 0] > first[30, 40, 2]  # red in the centre
    assert first[30, 15, 2] > first[30, 15, 0]  # blue around it


def test_a_silhouette_fades_at_its_edge_but_not_at_the_border_of_the_photo():
    photo = grey_photo()

    painted = draw_overlay(photo, square(x=-0.7)[None], FACES, CAMERA).astype(int)  # cut off on the left

    strength = np.abs(painted - photo).sum(axis=2)
    assert 0 < strength[30, 14] < strength[30, 8]
    assert strength[30, 0] == strength[30, 8]


def test_a_photo_painted_in_bands_looks_like_one_painted_at_once():
    people = np.stack([square(half=0.5), square(x=-0.3, z=1.5)])
    whole, banded = grey_photo(), grey_photo()

    paint_overlay(whole, people, FACES, CAMERA)
    paint_overlay(banded, people, FACES, CAMERA, band_pixels=7 * 80)

    assert (whole != grey_photo()).any() and np.array_equal(whole, banded)


def test_a_person_outside_the_picture_or_behind_the_camera_changes_nothing():
    photo = grey_photo()

    painted = draw_overlay(photo, np.stack([square(x=50.0), square(z=-2.0)]), FACES, CAMERA)

    assert np.array_equal(painted, photo)


def test_no_people_give_the_photo_back():
    photo = grey_photo()

    assert np.array_equal(draw_overlay(photo, np.zeros((0, 4, 3), dtype=np.float32), FACES, CAMERA), photo)


def test_people_have_distinct_colours_that_repeat():
    colours = person_colours(10)

    assert len(np.unique(colours[:8], axis=0)) == 8
    assert np.array_equal(colours[8], colours[0])


@pytest.mark.parametrize(
    ("image", "vertices", "complaint"),
    [
        (np.zeros((4, 4), dtype=np.uint8), np.zeros((1, 4, 3)), "expected an image"),
        (np.zeros((4, 4, 3)), np.zeros((1, 4, 3)), "got float64"),
        (np.zeros((4, 4, 3), dtype=np.uint8), np.zeros((4, 3)), "expected vertices"),
    ],
)
def test_wrong_arrays_are_named(image, vertices, complaint):
    with pytest.raises(ValueError, match=complaint):
        draw_overlay(image, vertices, FACES, CAMERA)


def test_importing_the_overlay_does_not_import_numba():
    code = "import sys, service.formats.overlay; sys.exit('numba' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
