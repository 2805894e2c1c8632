"""What the decoder is taught: place, depth and score of each query after every layer; and which queries people are read from.

Anchored queries start from the people's own cells, disturbed (denoising queries). Proposed ones are the network's own best
cells, matched to people.
"""

from dataclasses import replace

import torch
from torch import Tensor

from depthhmr.network.decoder import Decoded
from depthhmr.network.encoder import Scene
from depthhmr.network.queries import Queries, QueryHead
from depthhmr.training.batch import Batch
from depthhmr.training.losses.truth import PERSON_METRES, Truth
from depthhmr.training.losses.weighting import focal_loss

LAYER_MARGIN = (
    0.1  # of log depth: people of one depth layer are at most this far apart, those of different ones at least
)


def anchored_queries(head: QueryHead, scene: Scene, placements: Tensor, truth: Truth, cells: Tensor) -> Queries:
    """One disturbed query per person: at times in a neighbouring cell; with its own guess of place and depth where that is
    close, else with the truth under noise (25 % of depth, 15 cm), which the decoder learns to remove."""
    here = cells.device
    shift = torch.randint(-1, 2, (*cells.shape, 2), device=here) * (torch.rand(*cells.shape, 1, device=here) < 0.3)
    column = (cells % head.side + shift[..., 0]).clamp(0, head.side - 1)
    row = (cells // head.side + shift[..., 1]).clamp(0, head.side - 1)
    queries = head.at(row * head.side + column, scene.fused, placements, scene.first_log_depth)
    noisy_uv = truth.chest + torch.randn_like(truth.chest) * 0.15 * truth.pixels_per_metre[..., None]
    noisy_depth = truth.log_depth + 0.25 * torch.randn_like(truth.log_depth)
    apart = (queries.uv - truth.chest).norm(dim=-1) / truth.pixels_per_metre
    poor = (apart > 0.3) | (torch.rand_like(apart) < 0.3)
    log_depth = queries.log_depth
    if head.guided:  # an unguided query has no depth of its own before the decoder
        poor = poor | ((log_depth - truth.log_depth).abs() > 0.3)
        log_depth = torch.where(poor, noisy_depth, log_depth)
    return replace(queries, uv=torch.where(poor[..., None], noisy_uv, queries.uv), log_depth=log_depth)


def layer_losses(
    anchored: list[Decoded], proposed: list[Decoded], person: Tensor, truth: Truth, batch: Batch
) -> dict[str, Tensor]:
    """Place, depth and score after every decoder layer, and the order of people whose depth layers are labelled.

    person [B, K]: the person of each proposed query, -1 for none.
    """
    image, query = (person >= 0).nonzero(as_tuple=True)
    matched = (image, person[image, query])
    own = truth.learned.nonzero(as_tuple=True)
    spare = _unpunished(proposed[-1], person, truth, batch.everyone)
    uv, depth, score = [], [], []
    for layer_anchored, layer_proposed in zip(anchored, proposed, strict=True):
        for layer, rows, people in ((layer_anchored, own, own), (layer_proposed, (image, query), matched)):
            if not len(rows[0]):
                continue
            apart = (layer.queries.uv[rows] - truth.chest[people]).abs() / truth.pixels_per_metre[people][:, None]
            uv.append(apart.clamp(max=1.5).mean())
            depth.append(truth.depth_error(layer.queries.log_depth[rows], people).mean())
        score.append(focal_loss(layer_proposed.logits, person >= 0, ~spare))
    zero = proposed[-1].logits.sum() * 0
    return {
        "layer_uv": sum(uv, zero) / max(1, len(uv)),
        "layer_depth": sum(depth, zero) / max(1, len(depth)),
        "person": sum(score, zero) / len(proposed),
        "order": order_loss(anchored[-1].queries.log_depth, truth.learned, batch.layer),
    }


def order_loss(log_depth: Tensor, learned: Tensor, layer: Tensor) -> Tensor:
    """Hinge on the depths of labelled pairs: near within a layer, apart across (BEV, Sun et al. 2022, sec. 3.4).

    All [B, P]; `layer` is the ordinal depth layer, -1 where unknown.
    """
    known = learned & (layer >= 0)
    pairs = (known[:, :, None] & known[:, None]).triu(1)
    farther = (log_depth[:, :, None] - log_depth[:, None]) * (layer[:, :, None] - layer[:, None]).sign()
    within = (log_depth[:, :, None] - log_depth[:, None]).abs() - LAYER_MARGIN
    same = layer[:, :, None] == layer[:, None]
    miss = torch.where(same, within, LAYER_MARGIN - farther).clamp(0, 1.5)
    return (miss * pairs).sum() / pairs.sum().clamp(min=1)


def _unpunished(decoded: Decoded, person: Tensor, truth: Truth, everyone: Tensor) -> Tensor:
    """Unmatched queries on a hidden person, or where a person may lack a label. -> bool [B, K]."""
    uv = decoded.queries.uv.detach()
    apart = (uv[:, :, None] - truth.chest[:, None]).norm(dim=-1) / truth.pixels_per_metre[:, None]
    hidden = ((apart < 0.5) & truth.ignored[:, None]).any(-1) | truth.on_unplaced(uv)
    unlabelled = ~everyone[:, None] & ~truth.on_labelled(uv)
    return (hidden | unlabelled) & (person < 0)


def reading_share(batch: Batch, truth: Truth) -> Tensor:
    """Probability [B, P], 0.08 to 1, of reading a person: small and hidden people are mostly noise to the person head."""
    height = truth.pixels_per_metre * PERSON_METRES / batch.image.shape[-1]
    return (height / 0.4).clamp(0.25, 1) * (batch.visible / 0.5).clamp(0.3, 1)


def queries_to_read(
    anchored: Decoded, proposed: Decoded, person: Tensor, truth: Truth, share: Tensor, anchored_share: float
) -> tuple[Queries, Tensor, Tensor] | None:
    """The query from which each person is read, at most once; None if nobody is.

    share [B, P]: probability of reading each person. `anchored_share` of them are read from their anchored query, the
    others from the proposal matched to them, where there is one. -> (queries of N people, image [N], person [N]).
    """
    image, who = (truth.learned & (torch.rand_like(share) < share)).nonzero(as_tuple=True)
    if not len(image):
        return None
    slot = torch.full(truth.learned.shape, -1, dtype=torch.long, device=person.device)
    matched_image, query = (person >= 0).nonzero(as_tuple=True)
    slot[matched_image, person[matched_image, query]] = query
    slot = slot[image, who]
    use_own = (slot < 0) | (torch.rand(len(slot), device=slot.device) < anchored_share)
    slot = slot.clamp(min=0)

    def choose(name: str) -> Tensor:
        own = getattr(anchored.queries, name)[image, who]
        other = getattr(proposed.queries, name)[image, slot]
        return torch.where(use_own.view(-1, *[1] * (own.ndim - 1)), own, other)

    queries = Queries(choose("content"), choose("uv").detach(), choose("log_depth").detach())
    return queries, image, who
