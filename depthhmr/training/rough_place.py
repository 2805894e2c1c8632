"""Where a person stands of whom only joints in the picture are known: near enough to find and to frame them.

A bone of known length never looks longer than it is, so each of them bounds the depth from above, and those that lie
across the view come close. The numbers were fitted on 7,842 rendered people, their joints moved by 3 cm.
"""

import torch
from torch import Tensor

from bodykit.body import JOINT, SIDES
from depthhmr.network.geometry import focal

LEFT_HIP, RIGHT_HIP = JOINT["left_hip"], JOINT["right_hip"]
LEFT_SHOULDER, RIGHT_SHOULDER = JOINT["left_shoulder"], JOINT["right_shoulder"]
# joints at both ends, and the mean length in metres of the grown-ups of depthhmr.synth
SIDE_BONES = (
    ("hip", "knee", 0.403), ("knee", "ankle", 0.425), ("shoulder", "elbow", 0.245), ("elbow", "wrist", 0.241),
    ("shoulder", "hip", 0.455),
)  # fmt: skip
BONES = (
    *((JOINT[f"{side}_{a}"], JOINT[f"{side}_{b}"], metres) for a, b, metres in SIDE_BONES for side in SIDES),
    (LEFT_SHOULDER, RIGHT_SHOULDER, 0.345),
    *((JOINT["neck"], JOINT[f"{side}_hip"], 0.562) for side in SIDES),
)
MIN_BONES = 6
RANK = 0.25  # which of the bounds to take, from the lowest: median error 7 %, no bias
SHOULDERS_SHARE = 0.84  # the chest lies there on the way from the hips to the shoulders: median error 3 cm


def rough_place(pixels: Tensor, known: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Chests and depths of people, from labelled joints.

    pixels [B, P, J, 2], known [B, P, J] bool, intrinsics [B, 4] -> chest [B, P, 2] pixels, log depth [B, P] of the chest,
    and whether enough is known for either [B, P] bool.
    """
    shoulders = pixels[:, :, [LEFT_SHOULDER, RIGHT_SHOULDER]].mean(2)
    hips = pixels[:, :, [LEFT_HIP, RIGHT_HIP]].mean(2)
    chest = hips + SHOULDERS_SHARE * (shoulders - hips)
    first, second = [a for a, _, _ in BONES], [b for _, b, _ in BONES]
    metres = pixels.new_tensor([length for _, _, length in BONES])
    length = (pixels[:, :, first] - pixels[:, :, second]).norm(dim=-1).clamp(min=1e-3)
    measured = known[:, :, first] & known[:, :, second]
    count = measured.sum(-1)
    bounds = torch.where(measured, focal(intrinsics)[:, None, None] * metres / length, torch.inf)
    rank = (RANK * (count - 1)).round().long().clamp(min=0)
    depth = bounds.sort(-1).values.gather(-1, rank[..., None])[..., 0]
    enough = (count >= MIN_BONES) & known[:, :, [LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP]].all(-1)
    return chest, torch.where(enough, depth, 1.0).clamp(0.3, 100.0).log(), enough
