"""Observations and what is made of them: points in space, sides of the body, the place of a skeleton."""

import numpy as np
import torch

from bodykit.body import MIRRORED_JOINTS, load_body
from depthhmr.network.geometry import focal, project, ray_depths
from depthhmr.network.lifter import place, torso_frame
from depthhmr.network.person import observed_points
from depthhmr.network.queries import REFERENCE_JOINT, Queries
from depthhmr.synth.joints import sample_people
from depthhmr.training.lifter_noise import simulate
from depthhmr.training.lifter_people import draw


def people(count: int = 64):
    return draw(load_body(), 3, count)


def test_true_offsets_and_depths_give_the_true_joints_back() -> None:
    crowd = people()
    chest = crowd.joints[:, REFERENCE_JOINT]
    queries = Queries(chest, project(chest, crowd.intrinsics), chest[:, 2].log())
    scale = (chest[:, 2] / focal(crowd.intrinsics))[:, None, None]
    offset = (project(crowd.joints, crowd.intrinsics[:, None]) - queries.uv[:, None]) * scale
    points = observed_points(offset, ray_depths(crowd.joints, chest), queries, crowd.intrinsics)
    in_front = crowd.joints[..., 2].amin(1) > 0.3
    assert torch.allclose(points[in_front], crowd.joints[in_front], atol=2e-3)


def test_mirrored_slots_are_an_involution_that_fixes_the_spine() -> None:
    assert [MIRRORED_JOINTS[i] for i in MIRRORED_JOINTS] == list(range(24))
    assert [i for i in range(24) if MIRRORED_JOINTS[i] == i] == [0, 3, 6, 9, 12, 15]


def test_the_torso_frame_of_an_upright_person_facing_the_camera() -> None:
    body = load_body()
    joints = torch.from_numpy(body.joint_template * np.float32([1, -1, -1]))[None]  # diag(1, -1, -1): facing the camera
    frame = torso_frame(joints)[0]
    assert torch.allclose(frame, torch.diag(torch.tensor([1.0, -1.0, -1.0])), atol=0.1)


def test_place_finds_the_pelvis_of_exact_points() -> None:
    crowd = people()
    pelvis = crowd.joints[:, :1]
    found = place(crowd.joints - pelvis, crowd.joints, torch.full((64, 24, 2), -3.0))
    assert torch.allclose(found, pelvis[:, 0], atol=1e-4)


def test_simulated_observations_are_finite_and_near_the_truth() -> None:
    torch.manual_seed(0)
    crowd = people(256)
    points, log_sigma, yaw, betas = simulate(crowd, level=0.02)
    assert all(t.isfinite().all() for t in (points, log_sigma, yaw, betas))
    root_aligned = (points - points[:, :1]) - (crowd.joints - crowd.joints[:, :1])
    assert root_aligned.norm(dim=-1).median() < 0.15


def test_sampled_people_lie_in_front_of_their_cameras() -> None:
    drawn = sample_people(load_body(), np.random.default_rng(0), 100)
    assert (drawn["joints_3d"][:, 0, 2] > 0.5).all()
