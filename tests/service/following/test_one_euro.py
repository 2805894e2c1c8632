import math

import numpy as np
import pytest

from bodykit.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from service.following.one_euro import OneEuro, filter_rotations, filter_vectors, weight


def test_two_steps_are_those_of_the_paper_worked_by_hand() -> None:
    # 10 Hz, cut-off 1 Hz + 0.5 |speed|, speed cut-off 1 Hz; samples 0, 1, 1.
    # weight at 1 Hz: 1 / (1 + 10 / (2 pi)) = 0.385870
    # second sample: speed 0.385870 * 10 = 3.858695, cut-off 2.929348 Hz, weight 0.647957, value 0.647957
    # third: speed 3.858695 + 0.385870 * (3.520428 - 3.858695) = 3.728168, cut-off 2.864084, weight 0.642801;
    # value 0.647957 + 0.642801 * 0.352043 = 0.874251
    options, step = OneEuro(1.0, 0.5, 1.0), np.array([0.1])

    value, speed = filter_vectors(np.array([[1.0]]), np.array([[0.0]]), np.array([[0.0]]), step, options)

    assert speed.item() == pytest.approx(3.858695, abs=1e-6)
    assert value.item() == pytest.approx(0.647957, abs=1e-6)
    value, speed = filter_vectors(np.array([[1.0]]), value, speed, step, options)
    assert speed.item() == pytest.approx(3.728168, abs=1e-6)
    assert value.item() == pytest.approx(0.874251, abs=1e-6)


def test_without_a_slope_it_is_an_exponential_mean() -> None:
    options, value, speed = OneEuro(1.5, 0.0), np.zeros((1, 1)), np.zeros((1, 1))
    for _ in range(5):
        value, speed = filter_vectors(np.ones((1, 1)), value, speed, np.array([0.04]), options)

    share = 1 / (1 + 1 / (2 * math.pi * 1.5 * 0.04))
    assert value.item() == pytest.approx(1 - (1 - share) ** 5)


def test_turning_about_one_axis_is_filtered_like_the_angle() -> None:
    options, step = OneEuro(1.0, 0.3), np.array([0.04])
    angle, angle_speed = np.zeros((1, 1)), np.zeros((1, 1))
    rotation, speed = np.eye(3)[None, None], np.zeros((1, 1, 3))
    for frame in range(1, 20):
        seen = 0.1 * frame
        angle, angle_speed = filter_vectors(np.array([[seen]]), angle, angle_speed, step, options)
        matrix = axis_angle_to_matrix(np.array([[[0.0, seen, 0.0]]]))
        rotation, speed = filter_rotations(matrix, rotation, speed, step, options)

    np.testing.assert_allclose(matrix_to_axis_angle(rotation)[0, 0], (0, angle.item(), 0), atol=1e-9)


def test_thousands_of_noisy_rotations_stay_rotations() -> None:
    rng = np.random.default_rng(0)
    rotation, speed = np.eye(3)[None, None], np.zeros((1, 1, 3))
    for _ in range(3000):
        seen = axis_angle_to_matrix(rng.normal(0, 2, (1, 1, 3)).astype(np.float32))
        rotation, speed = filter_rotations(seen, rotation, speed, np.array([0.04]), OneEuro(1.0, 0.5))

    np.testing.assert_allclose(rotation[0, 0] @ rotation[0, 0].T, np.eye(3), atol=1e-6)
    assert np.linalg.det(rotation[0, 0]) == pytest.approx(1, abs=1e-6)


def test_a_longer_step_gives_the_new_value_more_weight() -> None:
    assert weight(1.0, np.array(0.2)) > weight(1.0, np.array(0.04))


@pytest.mark.parametrize("arguments", [(0, 1), (1, -1), (1, 1, 0), (math.nan, 1), (1, math.inf)])
def test_impossible_parameters_are_refused(arguments: tuple) -> None:
    with pytest.raises(ValueError, match="got"):
        OneEuro(*arguments)
