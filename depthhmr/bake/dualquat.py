"""Dual quaternion skinning: bends without the collapse of linear blending. Used for baking alone.

Kavan et al., "Skinning with dual quaternions", 2007.
"""

import numpy as np

from bodykit.rotations import matrix_to_quaternion


def skin(points: np.ndarray, weights: np.ndarray, rotations: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Moved points [N, 3]: each follows a blend, weights [N, S], of the rigid moves x -> R x + t of S segments."""
    real = matrix_to_quaternion(rotations.astype(np.float64))
    # q and -q are the same rotation; blending needs neighbours on the same side.
    real[real[:, 0] < 0] *= -1
    dual = 0.5 * _multiply(np.concatenate([np.zeros((len(shifts), 1)), shifts], axis=1), real)
    blended = weights @ np.concatenate([real, dual], axis=1)
    blended /= np.linalg.norm(blended[:, :4], axis=1, keepdims=True)
    w, axis = blended[:, :1], blended[:, 1:4]
    dual_w, dual_axis = blended[:, 4:5], blended[:, 5:]
    turned = points + 2 * np.cross(axis, np.cross(axis, points) + w * points)
    return turned + 2 * (w * dual_axis - dual_w * axis + np.cross(axis, dual_axis))


def _multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product of quaternions [N, 4] (w, x, y, z)."""
    w = a[:, :1] * b[:, :1] - np.sum(a[:, 1:] * b[:, 1:], axis=1, keepdims=True)
    return np.concatenate([w, a[:, :1] * b[:, 1:] + b[:, :1] * a[:, 1:] + np.cross(a[:, 1:], b[:, 1:])], axis=1)
