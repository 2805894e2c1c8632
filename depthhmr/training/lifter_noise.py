"""What a person head says of people whose truth is known, simulated: the lifter's inputs.

A head knows a pixel to 1 to 6 cm and a depth to 10 to 20 cm, and the one tells little about the other. Its errors are no
independent noise: a limb goes astray as a whole, depths shrink towards the chest, legs or arms are exchanged, a body is
taken for its back, the lower half lies outside the picture. How sure a head says it is, is itself only roughly right.
"""

import math

import torch
from torch import Tensor

from bodykit.body import JOINT, JOINT_NAMES, JOINTS, MIRRORED_JOINTS, SIDES
from depthhmr.network.geometry import focal, heading, project, ray_depths, rays
from depthhmr.network.person import observed_points
from depthhmr.network.queries import REFERENCE_JOINT, Queries
from depthhmr.training.lifter_people import People

# Joints go astray together with their limb: 0 the trunk, 1 and 2 the legs, 3 and 4 the arms.
LIMBS = {"hip": 1, "knee": 1, "ankle": 1, "foot": 1, "collar": 3, "shoulder": 3, "elbow": 3, "wrist": 3, "hand": 3}


def _limb_of(name: str) -> int:
    side, _, part = name.rpartition("_")
    return LIMBS[part] + (side == "right") if side else 0


LIMB_OF = [_limb_of(name) for name in JOINT_NAMES]
BELOW_HIPS = [JOINT[f"{side}_{part}"] for side in SIDES for part in ("knee", "ankle", "foot")]
SHARED = 0.45  # of a joint's noise is its limb's
CLEAR, BLURRED = (0.008, 0.06), (0.06, 0.3)  # metres across the ray: people seen well, and the others
ALONG = (0.06, 0.30)  # metres along the ray
CHANCE_BLURRED, CHANCE_OUTLIER, CHANCE_UNAWARE, CHANCE_CROPPED = 0.25, 0.08, 0.02, 0.12
CHANCE_EXCHANGED, CHANCE_MIRRORED, CHANCE_FLIPPED, CHANCE_BACK = 0.04, 0.03, 0.05, 0.06


def simulate(
    people: People, level: float | None = None, along: float | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Observations of people as a person head may report them: inputs of the Lifter.

    level: one standard deviation in metres for all pixels (for scoring), instead of the training mixture; along: the same
    for depths, in the place of one and a half times the level.
    """
    count = len(people)
    queries, offset, depth = _seen(people, depth_error=0.06 if level is None else 0.04)
    if level is None:
        sigma = _expected_errors(count)
        depth = _timid(depth, sigma[..., 1])
        offset, depth = _noisy(offset, depth, sigma)
        offset, depth, sigma = _confused(offset, depth, sigma)
        reported = sigma.log() + 0.2 * torch.randn(count, JOINTS, 2) + 0.3 * torch.randn(count, 1, 2)
    else:
        depth_level = max(0.06, 1.5 * level) if along is None else along
        sigma = torch.tensor([level, depth_level]).expand(count, JOINTS, 2)
        laplace = torch.distributions.Laplace(0.0, 0.7)
        offset = offset + laplace.sample((count, JOINTS, 2)) * level
        depth = depth + laplace.sample((count, JOINTS)) * depth_level
        reported = sigma.log() + 0.2 * torch.randn(count, JOINTS, 2)
    yaw = _rough_heading(people, None if level is None else 0.3)
    betas = people.betas * torch.rand(count, 1) + 0.4 * torch.randn(count, 10)
    points = observed_points(offset, depth, queries, people.intrinsics)
    return points, reported.clamp(math.log(0.01), math.log(0.8)), yaw, betas


def _seen(people: People, depth_error: float) -> tuple[Queries, Tensor, Tensor]:
    """Queries beside the true chests, and where the joints lie from there: offset [N, J, 2], depth [N, J]."""
    joints, intrinsics, count = people.joints, people.intrinsics, len(people)
    chest = joints[:, REFERENCE_JOINT]
    off = torch.randn(count, 2) * 0.08 * (focal(intrinsics) / chest[:, 2])[:, None]
    queries = Queries(chest, project(chest, intrinsics) + off, chest[:, 2].log() + torch.randn(count) * depth_error)
    scale = queries.log_depth.exp() / focal(intrinsics)
    offset = (project(joints, intrinsics[:, None]) - queries.uv[:, None]) * scale[:, None, None]
    return queries, offset, ray_depths(joints, chest)


def _expected_errors(count: int) -> Tensor:
    """Standard deviations across and along the ray, metres [N, J, 2]: one person is seen well, another is not."""
    blurred = torch.rand(count, 1) < CHANCE_BLURRED
    quality = torch.where(blurred, _log_uniform(BLURRED, count, 1), _log_uniform(CLEAR, count, 1))
    outlier = (torch.rand(count, JOINTS) < CHANCE_OUTLIER) * torch.rand(count, JOINTS) * 2.5
    across = quality * (0.35 * torch.randn(count, JOINTS) + outlier).exp()
    along = _log_uniform(ALONG, count, 1) * (0.35 * torch.randn(count, JOINTS) + 0.5 * outlier).exp()
    cropped = torch.zeros(count, JOINTS)
    cropped[:, BELOW_HIPS] = (torch.rand(count, 1) < CHANCE_CROPPED).float()
    across = torch.where(cropped > 0, across + 0.2 * torch.rand(count, 1) + 0.15, across)
    return torch.stack([across.clamp(0.01, 0.6), (along + 0.3 * across).clamp(0.04, 0.6)], -1)


def _timid(depth: Tensor, sigma: Tensor) -> Tensor:
    """An unsure regressor answers nearer the mean instead of more noisily."""
    return depth * (1 - torch.rand(len(depth), 1) * sigma.square() / (sigma.square() + 0.04))


def _noisy(offset: Tensor, depth: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Noise that limbs share in part; a few joints are off without knowing it."""
    count = len(depth)
    laplace = torch.distributions.Laplace(0.0, 0.7)
    of_limb, own = laplace.sample((count, 5, 3))[:, LIMB_OF], laplace.sample((count, JOINTS, 3))
    noise = SHARED**0.5 * of_limb + (1 - SHARED) ** 0.5 * own
    unaware = (torch.rand(count, JOINTS, 1) < CHANCE_UNAWARE) * 0.15
    offset = offset + noise[..., :2] * (sigma[..., :1] + unaware)
    return offset, depth + noise[..., 2] * (sigma[..., 1] + unaware[..., 0])


def _confused(offset: Tensor, depth: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Legs or arms or both sides exchanged, wholly or in depth alone; depths turned round."""
    count = len(depth)
    mirrored = list(MIRRORED_JOINTS)
    limb = torch.tensor(LIMB_OF)
    everywhere = torch.rand(count, 1) < CHANCE_MIRRORED
    pair = torch.rand(count, 3)[:, (limb + 1) // 2] < CHANCE_EXCHANGED
    whole = everywhere | (pair & (limb > 0))
    offset = torch.where(whole[..., None], offset[:, mirrored], offset)
    sigma = torch.where(whole[..., None], sigma[:, mirrored], sigma)
    pair = torch.rand(count, 3)[:, (limb + 1) // 2] < CHANCE_EXCHANGED
    depth = torch.where(whole ^ pair, depth[:, mirrored], depth)
    back = torch.where(torch.rand(count, 1) < CHANCE_BACK, -torch.rand(count, 1), 1.0)
    return offset, depth * back, sigma


def _rough_heading(people: People, spread: float | None) -> Tensor:
    """Mean sine and cosine of a heading known to `spread` radians, or to any; a body that faces up or down has hardly one."""
    count = len(people)
    chest = people.joints[:, REFERENCE_JOINT]
    toward, length = heading(people.rotations[:, 0], rays(project(chest, people.intrinsics), people.intrinsics))
    if spread is None:
        width = torch.rand(count) * 0.9 + 0.05 + 0.5 * (1 - length)
        flipped = torch.rand(count) < CHANCE_FLIPPED
    else:
        width, flipped = torch.full((count,), spread), torch.zeros(count, dtype=torch.bool)
    turn = torch.randn(count) * width + torch.pi * flipped
    sine, cosine = turn.sin(), turn.cos()
    turned = torch.stack([toward[:, 0] * cosine + toward[:, 1] * sine, toward[:, 1] * cosine - toward[:, 0] * sine], -1)
    return turned * torch.exp(-width.square() / 2)[:, None]


def _log_uniform(between: tuple[float, float], *shape: int) -> Tensor:
    low, high = math.log(between[0]), math.log(between[1])
    return (torch.rand(*shape) * (high - low) + low).exp()
