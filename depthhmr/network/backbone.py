"""Images to a pyramid of three feature maps: the shared backbone of the two streams (paper, sec. 3.1)."""

import torch
from torch import Tensor, nn

from depthhmr.network.config import ModelConfig
from depthhmr.network.layers import ResidualBlock, conv_block
from depthhmr.network.movenet import MoveNetPyramid
from depthhmr.network.vit import VIT_SIZES, VisionTransformer


class ConvPyramid(nn.Module):
    """A small residual network at strides 4, 8 and 16: learns from scratch on a CPU, where a ViT does not."""

    strides = (4, 8, 16)

    def __init__(self, widths: tuple[int, int, int, int], blocks: tuple[int, int, int]) -> None:
        super().__init__()
        self.widths = widths[1:]
        self.stem = conv_block(3, widths[0], stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(conv_block(before, after, stride=2), *(ResidualBlock(after) for _ in range(count)))
            for before, after, count in zip(widths[:-1], widths[1:], blocks, strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """image [B, 3, S, S], normalised -> maps [B, C, S/4, S/4], [B, C, S/8, S/8], [B, C, S/16, S/16]."""
        x = self.stem(image)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class VitPyramid(nn.Module):
    """DINOv2 with maps at strides 7, 14 and 28 out of four of its layers (method: Depth Anything v2 takes the same layers).

    Each layer's tokens go through a norm of their own; with public weights all of them start as DINOv2's last norm.
    """

    strides = (7, 14, 28)

    def __init__(self, architecture: str, size: int, width: int) -> None:
        super().__init__()
        self.widths = (width // 2, width, width)
        self.vit = VisionTransformer(VIT_SIZES[architecture], image_size=size)
        self.side = size // self.vit.patch_size  # a constant: read off the tokens, it would be a number of the graph
        embed = self.vit.embed_dim
        count = len(self.vit.taps)
        self.norms = nn.ModuleList(nn.LayerNorm(embed, eps=1e-6) for _ in range(count))
        self.merge = nn.Conv2d(count * embed, width, 1)
        self.finer = nn.ConvTranspose2d(width, width // 2, 2, stride=2)
        self.coarser = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """image [B, 3, S, S], normalised -> maps at strides 7, 14, 28."""
        taps = [norm(tokens) for norm, tokens in zip(self.norms, self.vit(image), strict=True)]
        tokens = torch.cat(taps, -1).transpose(1, 2)
        middle = self.merge(tokens.reshape(-1, self.merge.in_channels, self.side, self.side))
        return [self.finer(middle), middle, self.coarser(middle)]


def build_backbone(config: ModelConfig) -> ConvPyramid | VitPyramid | MoveNetPyramid:
    if config.backbone == "movenet":
        return MoveNetPyramid()
    if config.backbone == "conv":
        return ConvPyramid(config.conv_widths, config.conv_blocks)
    return VitPyramid(config.backbone, config.size, config.dim)
