"""Samples of any source to tensors of one size: what the criterion reads."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bodykit.body import MIRRORED_JOINTS
from bodykit.errors import UserError
from depthhmr.network.geometry import project
from depthhmr.network.normalise import normalise

OF_PEOPLE = ("valid", "visible", "rotations", "betas", "joints", "pixels", "known_2d", "near_2d", "known_3d", "layer")


@dataclass(frozen=True)
class Batch:
    """B images of side S with up to P people each; `valid` marks real ones. Camera frame, metres, letterboxed pixels.

    What is not labelled holds anything: the flags say what may be learned from.
    """

    image: Tensor  # [B, 3, S, S], normalised
    intrinsics: Tensor  # [B, 4]
    depth: Tensor  # [B, S, S], metres, 0 where there is no human
    valid: Tensor  # [B, P] bool
    visible: Tensor  # [B, P], share of the person that can be seen
    rotations: Tensor  # [B, P, J, 3, 3]
    betas: Tensor  # [B, P, 10]
    joints: Tensor  # [B, P, J, 3]
    pixels: Tensor  # [B, P, J, 2], where joints appear
    known_2d: Tensor  # [B, P, J] bool: pixels are labelled
    near_2d: Tensor  # [B, P, J] bool: labelled, or a point nearby is, as the hips of LSP are
    known_3d: Tensor  # [B, P] bool: rotations, betas and joints are labelled
    layer: Tensor  # [B, P] int64, ordinal depth layer, nearest 0 (Relative Human); -1 unknown
    everyone: Tensor  # [B] bool: nobody in the picture is missing from the list
    metric: Tensor  # [B] bool: depths of joints are true metres
    known_depth: Tensor  # [B] bool: the depth map is labelled

    def __len__(self) -> int:
        return len(self.image)


def make_batch(arrays: dict[str, np.ndarray], size: int, *, whole_depth: bool = False) -> Batch:
    """Arrays as a shard stores them (see shards.py), resized to `size` where they were rendered larger or smaller.

    `whole_depth` takes the depth of everything in the picture, which not every shard holds.
    """
    if whole_depth and "whole_depth" not in arrays:
        raise UserError("expected shards with the depth of whole scenes, these hold that of people only")
    image = torch.from_numpy(arrays["rgb"]).permute(0, 3, 1, 2).float()
    depth = torch.from_numpy(arrays["whole_depth" if whole_depth else "depth"]).float()
    intrinsics = torch.from_numpy(arrays["intrinsics"]).float()
    scale = size / image.shape[-1]
    if scale != 1:
        image = F.interpolate(image, size=(size, size), mode="bilinear", antialias=True)
        depth = F.interpolate(depth[:, None], size=(size, size), mode="nearest")[:, 0]
        intrinsics = intrinsics * scale
    people = max(1, int(arrays["count"].max()))
    of_people = lambda name: torch.from_numpy(arrays[name][:, :people])  # noqa: E731
    joints = of_people("joints_3d").float()
    count, known = len(image), torch.ones(len(image), people, dtype=torch.bool)
    if "joints_2d" in arrays:
        pixels, known_2d = of_people("joints_2d").float() * scale, of_people("known_2d")
        near_2d = (pixels != 0).any(-1)
    else:
        pixels, known_2d = project(joints, intrinsics[:, None, None]), known[..., None].expand(joints.shape[:3])
        near_2d = known_2d
    of_images = lambda name: torch.from_numpy(arrays[name]) if name in arrays else known.new_ones(count)  # noqa: E731
    return Batch(
        image=normalise(image),
        intrinsics=intrinsics,
        depth=depth,
        valid=torch.arange(people) < torch.from_numpy(arrays["count"].astype(np.int64))[:, None],
        visible=of_people("visible").float(),
        rotations=of_people("rotations").float(),
        betas=of_people("betas").float(),
        joints=joints,
        pixels=pixels,
        known_2d=known_2d,
        near_2d=near_2d,
        known_3d=of_people("known_3d") if "known_3d" in arrays else known,
        layer=of_people("layer").long() if "layer" in arrays else torch.full((count, people), -1),
        everyone=of_images("everyone"),
        metric=of_images("metric"),
        known_depth=of_images("known_depth"),
    )


def join(batches: Sequence[Batch]) -> Batch:
    """One batch out of several of the same side; the list of people is as long as the longest."""
    most = max(batch.valid.shape[1] for batch in batches)

    def column(name: str) -> Tensor:
        parts = [getattr(batch, name) for batch in batches]
        if name in OF_PEOPLE:
            parts = [torch.cat([p, p.new_zeros(len(p), most - p.shape[1], *p.shape[2:])], 1) for p in parts]
        return torch.cat(parts)

    return Batch(**{field.name: column(field.name) for field in fields(Batch)})


def mirror(batch: Batch, which: Tensor) -> Batch:
    """Left-right mirrored copies where which [B] is true: picture, camera and people alike."""
    flip = torch.tensor([-1.0, 1.0, 1.0])
    size = batch.image.shape[-1]

    def choose(changed: Tensor, kept: Tensor) -> Tensor:
        return torch.where(which.view(-1, *[1] * (kept.ndim - 1)), changed, kept)

    intrinsics = batch.intrinsics.clone()
    intrinsics[:, 2] = size - intrinsics[:, 2]
    rotations = batch.rotations[:, :, list(MIRRORED_JOINTS)] * flip[:, None] * flip
    pixels = batch.pixels[:, :, list(MIRRORED_JOINTS)].clone()
    pixels[..., 0] = size - pixels[..., 0]
    return replace(
        batch,
        image=choose(batch.image.flip(-1), batch.image),
        intrinsics=choose(intrinsics, batch.intrinsics),
        depth=choose(batch.depth.flip(-1), batch.depth),
        rotations=choose(rotations, batch.rotations),
        joints=choose(batch.joints[:, :, list(MIRRORED_JOINTS)] * flip, batch.joints),
        pixels=choose(pixels, batch.pixels),
        known_2d=choose(batch.known_2d[:, :, list(MIRRORED_JOINTS)], batch.known_2d),
        near_2d=choose(batch.near_2d[:, :, list(MIRRORED_JOINTS)], batch.near_2d),
    )
