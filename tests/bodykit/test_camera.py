import numpy as np
import pytest

from bodykit.camera import NEAR_M, Intrinsics


def test_default_field_of_view_spans_the_longer_side():
    camera = Intrinsics.from_fov(640, 480)

    u, v = camera.project(np.array([-np.tan(np.radians(30)), 0.0, 1.0]))

    assert (u, v) == pytest.approx((0.0, 240.0))
    assert (camera.cx, camera.cy) == (320.0, 240.0)


def test_portrait_and_landscape_share_one_focal_length():
    assert Intrinsics.from_fov(480, 640).fx == Intrinsics.from_fov(640, 480).fx


@pytest.mark.parametrize("z", [0.04, 0.0, -3.0])
def test_a_point_nearer_than_the_near_limit_is_projected_from_there(z):
    camera = Intrinsics(500.0, 510.0, 300.0, 200.0)

    pixels = camera.project_clamped(np.array([[0.2, -0.1, z], [0.2, -0.1, 2.0]], np.float32))

    assert pixels.dtype == np.float32
    assert pixels == pytest.approx(np.array([[300 + 500 * 0.2 / NEAR_M, 200 - 510 * 0.1 / NEAR_M], [350, 174.5]]))


def test_a_point_to_the_right_and_below_lands_right_of_and_below_the_centre():
    u, v = Intrinsics(100.0, 100.0, 50.0, 40.0).project(np.array([1.0, 2.0, 4.0]))

    assert (u, v) == (75.0, 90.0)


def test_array_is_what_the_network_takes():
    array = Intrinsics(1.0, 2.0, 3.0, 4.0).array()

    assert array.dtype == np.float32 and array.tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("fov", [0.0, 180.0, -10.0, float("nan"), float("inf")])
def test_an_impossible_field_of_view_is_refused_with_its_value(fov):
    with pytest.raises(ValueError, match=str(fov)):
        Intrinsics.from_fov(10, 10, fov)


@pytest.mark.parametrize("values", [(0, 1, 1, 1), (1, -1, 1, 1), (float("nan"), 1, 1, 1), (1, 1, float("inf"), 1)])
def test_impossible_intrinsics_are_refused(values):
    with pytest.raises(ValueError, match="must be a finite"):
        Intrinsics(*values)
