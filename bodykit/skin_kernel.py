"""The inner loop of skinning, compiled by numba. Apart from `skinning`, so that joints can be had without numba."""

import numpy as np
from numba import njit


@njit(cache=True, fastmath=True, nogil=True)
def skin(
    shaped: np.ndarray,
    transforms: np.ndarray,
    features: np.ndarray,
    weight_index: np.ndarray,
    weight_value: np.ndarray,
    offset: np.ndarray,
    column: np.ndarray,
    direction: np.ndarray,
    vertices: np.ndarray,
) -> None:
    """Write vertices [P, V, 3]: bend the shaped rest mesh by its pose directions, then blend four joint transforms."""
    people, count = shaped.shape[0], shaped.shape[1]
    for person in range(people):
        for vertex in range(count):
            x = shaped[person, vertex, 0]
            y = shaped[person, vertex, 1]
            z = shaped[person, vertex, 2]
            for entry in range(offset[vertex], offset[vertex + 1]):
                amount = features[person, column[entry]]
                x += amount * direction[entry, 0]
                y += amount * direction[entry, 1]
                z += amount * direction[entry, 2]
            for axis in range(3):
                total = np.float32(0)
                for slot in range(4):
                    row = transforms[person, weight_index[vertex, slot], axis]
                    total += weight_value[vertex, slot] * (row[0] * x + row[1] * y + row[2] * z + row[3])
                vertices[person, vertex, axis] = total
