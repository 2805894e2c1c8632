"""Depth-guided 3D query initialisation: where in camera space a person may be (paper, sec. 3.3).

A query is a point (u, v, log z): a pixel and a depth, hence a 3D point through the camera. Its reference is the chest
(joint 9, spine3): of all joints near the body's centre it is the one most often inside the picture.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bodykit.body import JOINT
from depthhmr.network.config import ModelConfig
from depthhmr.network.encoder import fused_width
from depthhmr.network.layers import cell_centres, conv_block

REFERENCE_JOINT = JOINT["spine3"]


@dataclass(frozen=True)
class Queries:
    """Points of K people. uv in letterboxed pixels, log_depth in log metres, content the features found there."""

    content: Tensor  # [B, K, D]
    uv: Tensor  # [B, K, 2]
    log_depth: Tensor  # [B, K]


class QueryHead(nn.Module):
    """Scores every cell of the middle map, and turns chosen cells into 3D queries."""

    def __init__(self, config: ModelConfig, stride: int) -> None:
        super().__init__()
        width = fused_width(config)
        self.count, self.stride = config.queries, stride
        self.side = config.size // stride
        self.trunk = conv_block(width, config.map_dim)
        self.score = nn.Conv2d(config.map_dim, 1, 1)
        self.guided = config.guided_queries
        # offset of the chest from the cell's centre in cells; where a depth guides, what to add to its logarithm
        self.place = nn.Conv2d(config.map_dim, 3 if self.guided else 2, 1)
        self.content = nn.Linear(width, config.dim)
        nn.init.constant_(self.score.bias, -4.6)  # prior of 0.01 (focal loss, Lin et al. 2017)
        nn.init.zeros_(self.place.weight)
        nn.init.zeros_(self.place.bias)
        self.register_buffer("centres", cell_centres(self.side, stride), persistent=False)

    def forward(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """fused [B, 2C, h, w] -> score logits [B, h*w], placements [B, h*w, 3], or 2 when unguided."""
        trunk = self.trunk(fused)
        return self.score(trunk).flatten(1), self.place(trunk).flatten(2).transpose(1, 2)

    def best_cells(self, logits: Tensor) -> Tensor:
        """The K highest peaks; a cell below a neighbour is no peak. logits [B, h*w] -> int64 [B, K]."""
        grid = logits.unflatten(1, (1, self.side, self.side))
        peak = F.max_pool2d(grid, 3, stride=1, padding=1)
        ranked = torch.where(grid >= peak, grid, grid - 20.0)
        return ranked.flatten(1).topk(self.count, dim=1).indices

    def at(self, cells: Tensor, fused: Tensor, placements: Tensor, log_depth: Tensor) -> Queries:
        """Queries at cells [B, K]; log_depth [B, h, w] is where their depth starts (`Scene.first_log_depth`)."""
        gather = lambda x: x.gather(1, cells[..., None].expand(-1, -1, x.shape[-1]))  # noqa: E731
        placed = gather(placements).float()
        uv = self.centres[cells] + placed[..., :2] * self.stride
        residual = placed[..., 2] if self.guided else 0 * placed[..., 0]  # a sum gives exporters the right batch axis
        depth = log_depth.flatten(1).gather(1, cells) + residual
        return Queries(self.content(gather(fused.flatten(2).transpose(1, 2))).float(), uv, depth)
