"""The depth-aware decoder: 3D queries attend to the depth stream, to each other and to the visual stream (paper, sec. 3.3).

Order within a layer after MonoDETR: depth cross-attention, self-attention, visual cross-attention, feed-forward. Before
each layer the query's 3D point is projected into the picture anew and its position code made from it.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from depthhmr.network.config import ModelConfig
from depthhmr.network.encoder import Scene
from depthhmr.network.geometry import focal, rays, sincos
from depthhmr.network.layers import Attention, feed_forward, mlp, to_tokens
from depthhmr.network.queries import Queries
from depthhmr.network.window import MetricWindow

POINT_BANDS = 5
CELLS, CELL_METRES = 7, 0.3  # of the window that a query reads
DROP_METRES = 0.15  # its middle lies below the chest: legs reach further than arms


@dataclass(frozen=True)
class Tokens:
    """The cells of every query's window, N = B*K."""

    values: Tensor  # [N, cells, D]
    bias: Tensor  # [N or 1, heads, cells], added to attention logits


@dataclass(frozen=True)
class Decoded:
    """Queries after one layer, and how sure the layer is that each is a person."""

    queries: Queries
    logits: Tensor  # [B, K]


class MapWindow(nn.Module):
    """What a query reads: the visual and the depth map around its re-projected point, in cells of 30 cm at its depth.

    Tokens of the depth map know how far each cell lies beyond the query; attention logits are lowered by
    (distance / sigma)^2 in metres and, in the depth stream, by (log depth ratio / tau)^2, learned per head: the "explicit
    3D" in the attention. Without `depth_aware` the visual map alone is read, as if every query stood at USUAL_DEPTH.
    """

    def __init__(self, config: ModelConfig, heads: int) -> None:
        super().__init__()
        dim, width = config.dim, config.map_dim
        self.depth_aware, self.split = config.depth_attention, width
        self.window = MetricWindow(config.size, CELLS, CELLS * CELL_METRES, DROP_METRES)
        self.to_visual = nn.Linear(width, dim)
        self.visual_place = nn.Parameter(torch.randn(CELLS**2, dim) * 0.05)
        spread = torch.logspace(math.log10(0.4), math.log10(4.0), heads).log()  # metres; the widest head looks around
        self.visual_log_sigma = nn.Parameter(spread.clone())
        if self.depth_aware:
            self.to_depth = nn.Linear(width + 2, dim)
            self.depth_place = nn.Parameter(torch.randn(CELLS**2, dim) * 0.05)
            self.depth_log_sigma = nn.Parameter(spread.clone())
            self.log_tau = nn.Parameter(torch.full((heads,), math.log(0.5)))
        y, x = torch.meshgrid(self.window.y_metres, self.window.x_metres, indexing="ij")
        self.register_buffer("squared_metres", (x.square() + y.square()).flatten(), persistent=False)

    def forward(self, queries: Queries, scene: Scene) -> tuple[Tokens, Tokens | None]:
        """Visual tokens of every query, and those of the depth stream."""
        if not self.depth_aware:
            queries = replace(queries, log_depth=scene.usual_log_depth[:, None] + 0 * queries.log_depth)
        rows, columns = self.window.kernels(queries, scene.intrinsics, scene.fused.shape[-1])
        maps = scene.fused[:, : self.split]
        if self.depth_aware:
            maps = torch.cat([scene.fused, torch.stack([scene.human, scene.human * scene.log_depth], 1)], 1)
        cells = to_tokens(self.window.cut(maps, rows, columns))  # [B*K, cells, C]
        visual = Tokens(
            self.to_visual(cells[..., : self.split]) + self.visual_place, self._near(self.visual_log_sigma)[None]
        )
        if not self.depth_aware:
            return visual, None
        human, weighted = cells[..., -2], cells[..., -1]
        anchor = queries.log_depth.flatten()[:, None]
        beyond = (weighted - anchor * human).float()  # log depth ratio, weighted by the share of humans
        known = torch.cat([cells[..., self.split : -2], human[..., None], beyond.clamp(-1, 1)[..., None] * 3], -1)
        ratio = (beyond / human.float().clamp(min=0.05)).square().clamp(max=4.0)
        bias = self._near(self.depth_log_sigma) - ratio[:, None] * torch.exp(-2 * self.log_tau)[:, None]
        return visual, Tokens(self.to_depth(known) + self.depth_place, bias)

    def _near(self, log_sigma: Tensor) -> Tensor:
        """Bias [heads, cells] by the distance of cells from the query."""
        return -self.squared_metres * torch.exp(-2 * log_sigma)[:, None]


class DecoderLayer(nn.Module):
    """Depth cross-attention, self-attention, visual cross-attention, feed-forward; the first only if `depth_aware`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, heads = config.dim, config.heads
        self.depth_aware = config.depth_attention
        self.around = MapWindow(config, heads)
        if self.depth_aware:
            self.depth_norm, self.depth_attention = nn.LayerNorm(dim), Attention(dim, heads)
        self.self_norm, self.visual_norm, self.feed_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.self_attention, self.visual_attention = (Attention(dim, heads) for _ in range(2))
        self.feed = feed_forward(dim)
        self.move = mlp(dim, dim, 3, zero=True)
        self.classify = nn.Linear(dim, 1)
        nn.init.constant_(self.classify.bias, -2.0)

    def forward(self, queries: Queries, code: Tensor, scene: Scene, mask: Tensor) -> Tensor:
        """Queries at their present points, code [B, K, D]; mask [B, 1, 1, K], 0 or a large negative number -> [B, K, D]."""
        x = queries.content
        visual, depth = self.around(queries, scene)
        if depth is not None:
            x = x + _read(self.depth_attention, self.depth_norm(x) + code, depth)
        normed = self.self_norm(x)
        x = x + self.self_attention(normed + code, normed + code, normed, bias=mask)
        x = x + _read(self.visual_attention, self.visual_norm(x) + code, visual)
        return x + self.feed(self.feed_norm(x))


def _read(attention: Attention, queries: Tensor, tokens: Tokens) -> Tensor:
    """Each query [B, K, D] attends to the tokens of its own window -> [B, K, D]."""
    batch, count, dim = queries.shape
    alone = queries.reshape(batch * count, 1, dim)
    return attention(alone, tokens.values, bias=tokens.bias[..., None, :]).view(batch, count, dim)


class Decoder(nn.Module):
    """Queries to refined queries, one result per layer. The point handed to the next layer carries no gradient."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.code = mlp(6 * POINT_BANDS, config.dim, config.dim)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))

    def forward(self, queries: Queries, scene: Scene, mask: Tensor) -> list[Decoded]:
        results = []
        queries = replace(queries, uv=queries.uv.detach(), log_depth=queries.log_depth.detach())
        for layer in self.layers:
            decoded = self.step(layer, queries, scene, mask)
            moved = decoded.queries
            queries = replace(moved, uv=moved.uv.detach(), log_depth=moved.log_depth.detach())
            results.append(decoded)
        return results

    def step(self, layer: DecoderLayer, queries: Queries, scene: Scene, mask: Tensor) -> Decoded:
        """One layer: reads around the queries' points, moves them and scores them."""
        intrinsics = scene.intrinsics[:, None]
        point = torch.cat([rays(queries.uv, intrinsics), queries.log_depth[..., None] / 3], -1)  # log z spans about +-3
        x = layer(queries, self.code(sincos(point, POINT_BANDS)), scene, mask)
        move = layer.move(x).float()
        pixels_per_metre = focal(intrinsics) * torch.exp(-queries.log_depth)
        uv = queries.uv + move[..., :2] * pixels_per_metre[..., None]
        return Decoded(Queries(x, uv, queries.log_depth + move[..., 2]), layer.classify(x).float()[..., 0])
