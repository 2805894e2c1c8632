"""Joints move to the heat around them, by their own side of the body, and as far as the heat can be trusted."""

import pytest
import torch
from torch import Tensor

from bodykit.body import JOINT, JOINTS
from depthhmr.network.config import preset
from depthhmr.network.heat import LIMB_JOINTS, LIMBS, HeatRefinement
from depthhmr.network.movenet import COCO_JOINTS
from depthhmr.network.queries import Queries

SIZE, HIDDEN = 224, 8
CAMERA = torch.tensor([[200.0, 200.0, 112.0, 112.0]])
PIXELS_PER_METRE = 50.0  # of a query at 4 m
WRIST, OTHER_WRIST = JOINT["left_wrist"], JOINT["right_wrist"]


def blob(name: str, u: float, v: float, height: float = 0.9) -> Tensor:
    """Heat [1, 17, 56, 56] of one joint around a pixel, 6 pixels wide."""
    centres = (torch.arange(SIZE // 4) + 0.5) * 4
    heat = torch.full((1, len(COCO_JOINTS), SIZE // 4, SIZE // 4), 1e-3)
    squared = (centres - u).square() + (centres[:, None] - v).square()
    heat[0, COCO_JOINTS.index(name)] = height * torch.exp(-squared / 72)
    return heat


def refined(heat: Tensor, offset: Tensor):
    module = HeatRefinement(preset("tiny", size=SIZE), HIDDEN)
    queries = Queries(torch.zeros(1, 1, 4), torch.full((1, 1, 2), 112.0), torch.tensor([[4.0]]).log())
    sigma = torch.full((1, JOINTS), -1.0)
    with torch.no_grad():
        return module(heat, queries, CAMERA, offset, sigma, torch.zeros(1, JOINTS, HIDDEN))


def test_a_joint_moves_onto_the_peak_beside_it() -> None:
    offset = torch.zeros(1, JOINTS, 2)
    result = refined(blob("left_wrist", 117, 109), offset)
    moved = result.offset[0, 0, WRIST] * PIXELS_PER_METRE
    assert torch.allclose(moved, torch.tensor([5.0, -3.0]), atol=0.6)
    assert result.log_sigma[0, 0, WRIST] < -2, "a high peak makes a joint sure"
    assert torch.equal(result.log_sigma[0, 0, JOINT["left_hand"]], torch.tensor(-1.0))


def test_a_hand_follows_its_wrist() -> None:
    offset = torch.zeros(1, JOINTS, 2)
    offset[0, JOINT["left_hand"]] = 0.1
    result = refined(blob("left_wrist", 117, 109), offset)
    move = result.offset[0, 0, WRIST]
    assert torch.allclose(result.offset[0, 0, JOINT["left_hand"]], 0.1 + move, atol=1e-6)
    assert torch.allclose(result.offset[0, 0, JOINT["left_ankle"]], torch.zeros(2), atol=0.02)


@pytest.mark.parametrize("height", [0.0, 0.05])
def test_without_heat_a_joint_stays(height: float) -> None:
    offset = torch.zeros(1, JOINTS, 2)
    result = refined(blob("left_wrist", 117, 109, height), offset)
    assert result.offset[0, 0, WRIST].norm() * PIXELS_PER_METRE < 2
    assert result.log_sigma[0, 0, WRIST] > -1.6


def test_heat_far_away_moves_nothing() -> None:
    result = refined(blob("left_wrist", 200, 30), torch.zeros(1, JOINTS, 2))
    assert result.offset[0, 0, WRIST].norm() < 0.03


def test_the_heat_of_the_other_side_speaks_for_exchanging_the_sides() -> None:
    same, other = (refined(blob(name, 112, 112), offset_of(WRIST)) for name in ("left_wrist", "right_wrist"))
    assert same.evidence < -0.3 and other.evidence > 0.3
    assert other.log_sigma[0, 1, WRIST] < -2, "read as exchanged, the slot of the left wrist is the right wrist"
    assert other.log_sigma[0, 0, WRIST] > -1.6


def offset_of(joint: int) -> Tensor:
    """All joints 1 m away from the query but one."""
    offset = torch.ones(1, JOINTS, 2)
    offset[0, joint] = 0
    return offset


def test_every_limb_has_a_joint_of_the_body() -> None:
    assert len(LIMBS) == len(LIMB_JOINTS) == 12
    assert all(JOINT[name] == joint for name, joint in zip(LIMBS, LIMB_JOINTS, strict=True))
