"""Bones turned in closed form onto their pixels: exact where pixels are, still where they are not, finite always."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from bodykit.body import load_body
from depthhmr.network.analytic_ik import (
    LEVELS,
    align_body,
    directions_of,
    fit_to_pixels,
    relative_rotations,
    swing_limbs,
)
from depthhmr.network.geometry import rotation_of, solve_symmetric3
from depthhmr.network.skinning import BodyLayer
from depthhmr.training.lifter_people import People, draw

NOT_IN_GRAPHS = {"GridSample", "NonZero", "Einsum", "Loop", "If", "Scan", "Det", "Atan", "Sin", "Cos"}
ENDS = [end for bones in LEVELS for _, end in bones]


@pytest.fixture(scope="module")
def body() -> BodyLayer:
    return BodyLayer(load_body())


@pytest.fixture(scope="module")
def crowd() -> People:
    people = draw(load_body(), 5, 64)
    return people.pick((people.joints[..., 2].amin(1) > 0.7).nonzero()[:, 0])


def guessed(body: BodyLayer, crowd: People, radians: float, depth: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Orientations, joints around the pelvis and translation of the same people, their joints bent by some `radians`."""
    generator = torch.Generator().manual_seed(0)
    bends = radians * torch.randn(len(crowd), 24, 3, generator=generator)
    rotations = crowd.rotations @ rotation_of(bends)
    world, joints = body.frames(crowd.betas, rotations, torch.zeros(len(crowd), 3))
    return world, joints, crowd.joints[:, 0] * depth


def missed(joints: Tensor, people: People) -> Tensor:
    """Metres between joints and the rays of the true pixels, at the depth of the joints [N, J]."""
    return (joints[..., :2] - directions_of(people.joints)[..., :2] * joints[..., 2:]).norm(dim=-1)


def test_exact_pixels_are_reproduced_where_they_lie_within_reach(body: BodyLayer, crowd: People) -> None:
    world, joints, place = guessed(body, crowd, 0.25, depth=1.05)
    before = missed(joints + place[:, None], crowd)[:, ENDS]

    joints = fit_to_pixels(world, joints, place, crowd.joints, torch.full((len(crowd), 24), 1e-4))[1]

    after = missed(joints, crowd)[:, ENDS]
    assert before.median() > 0.05
    assert after.median() < 0.005
    assert after.mean() < 0.2 * before.mean()


def test_exact_pixels_bring_the_joints_nearer_to_the_truth_in_space_too(body: BodyLayer, crowd: People) -> None:
    world, joints, place = guessed(body, crowd, 0.25)

    moved = fit_to_pixels(world, joints, place, crowd.joints, torch.full((len(crowd), 24), 1e-4))[1]

    truth = crowd.joints - crowd.joints[:, :1]
    error = lambda found: (found - found[:, :1] - truth).norm(dim=-1).mean()  # noqa: E731
    assert error(moved) < 0.7 * error(joints)


def test_true_bodies_stay_where_they_are(body: BodyLayer, crowd: People) -> None:
    world, joints, place = guessed(body, crowd, 0.0)

    _, moved, found = fit_to_pixels(world, joints, place, crowd.joints, torch.full((len(crowd), 24), 0.01))

    assert torch.allclose(moved, crowd.joints, atol=0.02)
    assert torch.allclose(found, place, atol=1e-3)


def test_pixels_that_nobody_can_trust_change_nothing(body: BodyLayer, crowd: People) -> None:
    world, joints, place = guessed(body, crowd, 0.25)

    turned, moved, found = fit_to_pixels(world, joints, place, crowd.joints, torch.full((len(crowd), 24), 1e4))

    assert torch.allclose(turned, world, atol=1e-5)
    assert torch.allclose(moved, joints + place[:, None], atol=1e-4)
    assert torch.allclose(found, place, atol=1e-4)


def test_bones_keep_their_length_and_rotations_lead_to_the_joints(body: BodyLayer, crowd: People) -> None:
    world, joints, place = guessed(body, crowd, 0.25)

    world, moved, place = fit_to_pixels(world, joints, place, crowd.joints, torch.full((len(crowd), 24), 0.03))

    rotations = relative_rotations(world, body.parents)
    again = body.joints(crowd.betas, rotations, place)
    orthogonal = rotations @ rotations.transpose(-1, -2)
    assert torch.allclose(again, moved, atol=1e-4)
    assert torch.allclose(orthogonal, torch.eye(3).expand_as(orthogonal), atol=1e-4)
    assert torch.allclose(torch.linalg.det(rotations), torch.ones(()), atol=1e-4)


def test_a_joint_turns_with_the_bone_on_which_it_hangs(body: BodyLayer, crowd: People) -> None:
    world, joints, place = guessed(body, crowd, 0.0)
    joints = joints + place[:, None]
    sigma = torch.full((len(crowd), 24), 1e4)
    sigma[:, 4] = 1e-4  # the left knee alone is known, and it is elsewhere
    aim = joints.clone()
    aim[:, 4] += torch.tensor([0.1, 0.0, 0.05])

    _, moved = swing_limbs(world, joints, directions_of(aim), sigma)

    still = [joint for joint in range(24) if joint not in (4, 7, 10)]
    length = lambda at, a, b: (at[:, a] - at[:, b]).norm(dim=-1)  # noqa: E731
    assert torch.allclose(moved[:, still], joints[:, still], atol=1e-4)
    assert torch.allclose(length(moved, 4, 7), length(joints, 4, 7), atol=1e-4)
    assert (moved[:, 7] - joints[:, 7]).norm(dim=-1).median() > 0.05


def test_a_turned_and_shifted_body_is_turned_and_shifted_back(body: BodyLayer, crowd: People) -> None:
    world, joints, place = guessed(body, crowd, 0.0)
    turn = rotation_of(torch.tensor([[0.05, 0.1, -0.1]])).expand(len(crowd), 3, 3)
    off = joints @ turn.transpose(1, 2)
    directions, sigma = directions_of(crowd.joints), torch.full((len(crowd), 24), 0.01)

    _, back, found = align_body(turn[:, None] @ world, off, place + 0.05, directions, sigma)

    assert (back - joints).norm(dim=-1).mean() < 0.5 * (off - joints).norm(dim=-1).mean()
    assert (found - place).norm(dim=-1).median() < 0.04


@pytest.mark.parametrize(
    "kind", ["behind the camera", "at the camera", "out of reach", "no length", "opposite", "enormous", "exact"]
)
def test_degenerate_people_stay_finite_and_so_do_their_gradients(body: BodyLayer, crowd: People, kind: str) -> None:
    world, joints, place = (x.clone() for x in guessed(body, crowd, 0.1))
    points, sigma = crowd.joints.clone(), torch.full((len(crowd), 24), 0.02)
    if kind == "behind the camera":
        place[:, 2] = -1.0
        points[:, ::2, 2] *= -1
    elif kind == "at the camera":
        place[:] = 0
        points[:] = 0
    elif kind == "out of reach":
        points[..., 0] += 50
    elif kind == "no length":
        joints[:] = 0
    elif kind == "opposite":
        points = 2 * place[:, None] - points
    elif kind == "enormous":
        points, joints = points * 1e4, joints * 1e4
    else:
        sigma[:] = 0
    inputs = [x.requires_grad_() for x in (world, joints, place, points, sigma)]

    outputs = fit_to_pixels(*inputs)

    assert all(x.isfinite().all() for x in outputs)
    sum(x.sum() for x in outputs).backward()
    assert all(x.grad is None or x.grad.isfinite().all() for x in inputs)


def test_nobody_at_all_is_moved_nowhere() -> None:
    world, joints, place = fit_to_pixels(
        torch.zeros(0, 24, 3, 3), torch.zeros(0, 24, 3), torch.zeros(0, 3), torch.zeros(0, 24, 3), torch.zeros(0, 24)
    )
    assert world.shape == (0, 24, 3, 3) and joints.shape == (0, 24, 3) and place.shape == (0, 3)


def test_every_person_of_a_batch_is_fitted_alone(body: BodyLayer, crowd: People) -> None:
    world, joints, place = guessed(body, crowd, 0.25)
    sigma = torch.full((len(crowd), 24), 0.03)

    together = fit_to_pixels(world, joints, place, crowd.joints, sigma)
    alone = fit_to_pixels(world[3:4], joints[3:4], place[3:4], crowd.joints[3:4], sigma[3:4])

    assert all(torch.allclose(a[3:4], b, atol=1e-3) for a, b in zip(together, alone, strict=True))


class Fit(nn.Module):
    def forward(
        self, world: Tensor, joints: Tensor, place: Tensor, points: Tensor, sigma: Tensor
    ) -> tuple[Tensor, ...]:
        return fit_to_pixels(world, joints, place, points, sigma)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_graph_of_plain_operators_gives_the_same(body: BodyLayer, crowd: People, tmp_path: Path) -> None:
    inputs = (*guessed(body, crowd, 0.25), crowd.joints, torch.full((len(crowd), 24), 0.03))
    names, path = ["world", "joints", "place", "points", "sigma"], str(tmp_path / "fit.onnx")
    torch.onnx.export(
        Fit(), tuple(x[:2] for x in inputs), path, opset_version=17, dynamo=False, input_names=names,
        dynamic_axes={name: {0: "people"} for name in names},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    got = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})

    assert {node.op_type for node in onnx.load(path).graph.node}.isdisjoint(NOT_IN_GRAPHS)
    for mine, theirs in zip(Fit()(*inputs), got, strict=True):
        assert np.abs(mine.numpy() - theirs).max() < 1e-3


def test_three_unknowns_are_solved_as_a_solver_does() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(50, 3, 3, generator=generator)
    matrix = root @ root.transpose(1, 2) + 0.1 * torch.eye(3)
    right = torch.randn(50, 3, 2, generator=generator)
    assert torch.allclose(solve_symmetric3(matrix, right), torch.linalg.solve(matrix, right), atol=1e-3)
