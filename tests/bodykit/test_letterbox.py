import numpy as np
import pytest

from bodykit.camera import Intrinsics
from bodykit.letterbox import PAD_GREY, Letterbox, letterbox

SIZES = [(640, 480), (480, 640), (7, 7), (3000, 1), (1, 3000), (100, 33)]


def picture(width: int, height: int, value: int = 200) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_a_wide_image_is_centred_between_grey_bars():
    square, box = letterbox(picture(64, 32), 16)

    assert square.shape == (16, 16, 3) and square.dtype == np.uint8
    assert (square[:4] == PAD_GREY).all() and (square[12:] == PAD_GREY).all() and (square[4:12] == 200).all()
    assert box.offset == (0, 4)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_to_image_undoes_from_image(width, height):
    box = Letterbox(width, height, 128)
    corners = np.array([[0.0, 0.0], [width, height], [width / 3, height / 5]])

    np.testing.assert_allclose(box.to_image(box.from_image(corners)), corners, atol=1e-9)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_image_corners_land_on_the_corners_of_the_content(width, height):
    box = Letterbox(width, height, 128)
    (left, top), (content_width, content_height) = box.offset, box.content

    x, y = box.from_image(np.array([float(width), float(height)]))

    assert (x, y) == pytest.approx((left + content_width, top + content_height))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_point_projects_to_the_same_place_through_the_letterboxed_camera(width, height):
    camera, box = Intrinsics.from_fov(width, height), Letterbox(width, height, 128)
    point = np.array([0.2, -0.1, 3.0])

    np.testing.assert_allclose(box.intrinsics(camera).project(point), box.from_image(camera.project(point)), atol=1e-6)


def test_a_small_image_is_enlarged():
    square, box = letterbox(picture(4, 2), 16)

    assert box.scale == (4.0, 4.0) and (square[4:12] == 200).all()


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
    ids=["grey", "rgba", "float", "empty"],
)
def test_anything_but_an_rgb_image_is_refused(image):
    with pytest.raises(ValueError, match=r"uint8 image of shape \[H, W, 3\]"):
        letterbox(image, 16)
