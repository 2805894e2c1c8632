"""The people that the lifter learns from: sampled ones, and among them many that lie, stand on their hands or do what no
table of poses holds.

Photographs of athletes are full of bodies at any roll and of legs and arms in combinations that everyday poses lack. So
part of the people are put together from the trunk of one, the arms of another and the legs of a third, and part of them
turn as a whole in front of the camera.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bodykit.body import JOINT, SIDES, Body
from bodykit.rotations import axis_angle_to_matrix
from depthhmr.network.queries import REFERENCE_JOINT
from depthhmr.network.skinning import BodyLayer
from depthhmr.synth.joints import sample_people


def _both(*parts: str) -> list[int]:
    return [JOINT[f"{side}_{part}"] for part in parts for side in SIDES]


LEGS = _both("hip", "knee", "ankle", "foot")
ARMS = _both("collar", "shoulder", "elbow", "wrist", "hand")
LOOSE = _both("hip", "collar", "shoulder") + [JOINT[f"spine{i}"] for i in (1, 2, 3)]  # they turn any way
MIXED = 0.35  # share of people put together from several
SHAKEN, SHAKE = 0.3, 0.15  # share of people whose loose joints turn on at random, and by how much: radians
ROLLED, TUMBLED = 0.25, 0.10  # shares turned about the viewing ray, and anyhow
NEAREST = 0.3  # metres: a turn that brings a joint nearer to the camera than this is not made


@dataclass(frozen=True)
class People:
    """N people with ground truth, one camera each."""

    rotations: Tensor  # [N, J, 3, 3]
    betas: Tensor  # [N, 10]
    joints: Tensor  # [N, J, 3], camera metres
    intrinsics: Tensor  # [N, 4]

    def __len__(self) -> int:
        return len(self.betas)

    def pick(self, index: Tensor) -> "People":
        return People(**{name: value[index] for name, value in vars(self).items()})


def draw(body: Body, seed: int, count: int) -> People:
    """People as the rendered pictures hold them."""
    drawn = sample_people(body, np.random.default_rng(seed), count)
    as_tensor = lambda name: torch.from_numpy(np.ascontiguousarray(drawn[name])).float()  # noqa: E731
    return People(as_tensor("rotations"), as_tensor("betas"), as_tensor("joints_3d"), as_tensor("intrinsics"))


def draw_widely(body: BodyLayer, source: Body, seed: int, count: int) -> People:
    """People of `draw`, many of them mixed, shaken and turned; `body` is the layer of `source`."""
    generator = torch.Generator().manual_seed(seed)
    return turned(body, mixed(body, draw(source, seed, count), generator), generator)


def mixed(body: BodyLayer, people: People, generator: torch.Generator) -> People:
    """Some of the people with the legs and the arms of others, some with their loose joints turned at random."""
    count, rotations = len(people), people.rotations.clone()
    chosen = torch.rand(count, generator=generator) < MIXED
    for part in (LEGS, ARMS):
        giver = torch.randperm(count, generator=generator)
        rows = chosen.nonzero()[:, :1]
        rotations[rows, torch.tensor(part)] = people.rotations[giver[rows], torch.tensor(part)]
    shaken = (torch.rand(count, 1, 1, generator=generator) < SHAKEN).float()
    shake = _matrices(SHAKE * shaken * torch.randn(count, len(LOOSE), 3, generator=generator))
    rotations[:, LOOSE] = rotations[:, LOOSE] @ shake
    return _in_front(body, people, rotations, people.joints[:, 0])


def turned(body: BodyLayer, people: People, generator: torch.Generator) -> People:
    """Some of the people turned about their chest: about its viewing ray by any angle, or anyhow."""
    count = len(people)
    fate = torch.rand(count, 1, generator=generator)
    chest = people.joints[:, REFERENCE_JOINT]
    axis = torch.randn(count, 3, generator=generator)
    axis = torch.where(fate < ROLLED, chest, axis)
    angle = (torch.rand(count, 1, generator=generator) * 2 - 1) * torch.pi
    turn = torch.where(fate < ROLLED + TUMBLED, angle, 0.0) * axis / axis.norm(dim=-1, keepdim=True)
    rotation = _matrices(turn)
    rotations = people.rotations.clone()
    rotations[:, 0] = rotation @ rotations[:, 0]
    pelvis = chest + (rotation @ (people.joints[:, 0] - chest)[..., None])[..., 0]
    return _in_front(body, people, rotations, pelvis)


def _in_front(body: BodyLayer, people: People, rotations: Tensor, pelvis: Tensor) -> People:
    """The people in new poses; who would reach behind the camera keeps the old one."""
    joints = body.joints(people.betas, rotations, pelvis)
    kept = joints[..., 2].amin(1) > NEAREST
    return People(
        torch.where(kept[:, None, None, None], rotations, people.rotations), people.betas,
        torch.where(kept[:, None, None], joints, people.joints), people.intrinsics,
    )  # fmt: skip


def _matrices(turns: Tensor) -> Tensor:
    """Rotation vectors [..., 3] to matrices [..., 3, 3]."""
    return torch.from_numpy(axis_angle_to_matrix(turns.numpy()))
