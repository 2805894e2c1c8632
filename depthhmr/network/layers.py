"""Transformer and convolution parts shared by the streams and the decoder."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention with an optional additive bias on the logits.

    Written as matmul-softmax-matmul: on a CPU the backward of PyTorch's fused attention took 39 % of a step,
    and every exporter knows these operators.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        assert dim % heads == 0, f"dim {dim} is not a multiple of heads {heads}"
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.to_q = nn.Linear(dim, dim)
        self.to_kv = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """queries [B, Q, D], keys and values [B, N, D] (values default to keys), bias [B, heads or 1, Q, N] -> [B, Q, D]."""
        batch, count, dim = queries.shape
        split = lambda t: t.unflatten(-1, (self.heads, dim // self.heads)).transpose(1, 2)  # noqa: E731
        q = split(self.to_q(queries)) * self.scale
        if values is None:
            k, v = self.to_kv(keys).chunk(2, -1)
        else:
            weight_k, weight_v = self.to_kv.weight.chunk(2)
            bias_k, bias_v = self.to_kv.bias.chunk(2)
            k, v = F.linear(keys, weight_k, bias_k), F.linear(values, weight_v, bias_v)
        logits = q @ split(k).transpose(-1, -2)
        if bias is not None:
            logits = logits + bias
        attended = logits.softmax(-1) @ split(v)
        return self.out(attended.transpose(1, 2).reshape(batch, count, dim))


def feed_forward(dim: int, expansion: int = 2) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, expansion * dim), nn.ReLU(), nn.Linear(expansion * dim, dim))


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and feed-forward. tokens, positions [B, N, D] -> [B, N, D]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.feed = feed_forward(dim)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        normed = self.norm1(tokens)
        placed = normed + positions
        tokens = tokens + self.attention(placed, placed, normed)
        return tokens + self.feed(self.norm2(tokens))


def conv_block(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Convolution, batch norm and, unless told otherwise, ReLU."""
    parts: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs, momentum=0.05),
    ]
    return nn.Sequential(*parts, nn.ReLU()) if relu else nn.Sequential(*parts)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(conv_block(width, width), conv_block(width, width, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.inner(x))


def mlp(inputs: int, hidden: int, outputs: int, *, zero: bool = False) -> nn.Sequential:
    """Two layers; `zero` starts the output at zero, so that a refinement starts as no change."""
    last = nn.Linear(hidden, outputs)
    if zero:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), last)


def to_tokens(feature_map: Tensor) -> Tensor:
    """[B, C, h, w] -> [B, h*w, C]."""
    return feature_map.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, side: int) -> Tensor:
    """[B, side*side, C] -> [B, C, side, side]."""
    return tokens.transpose(1, 2).unflatten(2, (side, side))


def upsample_to(feature_map: Tensor, side: int) -> Tensor:
    """Nearest-neighbour upsampling to side x side: no resize operator whose border rule differs between runtimes."""
    if feature_map.shape[-1] == side:
        return feature_map
    return F.interpolate(feature_map, size=(side, side), mode="nearest")


def cell_centres(side: int, stride: float) -> Tensor:
    """Pixel coordinates of the centres of a side x side grid, row by row. -> [side*side, 2] (u, v)."""
    centres = (torch.arange(side) + 0.5) * stride
    return torch.stack([centres.repeat(side), centres.repeat_interleave(side)], -1)
