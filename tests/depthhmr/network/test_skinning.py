"""Torch skinning is numpy skinning, with gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from bodykit.body import JOINTS, load_body  # noqa: E402
from bodykit.rotations import axis_angle_to_matrix  # noqa: E402
from bodykit.skinning import pose_vertices  # noqa: E402
from depthhmr.network.skinning import BodyLayer  # noqa: E402

BODY = load_body()


@pytest.fixture(scope="module")
def layer() -> BodyLayer:
    return BodyLayer(BODY)


def random_people(people: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    betas = rng.normal(size=(people, 10)).astype(np.float32)
    rotations = axis_angle_to_matrix(rng.normal(0, 0.5, (people, JOINTS, 3)).astype(np.float32))
    return betas, rotations, rng.normal(0, 2, (people, 3)).astype(np.float32)


def test_torch_poses_as_numpy_does(layer: BodyLayer) -> None:
    people = random_people(4)

    vertices, joints = layer.vertices(*map(torch.from_numpy, people))

    expected_vertices, expected_joints = pose_vertices(BODY, *people)
    np.testing.assert_allclose(vertices.numpy(), expected_vertices, atol=1e-5)
    np.testing.assert_allclose(joints.numpy(), expected_joints, atol=1e-5)


def test_joints_alone_are_the_same_joints(layer: BodyLayer) -> None:
    people = [torch.from_numpy(array) for array in random_people(4)]

    torch.testing.assert_close(layer.joints(*people), layer.vertices(*people)[1])


def test_the_pelvis_lands_exactly_on_the_translation(layer: BodyLayer) -> None:
    betas, rotations, translation = map(torch.from_numpy, random_people(3))

    assert torch.equal(layer.joints(betas, rotations, translation)[:, 0], translation)


def test_nobody_gives_nothing(layer: BodyLayer) -> None:
    joints = layer.joints(torch.zeros(0, 10), torch.zeros(0, JOINTS, 3, 3), torch.zeros(0, 3))

    assert joints.shape == (0, JOINTS, 3)


def test_half_precision_around_it_changes_nothing(layer: BodyLayer) -> None:
    people = [torch.from_numpy(array) for array in random_people(2)]
    expected = layer.joints(*people)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        joints = layer.joints(*people)

    assert joints.dtype == torch.float32
    assert torch.equal(joints, expected)


def test_gradients_agree_with_small_steps(layer: BodyLayer) -> None:
    betas, rotations, translation = map(torch.from_numpy, random_people(1))
    betas.requires_grad_()
    rotations.requires_grad_()
    target = torch.ones(1, JOINTS, 3)
    (layer.joints(betas, rotations, translation) * target).sum().backward()

    step = 0.01
    for tensor, place in ((betas, (0, 2)), (rotations, (0, 3, 1, 0)), (rotations, (0, 0, 2, 2))):
        high, low = (tensor.detach().clone() for _ in range(2))
        high[place] += step
        low[place] -= step
        sides = []
        for moved in (high, low):
            arguments = (moved, rotations) if tensor is betas else (betas, moved)
            with torch.no_grad():
                sides.append(float((layer.joints(*arguments, translation).double() * target).sum()))
        slope = (sides[0] - sides[1]) / (2 * step)
        assert tensor.grad is not None
        assert float(tensor.grad[place]) == pytest.approx(slope, abs=2e-3)


def test_the_layer_has_no_weights_to_train_or_to_save(layer: BodyLayer) -> None:
    assert list(layer.parameters()) == []
    assert layer.state_dict() == {}
