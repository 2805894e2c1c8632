"""The two-stream encoder: visual tokens and depth tokens out of one pyramid, and the maps that queries read (paper, sec. 3.1)."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depthhmr.network.config import ModelConfig
from depthhmr.network.depth import DepthBranch, canonical_log_shift
from depthhmr.network.geometry import rays, sincos
from depthhmr.network.layers import EncoderLayer, cell_centres, conv_block, mlp, to_map, to_tokens, upsample_to

RAY_BANDS = 5
USUAL_DEPTH = 4.5  # canonical metres where unguided queries start; 90 % of rendered people stand between 1.1 and 11.5


def fused_width(config: ModelConfig) -> int:
    """Channels of `Scene.fused`."""
    return (2 if config.depth_stream else 1) * config.map_dim


@dataclass(frozen=True)
class Scene:
    """What the encoder knows of a batch of images. h, w belong to the middle stride.

    Without a depth stream there are no depth classes (an axis of length 0), no human is expected anywhere, and every log
    depth is the constant that queries start from.
    """

    intrinsics: Tensor  # [B, 4], letterboxed pixels
    usual_log_depth: Tensor  # [B], log of USUAL_DEPTH for the cameras
    fused: Tensor  # [B, 2C, h, w], visual and depth maps side by side; [B, C, h, w] without a depth stream
    fine: Tensor  # [B, C, H, W], from which person windows are cut
    depth_logits: Tensor  # [B, bins + 1, h, w]
    log_depth: Tensor  # [B, h, w], log metres expected where a human is
    first_log_depth: Tensor  # [B, h, w], log metres at which a query found there starts
    human: Tensor  # [B, h, w], probability of a human
    heat: Tensor | None = None  # [B, 17, H, W], probabilities of movenet.COCO_JOINTS, where the backbone knows them

    def of(self, image_index: Tensor) -> "Scene":
        """The scene as N people's windows see it: what a window is cut from, gathered by the index [N] of their image."""
        seen = {name: getattr(self, name)[image_index] for name in ("intrinsics", "fine", "human", "log_depth")}
        heat = None if self.heat is None else self.heat[image_index]
        return replace(self, **seen, heat=heat)


class Streams(nn.Module):
    """Pyramid and cameras to a Scene."""

    def __init__(self, config: ModelConfig, widths: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__()
        fine, middle, _ = widths
        dim, width, level = config.dim, config.map_dim, config.token_level
        self.size, self.level = config.size, level
        self.token_side = config.size // strides[level]
        self.middle_side, self.fine_side = config.size // strides[1], config.size // strides[0]
        self.has_depth, self.guided = config.depth_stream, config.guided_queries
        if config.depth_stream:
            self.depth_branch = DepthBranch(config, widths)

        self.to_visual = nn.Conv2d(widths[level], dim, 1)
        if config.depth_stream:
            self.to_depth = nn.Conv2d(widths[level], dim, 1)
            self.from_branch = nn.Linear(width, dim)
            self.bin_table = nn.Linear(config.depth_bins + 1, dim, bias=False)  # expected depth embedding, in bin space
        self.place = mlp(4 * RAY_BANDS, dim, dim)  # rays, not pixels: one camera must not be learned by heart
        self.visual_layers = nn.ModuleList(EncoderLayer(dim, config.heads) for _ in range(config.visual_layers))
        depth_layers = config.depth_layers if config.depth_stream else 0
        self.depth_layers = nn.ModuleList(EncoderLayer(dim, config.heads) for _ in range(depth_layers))

        self.visual_up = nn.Conv2d(dim, width, 1)
        self.visual_middle = nn.Conv2d(middle, width, 1)
        self.visual_refine = conv_block(width, width)
        if config.depth_stream:
            self.depth_up = nn.Conv2d(dim, width, 1)
        self.fine_up = nn.Conv2d(fused_width(config), config.fine_dim, 1)
        self.fine_lateral = nn.Conv2d(fine, config.fine_dim, 1)
        self.fine_refine = conv_block(config.fine_dim, config.fine_dim)
        self.register_buffer("centres", cell_centres(self.token_side, strides[level]), persistent=False)

    def forward(self, pyramid: list[Tensor], intrinsics: Tensor) -> Scene:
        if not self.has_depth:
            return self._visual_scene(pyramid, intrinsics)
        branch, logits = self.depth_branch(pyramid)
        probabilities, canonical, human = self.depth_branch.expectation(logits)
        log_depth = canonical - canonical_log_shift(intrinsics, self.size)[:, None, None]

        token_rays = rays(self.centres, intrinsics[:, None])  # [B, N, 2]
        place = self.place(sincos(token_rays, RAY_BANDS))
        visual = self._visual_tokens(pyramid, place)

        pooled, token_branch = self._at_tokens(probabilities, branch)
        coded = place + self.bin_table(pooled)
        depth = to_tokens(self.to_depth(pyramid[self.level])) + self.from_branch(token_branch)
        for layer in self.depth_layers:
            depth = layer(depth, coded)

        visual_map = self._visual_map(visual, pyramid)
        depth_map = branch + upsample_to(self.depth_up(to_map(depth, self.token_side)), self.middle_side)
        fused = torch.cat([visual_map, depth_map], 1)
        fine = self._fine_map(fused, pyramid)
        return Scene(
            intrinsics=intrinsics, usual_log_depth=self._usual(intrinsics, intrinsics[:, 0]), fused=fused, fine=fine,
            depth_logits=logits, log_depth=log_depth,
            first_log_depth=log_depth if self.guided else self._usual(intrinsics, log_depth), human=human,
        )  # fmt: skip

    def _visual_scene(self, pyramid: list[Tensor], intrinsics: Tensor) -> Scene:
        """What is left without a depth stream."""
        token_rays = rays(self.centres, intrinsics[:, None])
        visual = self._visual_tokens(pyramid, self.place(sincos(token_rays, RAY_BANDS)))
        visual_map = self._visual_map(visual, pyramid)
        usual = self._usual(intrinsics, visual_map[:, 0].float())
        return Scene(
            intrinsics=intrinsics, usual_log_depth=self._usual(intrinsics, intrinsics[:, 0]), fused=visual_map,
            fine=self._fine_map(visual_map, pyramid), depth_logits=visual_map[:, :0], log_depth=usual,
            first_log_depth=usual, human=torch.zeros_like(usual),
        )  # fmt: skip

    def _visual_tokens(self, pyramid: list[Tensor], place: Tensor) -> Tensor:
        visual = to_tokens(self.to_visual(pyramid[self.level]))
        for layer in self.visual_layers:
            visual = layer(visual, place)
        return visual

    def _visual_map(self, visual: Tensor, pyramid: list[Tensor]) -> Tensor:
        visual_map = upsample_to(self.visual_up(to_map(visual, self.token_side)), self.middle_side)
        return self.visual_refine(F.relu(visual_map + self.visual_middle(pyramid[1])))

    def _fine_map(self, fused: Tensor, pyramid: list[Tensor]) -> Tensor:
        fine = F.relu(upsample_to(self.fine_up(fused), self.fine_side) + self.fine_lateral(pyramid[0]))
        return self.fine_refine(fine)

    def _usual(self, intrinsics: Tensor, shape: Tensor) -> Tensor:
        """USUAL_DEPTH as log metres of the cameras [B, 4], of the shape of another tensor [B, ...]."""
        usual = math.log(USUAL_DEPTH) - canonical_log_shift(intrinsics, self.size)
        return usual.view(-1, *[1] * (shape.ndim - 1)) + 0 * shape.detach()  # a sum broadcasts in any exporter

    def _at_tokens(self, probabilities: Tensor, branch: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of the middle stride brought to tokens."""
        factor = self.middle_side // self.token_side
        pool = lambda x: F.avg_pool2d(x, factor) if factor > 1 else x  # noqa: E731
        return to_tokens(pool(probabilities)), to_tokens(pool(branch))
