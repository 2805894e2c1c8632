"""The inner loop of skinning, compiled by numba. Apart from `skinning`, so that joints do not need numba."""

import numpy as np
from numba import types

from bodykit.kernels import kernel


def _given(dtype: types.Type, axes: int) -> types.Array:
    """The type of a read-only array argument; writable arrays match it as well."""
    return types.Array(dtype, axes, "C", readonly=True)


@kernel(
    types.void(
        _given(types.float32, 2),
        _given(types.float32, 3),
        _given(types.float32, 2),
        _given(types.float32, 4),
        _given(types.float32, 2),
        _given(types.int32, 2),
        _given(types.float32, 2),
        _given(types.int32, 1),
        _given(types.int32, 1),
        _given(types.float32, 2),
        types.float32[:, :, ::1],
    ),
    fastmath=True,
    nogil=True,
)
def skin(
    template: np.ndarray,
    shapedirs: np.ndarray,
    betas: np.ndarray,
    transforms: np.ndarray,
    features: np.ndarray,
    weight_index: np.ndarray,
    weight_value: np.ndarray,
    offset: np.ndarray,
    column: np.ndarray,
    direction: np.ndarray,
    vertices: np.ndarray,
) -> None:
    """Writes vertices [P, V, 3]: shape the template, bend it by its pose directions, then blend four joint transforms.

    Shaping is not a matrix product here: a threaded BLAS occupies every core for it and is no faster.
    """
    people, count = vertices.shape[0], vertices.shape[1]
    for person in range(people):
        for vertex in range(count):
            x = template[vertex, 0]
            y = template[vertex, 1]
            z = template[vertex, 2]
            for number in range(betas.shape[1]):
                x += betas[person, number] * shapedirs[vertex, 0, number]
                y += betas[person, number] * shapedirs[vertex, 1, number]
                z += betas[person, number] * shapedirs[vertex, 2, number]
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
