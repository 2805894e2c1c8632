"""Axis-angle vectors and rotation matrices, in numpy."""

import numpy as np

# Below this angle (radians) sin(t)/t is replaced by its series: the quotient would lose float32 digits.
SMALL_ANGLE = 1e-3


def axis_angle_to_matrix(axis_angle: np.ndarray) -> np.ndarray:
    """Rotation matrices [..., 3, 3] of axis-angle vectors [..., 3] (radians), by Rodrigues' formula.

    float64 stays float64; every other dtype gives float32.
    """
    vectors = _as_float(axis_angle)
    if vectors.shape[-1:] != (3,):
        raise ValueError(f"axis-angle vectors must have shape [..., 3], got {vectors.shape}")
    squared = np.sum(vectors * vectors, axis=-1)
    angle = np.sqrt(squared)
    small = angle < SMALL_ANGLE
    safe = np.where(small, 1, angle)
    sine = np.where(small, 1 - squared / 6, np.sin(angle) / safe)
    # 1 - cos(t) = 2 sin(t/2)^2 keeps its digits at small angles.
    cosine = np.where(small, 0.5 - squared / 24, 2 * np.square(np.sin(angle / 2) / safe))
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    matrix = np.empty((*vectors.shape, 3), vectors.dtype)
    matrix[..., 0, 0] = 1 - cosine * (y * y + z * z)
    matrix[..., 1, 1] = 1 - cosine * (x * x + z * z)
    matrix[..., 2, 2] = 1 - cosine * (x * x + y * y)
    matrix[..., 0, 1] = cosine * x * y - sine * z
    matrix[..., 1, 0] = cosine * x * y + sine * z
    matrix[..., 0, 2] = cosine * x * z + sine * y
    matrix[..., 2, 0] = cosine * x * z - sine * y
    matrix[..., 1, 2] = cosine * y * z - sine * x
    matrix[..., 2, 1] = cosine * y * z + sine * x
    return matrix


def matrix_to_axis_angle(matrix: np.ndarray) -> np.ndarray:
    """Axis-angle vectors [..., 3] (radians, length in [0, pi]) of rotation matrices [..., 3, 3].

    Goes through the quaternion, from its largest component, so it is stable at 0 and at pi. At pi itself the axis and
    its opposite are the same rotation; either may come back.
    """
    matrix = _as_float(matrix)
    if matrix.shape[-2:] != (3, 3):
        raise ValueError(f"rotation matrices must have shape [..., 3, 3], got {matrix.shape}")
    quaternion = matrix_to_quaternion(matrix)
    quaternion = np.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    vector = quaternion[..., 1:]
    length = np.sqrt(np.sum(vector * vector, axis=-1, keepdims=True))
    small = length < SMALL_ANGLE
    angle = 2 * np.arctan2(length, quaternion[..., :1])
    return vector * np.where(small, 2 / np.maximum(quaternion[..., :1], 0.5), angle / np.where(small, 1, length))


def matrix_to_quaternion(matrix: np.ndarray) -> np.ndarray:
    """Unit quaternions [..., 4] (w, x, y, z; sign arbitrary) of rotation matrices [..., 3, 3]."""
    m = _as_float(matrix)
    diagonal = np.stack([m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]], axis=-1)
    xx, yy, zz = diagonal[..., 0], diagonal[..., 1], diagonal[..., 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # Row i is 4 * q[i] * q: pick the row with the largest q[i], so that nothing is divided by a small number.
    rows = np.stack(
        [
            np.stack([1 + xx + yy + zz, wx, wy, wz], axis=-1),
            np.stack([wx, 1 + xx - yy - zz, xy, xz], axis=-1),
            np.stack([wy, xy, 1 - xx + yy - zz, yz], axis=-1),
            np.stack([wz, xz, yz, 1 - xx - yy + zz], axis=-1),
        ],
        axis=-2,
    )
    best = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    quaternion = np.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :]
    return quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)


def _as_float(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    return values if values.dtype == np.float64 else values.astype(np.float32, copy=False)
