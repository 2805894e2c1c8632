"""What the query head is taught: a high score at each person's cell, and the place and depth of the chest there."""

import torch
import torch.nn.functional as F
from torch import Tensor

from depthhmr.network.encoder import Scene
from depthhmr.network.queries import QueryHead
from depthhmr.training.losses.truth import PERSON_METRES, Truth


def cells_of(head: QueryHead, chest: Tensor) -> tuple[Tensor, Tensor]:
    """The cell of each chest [B, P, 2] and its offset from that cell's centre. A chest outside belongs to the border.

    -> int64 [B, P], and [B, P, 2] in cells.
    """
    grid = chest / head.stride
    column_row = grid.floor().clamp(0, head.side - 1)
    index = (column_row[..., 1] * head.side + column_row[..., 0]).long()
    return index, grid - column_row - 0.5


def score_loss(head: QueryHead, logits: Tensor, truth: Truth, cells: Tensor, everyone: Tensor) -> Tensor:
    """CenterNet focal loss: one at a person's cell, less cost near it, none on people who are hidden or may lack a label.

    logits [B, N], cells [B, P], everyone [B] bool: all people of the picture are labelled.
    """
    centres = head.centres[None, :, None]  # [1, N, 1, 2]
    squared = (centres - truth.chest[:, None]).square().sum(-1)  # [B, N, P]
    radius = (truth.pixels_per_metre * PERSON_METRES * 0.1).clamp(min=0.6 * head.stride)[:, None]
    bell = torch.exp(-squared / (2 * radius.square()))
    heat = (bell * truth.learned[:, None]).amax(-1)
    places = centres[:, :, 0].expand(len(logits), -1, -1)
    hidden = ((bell > 0.3) & truth.ignored[:, None]).any(-1) | truth.on_unplaced(places)
    hidden = hidden | ~(everyone[:, None] | truth.on_labelled(places))
    positive = torch.zeros_like(logits, dtype=torch.bool)
    image, who = truth.learned.nonzero(as_tuple=True)
    positive[image, cells[image, who]] = True
    p = logits.sigmoid()
    gain = (1 - p).square() * F.logsigmoid(logits)
    cost = (1 - heat).pow(4) * p.square() * F.logsigmoid(-logits) * ~hidden
    return -torch.where(positive, gain, cost).sum() / positive.sum().clamp(min=1)


def place_loss(
    head: QueryHead, placements: Tensor, scene: Scene, truth: Truth, cells: Tensor, fractions: Tensor
) -> Tensor:
    """Offset of the chest within its cell, and depth there: what turns a cell into a 3D query."""
    image, who = truth.learned.nonzero(as_tuple=True)
    if not len(image):
        return placements.sum() * 0
    placed = placements[image, cells[image, who]]
    offset = (placed[:, :2] - fractions[image, who].clamp(-3, 3)).abs().mean()
    if not head.guided:
        return offset
    depth = scene.first_log_depth.flatten(1)[image, cells[image, who]] + placed[:, 2]
    return offset + 2 * truth.depth_error(depth, (image, who)).mean()
