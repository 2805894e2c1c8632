"""The labels of a batch in the network's terms: where each person's chest is, how deep, and who is to be found."""

from dataclasses import dataclass

import torch
from torch import Tensor

from depthhmr.network.geometry import focal, project
from depthhmr.network.queries import REFERENCE_JOINT
from depthhmr.training.batch import Batch
from depthhmr.training.rough_place import LEFT_HIP, LEFT_SHOULDER, RIGHT_HIP, RIGHT_SHOULDER, rough_place

PERSON_METRES = 1.7  # height of an average person
ROUGH_LOG_DEPTH = 0.1  # an estimated depth may be off by 10 % without a loss
NEAREST_CHEST = 0.4  # metres: nearer people are not learned
PICTURE_MARGIN = 0.12  # of the picture's side: a chest may lie this far outside
# How far the chest may lie from the labelled joints, in larger sides of their box. With a joint of the trunk labelled 0.4
# would do, from shins alone 2.8 (400 people of depthhmr.synth).
TRUNK_REACH, FAR_REACH = 1.0, 3.0
MIN_REACH = 0.1  # of the picture's side, where a single joint is labelled
TRUNK = (LEFT_HIP, RIGHT_HIP, LEFT_SHOULDER, RIGHT_SHOULDER)


@dataclass(frozen=True)
class Truth:
    """Ground truth of a batch in the network's terms. People axis P."""

    chest: Tensor  # [B, P, 2] pixels
    log_depth: Tensor  # [B, P] of the chest
    pixels_per_metre: Tensor  # [B, P]
    learned: Tensor  # [B, P] bool: people to find
    ignored: Tensor  # [B, P] bool: people who are too hidden to learn from; detections on them cost nothing
    around: (
        Tensor  # [B, P, 4] x0 y0 x1 y1: where the chest of a person without a known place may be, NaN for the others
    )
    rough: Tensor  # [B, P] bool: chest and depth are estimated from joints in the picture (rough_place.py)
    extent: Tensor  # [B, P, 4] x0 y0 x1 y1 around the labelled joints, in pixels

    def depth_error(self, log_depth: Tensor, which: tuple[Tensor, ...] | tuple[()] = ()) -> Tensor:
        """|log depth - truth| of the people `which`, less the tolerance of an estimate; at most 1.5."""
        error = (log_depth - self.log_depth[which]).abs() - ROUGH_LOG_DEPTH * self.rough[which]
        return error.clamp(0, 1.5)

    def on_unplaced(self, uv: Tensor) -> Tensor:
        """Whether pixels [B, K, 2] may lie on a person without a known place. -> bool [B, K]."""
        return _in_boxes(uv, self.around).any(-1)

    def on_labelled(self, uv: Tensor) -> Tensor:
        """Whether pixels [B, K, 2] lie among the labelled joints of a learned person. -> bool [B, K]."""
        return (_in_boxes(uv, self.extent) & self.learned[:, None]).any(-1)


def truth_of(batch: Batch, min_visible: float) -> Truth:
    """People of whom less than `min_visible` can be seen are ignored, not learned."""
    chest = batch.joints[:, :, REFERENCE_JOINT]
    placed = batch.known_3d & batch.metric[:, None]
    rough_chest, rough_log_depth, enough = rough_place(batch.pixels, batch.near_2d, batch.intrinsics)
    uv = torch.where(placed[..., None], project(chest, batch.intrinsics[:, None]), rough_chest)
    log_depth = torch.where(placed, chest[..., 2].clamp(min=0.3).log(), rough_log_depth)

    size = batch.image.shape[-1]
    pictured = ((uv > -PICTURE_MARGIN * size) & (uv < (1 + PICTURE_MARGIN) * size)).all(-1)
    learnable = pictured & torch.where(placed, chest[..., 2] > NEAREST_CHEST, enough)
    learned = batch.valid & learnable & (batch.visible >= min_visible)
    unplaced = batch.valid & ~placed & ~enough
    extent = _extent(batch)
    return Truth(
        chest=uv,
        log_depth=log_depth,
        pixels_per_metre=focal(batch.intrinsics)[:, None] / log_depth.exp(),
        learned=learned,
        ignored=batch.valid & ~learned & ~unplaced,
        around=_around(batch, extent, unplaced),
        rough=batch.valid & ~placed,
        extent=extent,
    )


def _extent(batch: Batch) -> Tensor:
    known = batch.near_2d[..., None]
    low, high = batch.pixels.where(known, torch.inf).amin(2), batch.pixels.where(known, -torch.inf).amax(2)
    return torch.cat([low, high], -1)


def _around(batch: Batch, extent: Tensor, unplaced: Tensor) -> Tensor:
    """Boxes [B, P, 4] in which the chests of unplaced people must lie; NaN, which contains no pixel, for all others."""
    near_trunk = batch.near_2d[..., list(TRUNK)].any(-1, keepdim=True)
    reach = torch.where(near_trunk, TRUNK_REACH, FAR_REACH)
    reach = reach * (extent[..., 2:] - extent[..., :2]).amax(-1, keepdim=True)
    reach = reach.clamp(min=MIN_REACH * batch.image.shape[-1])
    box = torch.cat([extent[..., :2] - reach, extent[..., 2:] + reach], -1)
    return box.where(unplaced[..., None] & batch.near_2d.any(2)[..., None], torch.nan)


def _in_boxes(uv: Tensor, boxes: Tensor) -> Tensor:
    """Which pixels [B, K, 2] lie in which boxes [B, P, 4], x0 y0 x1 y1. -> bool [B, K, P]."""
    low, high = boxes[:, None, :, :2], boxes[:, None, :, 2:]
    return ((uv[:, :, None] >= low) & (uv[:, :, None] <= high)).all(-1)
