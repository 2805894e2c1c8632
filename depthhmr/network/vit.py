"""The DINOv2 vision transformer (Oquab et al. 2023; registers: Darcet et al. 2024), laid out so that its public weights fit.

Parameter names follow the official checkpoints (`blocks.0.attn.qkv.weight`, ...), which dinov2.py reads. The positional
table belongs to one grid and is a parameter of that size: interpolating it inside the graph is what breaks exports
(bicubic, antialiased).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class VitSize:
    embed_dim: int
    depth: int
    heads: int
    registers: int = 0  # tokens without a place, between the class token and the patches
    taps: tuple[int, ...] = (2, 5, 8, 11)  # layers read by the pyramid, zero-based


VIT_SIZES = {
    "dinov2_vits14": VitSize(384, 12, 6),
    "dinov2_vits14_reg": VitSize(384, 12, 6, registers=4),
    "dinov2_vitb14": VitSize(768, 12, 12),
    "dinov2_vitb14_reg": VitSize(768, 12, 12, registers=4),
}


class SelfAttention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.each = heads, dim // heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        count = int(x.shape[1])  # a constant of a graph; the batch is not
        q, k, v = self.qkv(x).view(-1, count, 3, self.heads, self.each).permute(2, 0, 3, 1, 4)
        if self.training:  # keeps no [N, N] weights: half the memory of a step at 448 pixels, and a fifth less time
            attended = F.scaled_dot_product_attention(q, k, v)
        else:  # written out, for exporters
            attended = ((q * self.each**-0.5) @ k.transpose(-1, -2)).softmax(-1) @ v
        return self.proj(attended.transpose(1, 2).reshape(-1, count, self.heads * self.each))


class LayerScale(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Mlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn, self.ls1 = nn.LayerNorm(dim, eps=1e-6), SelfAttention(dim, heads), LayerScale(dim)
        self.norm2, self.mlp, self.ls2 = nn.LayerNorm(dim, eps=1e-6), Mlp(dim), LayerScale(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    def __init__(self, patch: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, stride=patch)

    def forward(self, image: Tensor) -> Tensor:
        x = self.proj(image)
        return x.reshape(-1, self.proj.out_channels, int(x.shape[2]) * int(x.shape[3])).transpose(1, 2)


class VisionTransformer(nn.Module):
    """Images to the patch tokens of four layers."""

    patch_size = 14

    def __init__(self, size: VitSize, *, image_size: int) -> None:
        super().__init__()
        if image_size % self.patch_size:
            raise ValueError(f"expected an image side that is a multiple of {self.patch_size}, got {image_size}")
        self.embed_dim, self.taps, self.registers = size.embed_dim, size.taps, size.registers
        self.patch_embed = PatchEmbed(self.patch_size, size.embed_dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size.embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (image_size // self.patch_size) ** 2, size.embed_dim))
        if size.registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, size.registers, size.embed_dim))
            nn.init.normal_(self.register_tokens, std=1e-6)
        self.blocks = nn.ModuleList(Block(size.embed_dim, size.heads) for _ in range(size.depth))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)

    def forward(self, image: Tensor) -> list[Tensor]:
        """image [B, 3, S, S] -> len(taps) tensors [B, (S/14)^2, embed_dim]."""
        x = self.patch_embed(image)
        nothing = 0 * x[:, :1]  # a sum broadcasts in any exporter; expanding to a size bakes the batch into graphs
        x = torch.cat([nothing + self.cls_token, x], 1) + self.pos_embed
        if self.registers:
            x = torch.cat([x[:, :1], nothing + self.register_tokens, x[:, 1:]], 1)
        outputs = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                outputs.append(x[:, 1 + self.registers :])
        return outputs
