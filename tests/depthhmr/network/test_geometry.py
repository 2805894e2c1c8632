"""Camera geometry on tensors against the numpy twin and by hand."""

import numpy as np
import torch

from bodykit.camera import Intrinsics
from depthhmr.network.geometry import cross, frame_from, heading, project, rays

CAMERA = torch.tensor([120.0, 110.0, 64.0, 60.0])


def test_projection_agrees_with_bodykit() -> None:
    points = torch.rand(50, 3) + torch.tensor([-0.5, -0.5, 1.0])
    expected = Intrinsics(*CAMERA.tolist()).project(points.numpy())
    assert np.allclose(project(points, CAMERA).numpy(), expected, atol=1e-3)


def test_the_ray_of_a_projected_point_passes_through_it() -> None:
    points = torch.rand(50, 3) + torch.tensor([-0.5, -0.5, 1.0])
    assert torch.allclose(rays(project(points, CAMERA), CAMERA) * points[:, 2:], points[:, :2], atol=1e-5)


def test_the_principal_point_looks_straight_ahead() -> None:
    assert rays(CAMERA[2:], CAMERA).abs().max() == 0


def test_cross_is_the_cross_product() -> None:
    a, b = torch.randn(20, 3), torch.randn(20, 3)
    assert torch.allclose(cross(a, b), torch.linalg.cross(a, b), atol=1e-5)


def test_frames_are_rotations_and_keep_their_primary_axis() -> None:
    a, b = torch.randn(100, 3), torch.randn(100, 3)
    for order, axis in (("xy", 0), ("yx", 1)):
        frames = frame_from(a, b, order=order)
        assert torch.allclose(frames @ frames.transpose(1, 2), torch.eye(3).expand(100, 3, 3), atol=1e-4)
        assert (torch.linalg.det(frames) > 0.99).all()
        assert torch.allclose(frames[..., axis], a / a.norm(dim=-1, keepdim=True), atol=1e-5)


def test_heading_is_zero_away_from_the_camera_and_pi_towards_it() -> None:
    toward = torch.zeros(2, 2)
    facing_camera, facing_away = torch.diag(torch.tensor([1.0, -1, -1])), torch.diag(torch.tensor([-1.0, -1, 1]))
    angle, length = heading(torch.stack([facing_camera, facing_away]), toward)
    assert torch.allclose(angle, torch.tensor([[0.0, -1.0], [0.0, 1.0]]), atol=1e-6)
    assert torch.allclose(length, torch.ones(2))


def test_heading_turns_with_the_ray_on_which_the_person_stands() -> None:
    turn = 0.4
    rotation = torch.tensor([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]).float()
    front = rotation @ torch.diag(torch.tensor([-1.0, -1, 1]))  # looks away from the camera along its own ray
    angle, _ = heading(front[None], torch.tensor([[np.tan(turn), 0.0]]).float())
    assert torch.allclose(angle, torch.tensor([[0.0, 1.0]]), atol=1e-5)
