"""Which query answers for which person: Hungarian matching (DETR), with a depth term for people who overlap in 2D."""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

SCORE_COST, LATERAL_COST, DEPTH_COST = 0.5, 2.0, 1.0
FAR = 1e3  # cost of a pair that may not be matched


@torch.no_grad()
def match(
    logits: Tensor, uv: Tensor, log_depth: Tensor, true_uv: Tensor, true_log_depth: Tensor, pixels_per_metre: Tensor,
    valid: Tensor, *, reach: float = 0.7, depth_reach: float = 0.6,
) -> Tensor:  # fmt: skip
    """The person of each query, -1 for none.

    Cost: score, distance across the ray in metres at the person's depth, and absolute log ratio of depths. Pairs further
    apart than `reach` metres or `depth_reach` are never matched: a query on the other side of the picture would only be
    dragged through everybody in between.
    logits, log_depth [B, K]; uv [B, K, 2]; true_uv [B, P, 2]; true_log_depth, pixels_per_metre, valid [B, P] -> int64 [B, K].
    """
    lateral = (uv[:, :, None] - true_uv[:, None]).norm(dim=-1) / pixels_per_metre[:, None]
    ratio = (log_depth[:, :, None] - true_log_depth[:, None]).abs()
    cost = -SCORE_COST * logits.sigmoid()[..., None] + LATERAL_COST * lateral + DEPTH_COST * ratio
    allowed = (lateral < reach) & (ratio < depth_reach) & valid[:, None]
    cost = torch.where(allowed, cost, FAR).cpu().numpy()
    allowed = allowed.cpu()
    person = torch.full(logits.shape, -1, dtype=torch.long)
    for image in range(len(cost)):
        if not allowed[image].any():
            continue
        for query, who in zip(*linear_sum_assignment(cost[image]), strict=True):
            if allowed[image, query, who]:
                person[image, query] = int(who)
    return person.to(logits.device)
