"""What the lifter learns from: people in any attitude, and what a head may say of them."""

import pytest
import torch
from torch import Tensor

from bodykit.body import JOINT, load_body
from depthhmr.network.config import preset
from depthhmr.network.geometry import project
from depthhmr.network.lifter import miss_along_rays, miss_of_points
from depthhmr.network.model import build_model
from depthhmr.network.skinning import BodyLayer
from depthhmr.training.lifter_noise import simulate
from depthhmr.training.lifter_people import NEAREST, People, draw, draw_widely
from depthhmr.training.train_lifter import NOISE, across_rays, losses, score, scores

PELVIS, NECK = JOINT["pelvis"], JOINT["neck"]


@pytest.fixture(scope="module")
def body() -> BodyLayer:
    return BodyLayer(load_body())


@pytest.fixture(scope="module")
def wide(body: BodyLayer) -> People:
    return draw_widely(body, load_body(), 1, 2000)


def uprightness(people: People) -> Tensor:
    """Cosine between the trunk and the picture's up [N]."""
    trunk = people.joints[:, NECK] - people.joints[:, PELVIS]
    return -trunk[:, 1] / trunk.norm(dim=-1)


def test_people_drawn_widely_are_bodies_in_front_of_the_camera(body: BodyLayer, wide: People) -> None:
    again = body.joints(wide.betas, wide.rotations, wide.joints[:, 0])
    orthogonal = wide.rotations @ wide.rotations.transpose(-1, -2)

    assert torch.allclose(again, wide.joints, atol=1e-3)
    assert torch.allclose(orthogonal, torch.eye(3).expand_as(orthogonal), atol=1e-3)
    plain = draw(load_body(), 1, 2000).joints
    assert (wide.joints[..., 2].amin(1) > torch.minimum(torch.tensor(NEAREST), plain[..., 2].amin(1)) - 1e-3).all()


def test_many_of_them_stand_on_their_heads_or_lie(wide: People) -> None:
    plain = uprightness(draw(load_body(), 1, 2000))
    turned = uprightness(wide)

    assert (turned < -0.5).float().mean() > 0.06 > (plain < -0.5).float().mean()
    assert (turned.abs() < 0.5).float().mean() > (plain.abs() < 0.5).float().mean()
    assert (turned > 0.7).float().mean() > 0.5, "most still stand"


def test_the_same_seed_draws_the_same_people(body: BodyLayer) -> None:
    first, second = (draw_widely(body, load_body(), 7, 50) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(vars(first).values(), vars(second).values(), strict=True))


def test_simulated_reports_are_finite_and_mostly_near_the_pixels(wide: People) -> None:
    torch.manual_seed(0)
    points, log_sigma, yaw, betas = simulate(wide)

    metres = wide.joints[..., 2:] / wide.intrinsics[:, None, :1]
    off = ((project(points, wide.intrinsics[:, None]) - project(wide.joints, wide.intrinsics[:, None])) * metres).norm(
        dim=-1
    )
    assert all(x.isfinite().all() for x in (points, log_sigma, yaw, betas))
    assert 0.01 < off.median() < 0.06
    assert (yaw.norm(dim=-1) <= 1 + 1e-5).all()


def test_reported_errors_of_pixels_and_of_depths_follow_the_true_ones(wide: People) -> None:
    torch.manual_seed(0)
    points, log_sigma, _, _ = simulate(wide)

    off = (points - wide.joints)[..., :2].norm(dim=-1)
    sure, unsure = log_sigma[..., 0] < -3.5, log_sigma[..., 0] > -2.0
    together = torch.corrcoef(torch.stack([log_sigma[..., 0].flatten(), log_sigma[..., 1].flatten()]))[0, 1]
    assert off[unsure].median() > 3 * off[sure].median()
    assert together < 0.8, "a sure pixel may have an unsure depth"


def test_an_unsure_depth_takes_nothing_from_a_sure_pixel() -> None:
    joints = torch.tensor([[[0.0, 0.0, 4.0], [0.3, 0.5, 4.0], [-0.3, 0.5, 4.0]]])
    points = joints + torch.tensor([[[0.0, 0.0, 0.0], [0.2, 0.0, 0.0], [0.0, 0.0, 0.4]]])
    trust, frame = torch.tensor([1.0, 0.01]).expand(1, 3, 2), torch.eye(3)[None]

    apart, by_the_worse = (miss(joints, points, trust, frame) for miss in (miss_along_rays, miss_of_points))

    assert apart[0, 1, 0] > 0.1 > 10 * by_the_worse[0, 1].abs().max()
    assert apart[0, 2, 2].abs() < 0.02


def test_a_miss_is_nothing_where_the_body_fits_but_for_its_place() -> None:
    joints = draw(load_body(), 2, 5).joints
    trust, frame = torch.rand(5, 24, 2) + 0.1, torch.eye(3).expand(5, 3, 3)
    assert miss_along_rays(joints + 0.01, joints, trust, frame).abs().max() < 1e-3


def test_errors_along_the_ray_do_not_show_in_the_picture() -> None:
    joints = torch.tensor([[[1.0, 0.5, 4.0], [1.0, 0.5, 4.0]]])
    error = torch.tensor([[[0.25, 0.125, 1.0], [0.1, 0.0, 0.0]]])
    assert torch.allclose(across_rays(error, joints), torch.tensor([[[0.0, 0.0], [0.1, 0.0]]]))


def test_every_loss_of_a_guess_is_positive_and_finite(body: BodyLayer) -> None:
    torch.manual_seed(0)
    people = draw(load_body(), 3, 32)
    lifter = build_model(preset("tiny", size=64, lifter_width=32, lifter_blocks=1, pixels_apart=True)).lifter

    terms = losses(lifter(*simulate(people)), people, body)

    assert {"rotation", "raw", "root", "body_joints", "joints", "pixels"} == terms.keys()
    assert all(value > 0 and value.isfinite() for value in terms.values())


def test_scores_name_their_people_and_their_noise() -> None:
    lifter = build_model(preset("tiny", size=64, lifter_width=32, lifter_blocks=1)).lifter
    people = draw(load_body(), 3, 20)

    figures = scores(lifter, {"some": people})

    assert {name.rsplit(".", 1)[0] for name in figures} == {f"some.{noise}" for noise in NOISE}
    assert figures == scores(lifter, {"some": people}), "the noise is the same each time"
    assert score(lifter, people, 0.02, 0.1).keys() == {"mpjpe", "pa_mpjpe", "pixels", "orientation"}
