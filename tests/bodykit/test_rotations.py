import numpy as np
import pytest

from bodykit.rotations import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_quaternion


def random_vectors(count: int, longest: float) -> np.ndarray:
    rng = np.random.default_rng(3)
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return (directions * rng.uniform(0, longest, (count, 1))).astype(np.float32)


def test_a_quarter_turn_about_y_takes_front_to_left() -> None:
    matrix = axis_angle_to_matrix(np.array([0, np.pi / 2, 0]))

    np.testing.assert_allclose(matrix @ [0, 0, 1], [1, 0, 0], atol=1e-12)


def test_matrices_are_rotations() -> None:
    matrices = axis_angle_to_matrix(random_vectors(500, 10.0))

    np.testing.assert_allclose(matrices @ np.swapaxes(matrices, 1, 2), np.tile(np.eye(3), (500, 1, 1)), atol=2e-6)
    np.testing.assert_allclose(np.linalg.det(matrices), 1, atol=2e-6)


def test_vectors_shorter_than_pi_come_back() -> None:
    vectors = random_vectors(500, 3.1)

    np.testing.assert_allclose(matrix_to_axis_angle(axis_angle_to_matrix(vectors)), vectors, atol=2e-5)


@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-5, 9e-4, 1.1e-3])
def test_small_angles_keep_their_size_in_float32(angle: float) -> None:
    vector = np.float32([0.6, 0, 0.8]) * np.float32(angle)

    back = matrix_to_axis_angle(axis_angle_to_matrix(vector))

    assert back.dtype == np.float32
    np.testing.assert_allclose(back, vector, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0, -0.8)])
def test_half_turns_give_the_same_rotation_back(axis: tuple[float, float, float]) -> None:
    matrix = axis_angle_to_matrix(np.pi * np.array(axis))

    vector = matrix_to_axis_angle(matrix)

    assert np.linalg.norm(vector) == pytest.approx(np.pi)
    np.testing.assert_allclose(axis_angle_to_matrix(vector), matrix, atol=1e-7)


def test_any_leading_axes_are_kept() -> None:
    assert axis_angle_to_matrix(np.zeros((2, 24, 3))).shape == (2, 24, 3, 3)
    assert matrix_to_axis_angle(np.zeros((0, 24, 3, 3))).shape == (0, 24, 3)
    assert matrix_to_quaternion(np.eye(3)).tolist() == [1, 0, 0, 0]


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\[..., 3\], got \(4,\)"):
        axis_angle_to_matrix(np.zeros(4))
    with pytest.raises(ValueError, match=r"\[..., 3, 3\], got \(3,\)"):
        matrix_to_axis_angle(np.zeros(3))
