"""Samples of any source to tensors of one size: what the criterion reads."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from depthhmr.person import MIRRORED

# ImageNet statistics: what DINOv2 was trained with; the small backbone does not mind
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)


def normalise(image: Tensor) -> Tensor:
    """float [B, 3, S, S] in 0..255 -> the network's input."""
    return (image - MEAN.to(image.device)) / STD.to(image.device)


@dataclass(frozen=True)
class Batch:
    """B images of side S with up to P people each; `valid` marks real ones. Camera frame, metres, letterboxed pixels."""

    image: Tensor  # [B, 3, S, S], normalised
    intrinsics: Tensor  # [B, 4]
    depth: Tensor  # [B, S, S], metres, 0 where there is no human
    valid: Tensor  # [B, P] bool
    visible: Tensor  # [B, P], share of the person that can be seen
    rotations: Tensor  # [B, P, J, 3, 3]
    betas: Tensor  # [B, P, 10]
    joints: Tensor  # [B, P, J, 3]

    def __len__(self) -> int:
        return len(self.image)


def make_batch(arrays: dict[str, np.ndarray], size: int) -> Batch:
    """Arrays as a shard stores them (see shards.py), resized to `size` where they were rendered larger or smaller."""
    image = torch.from_numpy(arrays["rgb"]).permute(0, 3, 1, 2).float()
    depth = torch.from_numpy(arrays["depth"]).float()
    intrinsics = torch.from_numpy(arrays["intrinsics"]).float()
    rendered = image.shape[-1]
    if rendered != size:
        image = F.interpolate(image, size=(size, size), mode="bilinear", antialias=True)
        depth = F.interpolate(depth[:, None], size=(size, size), mode="nearest")[:, 0]
        intrinsics = intrinsics * (size / rendered)
    people = max(1, int(arrays["count"].max()))
    take = lambda name: torch.from_numpy(arrays[name][:, :people]).float()  # noqa: E731
    valid = torch.arange(people) < torch.from_numpy(arrays["count"].astype(np.int64))[:, None]
    return Batch(
        normalise(image), intrinsics, depth, valid, take("visible"), take("rotations"), take("betas"), take("joints_3d")
    )


def mirror(batch: Batch, which: Tensor) -> Batch:
    """Left-right mirrored copies where which [B] is true: picture, camera and people alike."""
    flip = torch.tensor([-1.0, 1.0, 1.0])
    size = batch.image.shape[-1]

    def choose(changed: Tensor, kept: Tensor) -> Tensor:
        return torch.where(which.view(-1, *[1] * (kept.ndim - 1)), changed, kept)

    intrinsics = batch.intrinsics.clone()
    intrinsics[:, 2] = size - intrinsics[:, 2]
    rotations = batch.rotations[:, :, list(MIRRORED)] * flip[:, None] * flip
    return Batch(
        image=choose(batch.image.flip(-1), batch.image),
        intrinsics=choose(intrinsics, batch.intrinsics),
        depth=choose(batch.depth.flip(-1), batch.depth),
        valid=batch.valid,
        visible=batch.visible,
        rotations=choose(rotations, batch.rotations),
        betas=batch.betas,
        joints=choose(batch.joints[:, :, list(MIRRORED)] * flip, batch.joints),
    )
