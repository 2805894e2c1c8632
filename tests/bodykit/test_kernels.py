"""Compiled kernels: each for one set of types, named beforehand, so that no request waits for a compiler."""

import numpy as np
import pytest

from bodykit import raster, skin_kernel
from bodykit.kernels import kernel
from service.formats import shading


@kernel("float64(float32[::1], float64)")
def weighed(values, factor):
    total = 0.0
    for value in values:
        total += factor * value
    return total


def test_whole_numbers_stand_for_fractions_without_compiling_again():
    assert weighed(np.ones(3, np.float32), 2) == weighed(np.ones(3, np.float32), 2.0) == 6.0
    assert len(weighed.signatures) == 1


def test_another_kind_of_array_is_refused_and_not_compiled_for():
    with pytest.raises(TypeError):
        weighed(np.ones(3, np.float64), 1.0)
    with pytest.raises(TypeError):
        weighed(np.ones(6, np.float32)[::2], 1.0)
    assert len(weighed.signatures) == 1


@pytest.mark.parametrize(
    "compiled",
    [
        raster.project,
        raster.draw,
        raster.resolve,
        raster.shares_at,
        raster.vertex_normals,
        skin_kernel.skin,
        shading.blend,
    ],
)
def test_the_kernels_of_a_request_are_compiled_at_their_import(compiled):
    assert len(compiled.signatures) == 1
    assert not compiled._can_compile


def test_skinning_reads_arrays_that_must_not_be_written():
    arguments = [np.zeros((1, 3)), np.zeros((1, 3, 1)), np.zeros((1, 1)), np.zeros((1, 1, 3, 4)), np.zeros((1, 1))]
    arguments += [np.zeros((1, 4), np.int32), np.zeros((1, 4)), np.zeros(2, np.int32), np.zeros(0, np.int32)]
    arguments += [np.zeros((0, 3)), np.zeros((1, 1, 3))]
    arguments = [a.astype(np.float32) if a.dtype == np.float64 else a for a in arguments]
    arguments[3][..., :3] = np.eye(3)
    arguments[6][:, 0] = 1.0
    arguments[0][:] = (1, 2, 3)
    for read in arguments[:-1]:
        read.flags.writeable = False
    skin_kernel.skin(*arguments)
    assert arguments[-1][0, 0].tolist() == [1, 2, 3]
