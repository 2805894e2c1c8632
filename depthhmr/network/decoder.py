"""The depth-aware decoder: 3D queries attend to the depth stream, to each other and to the visual stream (paper, sec. 3.3).

Order within a layer after MonoDETR: depth cross-attention, self-attention, visual cross-attention, feed-forward. Before
each layer the query's 3D point is projected into the picture anew and its position code made from it.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depthhmr.network.config import ModelConfig
from depthhmr.network.encoder import USUAL_DEPTH, Scene
from depthhmr.network.geometry import focal, rays, sincos
from depthhmr.network.layers import Attention, feed_forward, mlp
from depthhmr.network.queries import Queries

POINT_BANDS = 5


@dataclass(frozen=True)
class Decoded:
    """Queries after one layer, and how sure the layer is that each is a person."""

    queries: Queries
    logits: Tensor  # [B, K]


class SpatialBias(nn.Module):
    """Added to attention logits: -(distance / sigma)^2, in metres at the query's depth, and -(log depth ratio / tau)^2.

    The "explicit 3D" in the attention; sigma and tau are learned per head. `with_depth` adds the second part. Without
    `metric` distances are those in the picture, as wide as they are at USUAL_DEPTH, whatever the query's depth.
    """

    def __init__(self, heads: int, *, with_depth: bool, metric: bool = True) -> None:
        super().__init__()
        self.metric = metric
        widths = torch.logspace(math.log10(0.4), math.log10(4.0), heads)  # metres; the widest head looks around
        self.log_sigma = nn.Parameter(widths.log())
        self.log_tau = nn.Parameter(torch.full((heads,), math.log(0.5))) if with_depth else None

    def forward(self, query_rays: Tensor, log_depth: Tensor, scene: Scene) -> Tensor:
        """query_rays [B, K, 2], log_depth [B, K] -> [B, heads, K, N]."""
        reach = log_depth.exp()[..., None, None] if self.metric else USUAL_DEPTH
        apart = (query_rays[:, :, None] - scene.token_rays[:, None]) * reach
        squared = apart.square().sum(-1).clamp(max=100.0)
        bias = -squared[:, None] * torch.exp(-2 * self.log_sigma).view(1, -1, 1, 1)
        if self.log_tau is not None:
            ratio = (log_depth[:, :, None] - scene.token_log_depth[:, None]).square().clamp(max=4.0)
            bias = bias - ratio[:, None] * torch.exp(-2 * self.log_tau).view(1, -1, 1, 1)
        return bias


class DecoderLayer(nn.Module):
    """One layer. Not `depth_aware`, it reads the visual tokens alone, near the query's pixel, at whatever depth that is."""

    def __init__(self, dim: int, heads: int, *, depth_aware: bool = True) -> None:
        super().__init__()
        self.depth_aware = depth_aware
        if depth_aware:
            self.depth_norm = nn.LayerNorm(dim)
        self.self_norm, self.visual_norm, self.feed_norm = (nn.LayerNorm(dim) for _ in range(3))
        if depth_aware:
            self.depth_attention = Attention(dim, heads)
        self.self_attention, self.visual_attention = (Attention(dim, heads) for _ in range(2))
        if depth_aware:
            self.depth_bias = SpatialBias(heads, with_depth=True)
        self.visual_bias = SpatialBias(heads, with_depth=False, metric=depth_aware)
        self.feed = feed_forward(dim)
        self.move = mlp(dim, dim, 3, zero=True)
        self.classify = nn.Linear(dim, 1)
        nn.init.constant_(self.classify.bias, -2.0)

    def forward(
        self, x: Tensor, code: Tensor, query_rays: Tensor, log_depth: Tensor, scene: Scene, mask: Tensor
    ) -> Tensor:
        """x, code [B, K, D]; mask [B, 1, 1, K], 0 or a large negative number -> [B, K, D]."""
        if self.depth_aware:
            bias = self.depth_bias(query_rays, log_depth, scene)
            x = x + self.depth_attention(self.depth_norm(x) + code, scene.depth, bias=bias)
        normed = self.self_norm(x)
        x = x + self.self_attention(normed + code, normed + code, normed, bias=mask)
        bias = self.visual_bias(query_rays, log_depth, scene)
        x = x + self.visual_attention(self.visual_norm(x) + code, scene.visual, bias=bias)
        return x + self.feed(self.feed_norm(x))


class Decoder(nn.Module):
    """Queries to refined queries, one result per layer. The point handed to the next layer carries no gradient."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.code = mlp(6 * POINT_BANDS, config.dim, config.dim)
        self.layers = nn.ModuleList(
            DecoderLayer(config.dim, config.heads, depth_aware=config.depth_attention)
            for _ in range(config.decoder_layers)
        )

    def forward(self, queries: Queries, scene: Scene, mask: Tensor) -> list[Decoded]:
        x, uv, log_depth = queries.content, queries.uv.detach(), queries.log_depth.detach()
        intrinsics = scene.intrinsics[:, None]
        results = []
        for layer in self.layers:
            query_rays = rays(uv, intrinsics)
            point = torch.cat([query_rays, log_depth[..., None] / 3], -1)  # log z spans about +-3
            x = layer(x, self.code(sincos(point, POINT_BANDS)), query_rays, log_depth, scene, mask)
            move = layer.move(x).float()
            pixels_per_metre = focal(intrinsics) * torch.exp(-log_depth)
            uv = uv + move[..., :2] * pixels_per_metre[..., None]
            log_depth = log_depth + move[..., 2]
            results.append(Decoded(Queries(x, uv, log_depth), layer.classify(x).float()[..., 0]))
            uv, log_depth = uv.detach(), log_depth.detach()
        return results
