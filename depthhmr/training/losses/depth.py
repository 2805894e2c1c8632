"""What the depth stream is taught: the depth around humans (DAH), or of whole scenes for the ablation."""

import torch
import torch.nn.functional as F
from torch import Tensor

from depthhmr.network.depth import DepthBins, canonical_log_shift
from depthhmr.network.encoder import Scene
from depthhmr.training.batch import Batch
from depthhmr.training.losses.weighting import two_bin_entropy, weighted_mean

HUMAN_SHARE = 0.25  # of a cell's pixels, from which on it counts as human
BACKGROUND_SHARE = 0.05  # below which it counts as background; cells in between count as neither
HUMAN_WEIGHT = 4  # of a human cell's entropy, against a background cell's
FAR = 1e4  # metres: stands for "no depth" where the nearest is looked for


def depth_losses(bins: DepthBins, target: str, scene: Scene, batch: Batch) -> dict[str, Tensor]:
    """Bins by cross-entropy, and log depth where humans are. `target` is "human" or "scene".

    Human depth is pooled by the nearest person, never averaged across a boundary. With whole scenes as targets there is
    no class for background, and every labelled cell counts alike.
    """
    log_depth, share = _pooled(batch.depth, scene.human.shape[-1])
    human = share >= HUMAN_SHARE
    shift = canonical_log_shift(batch.intrinsics, batch.image.shape[-1])[:, None, None]
    if target == "scene":  # the sky is as far as the bins go
        log_depth = torch.minimum(log_depth, bins.centres[-1].log() - shift)

    lower, upper, upper_share = bins.soft_target((log_depth + shift).exp())
    log_p = scene.depth_logits.float().log_softmax(1)
    foreground = two_bin_entropy(log_p, lower, upper, upper_share, dim=1)
    if target == "scene":
        entropy = foreground * human
    else:
        entropy = torch.where(human, HUMAN_WEIGHT * foreground, -log_p[:, -1] * (share < BACKGROUND_SHARE))
    known = batch.known_depth[:, None, None]
    weight = human * share * known
    error = (scene.log_depth - log_depth).abs().clamp(max=1.5) * weight
    return {
        "depth_bins": weighted_mean(entropy, known.float()),
        "depth_map": error.sum() / weight.sum().clamp(min=1),
    }


def _pooled(depth: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Log of the nearest depth in each cell, and the share of the cell that has any. depth [B, S, S] -> 2 x [B, h, w]."""
    factor = depth.shape[-1] // side
    far = torch.where(depth > 0, depth, depth.new_tensor(FAR))
    nearest = -F.max_pool2d(-far[:, None], factor)[:, 0]
    share = F.avg_pool2d((depth > 0).float()[:, None], factor)[:, 0]
    return nearest.clamp(0.3, 100.0).log(), share
