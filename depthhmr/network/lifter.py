"""Inverse kinematics by a small network: noisy 3D joints of one person in, joint rotations out.

It never sees an image. It is trained on joints of sampled poses under simulated observation noise and then frozen: in
trials, training it on through the pixels wore it out (33 -> 76 mm PA-MPJPE on true joints). Everything is expressed in a
torso frame built from the joints themselves, so that heading, distance and place cost it nothing to learn.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bodykit.body import JOINT, JOINTS, SIDES
from depthhmr.network.config import ModelConfig
from depthhmr.network.geometry import frame_from, solve_symmetric3
from depthhmr.network.skinning import BodyLayer

PELVIS, SPINE3, NECK = JOINT["pelvis"], JOINT["spine3"], JOINT["neck"]
# The joints that span the body's left-right axis.
LEFT, RIGHT = ([JOINT[f"{side}_{part}"] for part in ("hip", "collar", "shoulder")] for side in SIDES)
HALF_TRUST = (0.06, 0.15)  # metres of expected error across and along the ray at which a joint counts half


@dataclass(frozen=True)
class Lifted:
    rotations: Tensor  # [N, J, 3, 3]
    raw: Tensor  # [N, J, 6], before Gram-Schmidt: trained directly, its gradient does not vanish
    world: Tensor  # [N, J, 3, 3], orientations of the joints in camera axes
    joints: Tensor  # [N, J, 3], metres, camera axes, pelvis at the origin


class ResidualLayer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.widen, self.narrow = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.narrow.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(F.relu(self.widen(self.norm(x))))


def torso_frame(points: Tensor) -> Tensor:
    """Body axes guessed from joints [N, J, 3]: up from the spine first (left-right is noise while facing is unsure),
    then left. -> [N, 3, 3], columns left, up, front in camera axes."""
    up = points[:, NECK] + 0.5 * points[:, SPINE3] - 1.5 * points[:, PELVIS]
    left = sum(points[:, a] - points[:, b] for a, b in zip(LEFT, RIGHT, strict=True))
    return frame_from(up, left, order="yx", floor=0.02)


class Lifter(nn.Module):
    """Two stages: the second sees where the first one's skeleton misses the observed joints."""

    def __init__(self, config: ModelConfig, body: BodyLayer) -> None:
        super().__init__()
        width, known = config.lifter_width, JOINTS * 5 + 9 + 3 + 2 + 10
        self.enter = nn.Linear(known, width)
        self.feedback = nn.Linear(JOINTS * 3, width)
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualLayer(width) for _ in range(config.lifter_blocks)), nn.LayerNorm(width))
            for _ in range(2)
        )
        self.exits = nn.ModuleList(nn.Linear(width, 6 * JOINTS) for _ in range(2))
        self.apart = config.pixels_apart
        for exit_ in self.exits:
            nn.init.normal_(exit_.weight, std=0.002)
            nn.init.zeros_(exit_.bias)
        mean = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(JOINTS, 1)
        self.register_buffer("mean", mean)  # [J, 6], set from the training poses
        object.__setattr__(self, "body", body)  # shared, not owned: it has no state to save

    def forward(self, points: Tensor, log_sigma: Tensor, yaw: Tensor, betas: Tensor) -> list[Lifted]:
        """points [N, J, 3] camera metres; log_sigma [N, J, 2] log metres across and along the viewing ray; yaw [N, 2]
        mean sine and cosine of the heading; betas [N, 10] -> one Lifted per stage."""
        frame = torso_frame(points)
        pelvis = points[:, :1]
        local = (points - pelvis) @ frame  # rows times columns: into body axes
        view = F.normalize(pelvis, dim=-1) @ frame
        per_variance = [half**-2 for half in HALF_TRUST] if self.apart else [25.0, 11.0]  # half at 0.2 m and 0.3 m
        trust = 1 / (1 + (log_sigma * 2).exp() * log_sigma.new_tensor(per_variance))
        hidden = self.enter(
            torch.cat([local.flatten(1), trust.flatten(1), frame.flatten(1), view.flatten(1), yaw, 0.3 * betas], -1)
        )
        raw = self.mean
        results: list[Lifted] = []
        for index, (stage, leave) in enumerate(zip(self.stages, self.exits, strict=True)):
            if index:
                miss = miss_along_rays if self.apart else miss_of_points
                hidden = hidden + self.feedback(miss(results[-1].joints, points, trust, frame).flatten(1))
            hidden = stage(hidden)
            raw = raw + leave(hidden).float().unflatten(-1, (JOINTS, 6))
            results.append(self._pose(raw, frame, betas))
        return results

    def _pose(self, raw: Tensor, frame: Tensor, betas: Tensor) -> Lifted:
        """Raw 6D numbers to rotations; joint 0 is a correction of the torso frame, up axis first."""
        floor = 0.2 if torch.is_grad_enabled() else 1e-6
        corrected = frame @ raw[:, 0].unflatten(-1, (2, 3)).transpose(1, 2)  # [N, 3, 2]: left and up axes
        root = frame_from(corrected[..., 1], corrected[..., 0], order="yx", floor=floor)
        others = frame_from(raw[:, 1:, :3], raw[:, 1:, 3:], order="xy", floor=floor)
        rotations = torch.cat([root[:, None], others], 1)
        axes = torch.cat([corrected[..., 0], corrected[..., 1]], -1)
        world, joints = self.body.frames(betas, rotations, 0 * betas[:, :3])
        return Lifted(rotations, torch.cat([axes[:, None], raw[:, 1:]], 1), world, joints)


def miss_of_points(joints: Tensor, points: Tensor, trust: Tensor, frame: Tensor) -> Tensor:
    """Observed minus posed joints, in body axes, after the best shift; distrusted joints count little. [N, J, 3]."""
    weight = trust.amin(-1, keepdim=True)
    apart = points - joints
    shift = (apart * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1e-3)
    return (((apart - shift) * weight) @ frame).clamp(-1, 1).detach()


def miss_along_rays(joints: Tensor, points: Tensor, trust: Tensor, frame: Tensor) -> Tensor:
    """The same, but what lies across a joint's viewing ray counts by the trust in its pixel, what lies along it by the
    trust in its depth: an unsure depth takes nothing from a sure pixel. [N, J, 3]."""
    ray = F.normalize(points, dim=-1)
    across, along = trust[..., :1], trust[..., 1:]

    def weighted(apart: Tensor) -> Tensor:
        return across * apart - (across - along) * (apart * ray).sum(-1, keepdim=True) * ray

    apart = points - joints
    slack = ((across - along) * ray).transpose(1, 2) @ ray
    normal = (across.sum(1) + 1e-3)[..., None] * torch.eye(3, device=points.device) - slack
    shift = solve_symmetric3(normal, weighted(apart).sum(1)[..., None])[..., 0]
    return (weighted(apart - shift[:, None]) @ frame).clamp(-1, 1).detach()


def place(joints: Tensor, points: Tensor, log_sigma: Tensor) -> Tensor:
    """Pelvis position that puts a posed skeleton best on its observed points.

    Weighted least squares in closed form. joints [N, J, 3] with the pelvis at the origin, points [N, J, 3] camera
    metres, log_sigma [N, J, 2] -> [N, 3].
    """
    weight = torch.exp(-2 * log_sigma.clamp(min=math.log(0.03)))
    weight = torch.stack([weight[..., 0], weight[..., 0], weight[..., 1]], -1)
    return ((points - joints) * weight).sum(1) / weight.sum(1)
