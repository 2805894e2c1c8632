"""Heights of people above the floor; compiled, because a threaded BLAS occupies a second core for such small products."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def lowest(vertices, up):
    """Height of the lowest vertex [V, 3] along the unit vector `up`, metres."""
    result = np.inf
    for i in range(vertices.shape[0]):
        result = min(result, vertices[i, 0] * up[0] + vertices[i, 1] * up[1] + vertices[i, 2] * up[2])
    return result
