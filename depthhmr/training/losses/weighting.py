"""Means with weights, and cross-entropy against bins."""

import torch
import torch.nn.functional as F
from torch import Tensor


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of values with broadcast weights; 0 where all weights are 0."""
    weight = weight.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp(min=1e-3)


def weighted_mean_of_rows(values: Tensor, weight: Tensor) -> Tensor:
    """As `weighted_mean`, over the last axis alone."""
    return (values * weight).sum(-1) / weight.sum(-1).clamp(min=1e-3)


def focal_loss(logits: Tensor, positive: Tensor, counted: Tensor) -> Tensor:
    """Sigmoid focal loss per positive, gamma 2, both sides weighted alike (Lin et al. 2017). All [B, K]."""
    p = logits.sigmoid()
    gain = -0.5 * (1 - p).square() * F.logsigmoid(logits)
    cost = -0.5 * p.square() * F.logsigmoid(-logits)
    return (torch.where(positive, gain, cost) * counted).sum() / positive.sum().clamp(min=1)


def two_bin_entropy(log_p: Tensor, lower: Tensor, upper: Tensor, upper_share: Tensor, dim: int = -1) -> Tensor:
    """Cross-entropy against a target that lies between two bins.

    log_p: log probabilities with the bins on axis `dim`. lower, upper: int64 indices of the two bins, upper_share: how
    much of the target is the upper bin's, 0 to 1; these three, and the result, have no axis `dim`.
    """
    of = lambda index: log_p.gather(dim, index.unsqueeze(dim)).squeeze(dim)  # noqa: E731
    return -(of(lower) * (1 - upper_share) + of(upper) * upper_share)
