"""One person out of one window: where each joint is, how deep it lies, and which way the body faces.

Joints are located by soft attention over the window's cells, in viewer-centric slots: the "left" slots belong to the
side of the body that appears on the right of the picture when the body faces the viewer, whichever way it really faces.
A pixel cannot know anatomical left before the facing is known, and maps trained on anatomical labels stay two-peaked; the
facing is one bit, decided from the whole window, that swaps the slots afterwards.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bodykit.body import JOINTS, MIRRORED_JOINTS
from depthhmr.network.config import ModelConfig
from depthhmr.network.encoder import Scene
from depthhmr.network.geometry import focal, rays
from depthhmr.network.heat import HeatRefinement, Refined
from depthhmr.network.layers import conv_block, mlp, upsample_to
from depthhmr.network.queries import Queries
from depthhmr.network.window import MetricWindow

VALUE_DIM = 32
JOINT_HIDDEN = 64
LOG_SIGMAS = math.log(0.01), math.log(0.8)  # metres
POOLED_DIM = 128


@dataclass(frozen=True)
class Observation:
    """What the pixels say of N people. Joint slots are viewer-centric until `anatomical` has been applied."""

    joint_logits: Tensor  # [N, J, n*n], over the cells of the window
    attended: Tensor  # [N, J, 2], metres right and down of the query at its depth: soft-argmax alone
    offset: Tensor  # [N, J, 2], the same after refinement
    depth_logits: Tensor  # [N, J, bins]
    depth: Tensor  # [N, J], metres beyond the query, measured along the query's ray
    log_sigma: Tensor  # [N, J, 2], log metres of expected error across and along the ray
    swap_logit: Tensor  # [N], above zero: anatomical left is on the picture's left
    yaw_logits: Tensor  # [N, bins]
    yaw: Tensor  # [N, 2], mean sine and cosine of the heading relative to the ray
    betas: Tensor  # [N, 10]
    refined: Refined | None = None  # where the backbone has heatmaps

    def located(self, swap: Tensor) -> tuple[Tensor, Tensor]:
        """The best offset and log sigma, in slots, where left and right are known to be exchanged or not, swap [N]."""
        if self.refined is None:
            return self.offset, self.log_sigma
        pick = lambda x: torch.where(swap.view(-1, *[1] * (x.ndim - 2)), x[:, 1], x[:, 0])  # noqa: E731
        across = pick(self.refined.log_sigma)
        return pick(self.refined.offset), torch.stack([across, self.log_sigma[..., 1]], -1).clamp(*LOG_SIGMAS)

    def anatomical(self, swap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Located offset, depth and log sigma with left and right slots exchanged where swap [N] is true."""
        mirrored = torch.tensor(MIRRORED_JOINTS, device=swap.device)
        pick = lambda x: torch.where(swap.view(-1, *[1] * (x.ndim - 1)), x[:, mirrored], x)  # noqa: E731
        offset, log_sigma = self.located(swap)
        return pick(offset), pick(self.depth), pick(log_sigma)


class PersonHead(nn.Module):
    """Windows around queries to Observations."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.window_dim
        self.window = MetricWindow(config.size, config.window_cells, config.window_extent, config.window_drop)
        self.cells = config.window_cells
        self.depth_aware = config.depth_attention
        self.enter = nn.Conv2d(config.fine_dim + (5 if self.depth_aware else 3), width, 3, padding=1)
        self.enter_query = nn.Linear(config.dim, width)
        self.enter_norm = nn.BatchNorm2d(width, momentum=0.05)
        self.fine = conv_block(width, width)
        # an hourglass: the deepest level sees the whole person at every cell
        self.coarse = nn.Sequential(conv_block(width, 2 * width, stride=2), conv_block(2 * width, 2 * width))
        self.deepest = nn.Sequential(
            conv_block(2 * width, 3 * width, stride=2),
            conv_block(3 * width, 3 * width),
            conv_block(3 * width, 3 * width),
        )
        self.merge_deepest = nn.Conv2d(3 * width, 2 * width, 1)
        self.refine_coarse = conv_block(2 * width, 2 * width)
        self.merge = nn.Conv2d(2 * width, width, 1)
        self.read = conv_block(width, width)
        self.joints = nn.Conv2d(width, JOINTS, 1)
        self.values = nn.Conv2d(width, VALUE_DIM, 1)

        self.pool = mlp(3 * width + config.dim, POOLED_DIM, POOLED_DIM)
        self.joint_enter = nn.Linear(VALUE_DIM + 3, JOINT_HIDDEN)
        self.joint_pool = nn.Linear(POOLED_DIM, JOINT_HIDDEN)
        self.joint_embedding = nn.Parameter(torch.randn(JOINTS, JOINT_HIDDEN) * 0.1)
        self.outputs = 4 + config.offset_bins
        self.joint_weight = nn.Parameter(torch.randn(JOINTS, JOINT_HIDDEN, self.outputs) * 0.02)
        self.joint_bias = nn.Parameter(torch.zeros(JOINTS, self.outputs))
        nn.init.constant_(self.joint_bias[:, 2:4].detach(), math.log(0.2))
        body = POOLED_DIM + JOINTS * VALUE_DIM
        self.body = nn.Sequential(nn.Linear(body, 192), nn.ReLU(), nn.Linear(192, 1 + config.yaw_bins + 10))

        self.heat = HeatRefinement(config, JOINT_HIDDEN) if config.backbone == "movenet" else None

        bins = torch.linspace(-config.offset_range, config.offset_range, config.offset_bins)
        self.register_buffer("depth_bins", bins, persistent=False)
        angles = (torch.arange(config.yaw_bins) + 0.5) * (2 * math.pi / config.yaw_bins)
        self.register_buffer("yaw_vectors", torch.stack([angles.sin(), angles.cos()], -1), persistent=False)
        grid = torch.stack(torch.meshgrid(self.window.y_metres, self.window.x_metres, indexing="ij"), -1)
        self.register_buffer("cell_metres", grid.flip(-1).reshape(-1, 2), persistent=False)  # [n*n, 2] right, down
        self.register_buffer("cell_grid", grid.flip(-1).permute(2, 0, 1)[None].contiguous(), persistent=False)

    def forward(self, scene: Scene, queries: Queries) -> Observation:
        """A scene of B images and B x K queries -> an Observation of N = B*K people."""
        features = self._features(scene, queries)
        coarse = self.coarse(features)
        deepest = self.deepest(coarse)
        coarse = self.refine_coarse(F.relu(coarse + upsample_to(self.merge_deepest(deepest), coarse.shape[-1])))
        read = self.read(F.relu(features + upsample_to(self.merge(coarse), self.cells)))

        content = queries.content.flatten(0, 1)
        pooled = F.relu(self.pool(torch.cat([deepest.mean((2, 3)), content], -1)))
        logits = self.joints(read).flatten(2).float()
        values_map = self.values(read).flatten(2).transpose(1, 2).float()
        with torch.autocast(logits.device.type, enabled=False):  # bfloat16 would round a joint by centimetres
            attention = logits.softmax(-1)
            attended = attention @ self.cell_metres
            spread = attention @ self.cell_metres.square() - attended.square()
            values = attention @ values_map  # [N, J, V]

        known = torch.cat([values, attended, spread.sum(-1, keepdim=True)], -1)
        hidden = F.relu(self.joint_enter(known) + self.joint_pool(pooled)[:, None] + self.joint_embedding)
        joint = (hidden.transpose(0, 1) @ self.joint_weight).transpose(0, 1) + self.joint_bias
        joint = joint.float()
        depth_logits = joint[..., 4:]
        bin_shares = depth_logits.softmax(-1)
        body = self.body(torch.cat([pooled, values.flatten(1)], -1)).float()
        yaw_logits = body[:, 1:-10]
        offset, log_sigma = attended + joint[..., :2], joint[..., 2:4].clamp(*LOG_SIGMAS)
        swap_logit, refined = body[:, 0], None
        if self.heat is not None and scene.heat is not None:
            with torch.autocast(logits.device.type, enabled=False):
                refined = self.heat(scene.heat, queries, scene.intrinsics, offset, log_sigma[..., 0], hidden.float())
            swap_logit = swap_logit + refined.evidence
        return Observation(
            joint_logits=logits,
            attended=attended,
            offset=offset,
            depth_logits=depth_logits,
            depth=(bin_shares * self.depth_bins).sum(-1),
            log_sigma=log_sigma,
            swap_logit=swap_logit,
            refined=refined,
            yaw_logits=yaw_logits,
            yaw=(yaw_logits.softmax(-1)[..., None] * self.yaw_vectors).sum(-2),
            betas=body[:, -10:],
        )

    def _features(self, scene: Scene, queries: Queries) -> Tensor:
        """Window of the fine map, with what the depth stream says relative to the query: the depth-aware part."""
        rows, columns = self.window.kernels(queries, scene.intrinsics, scene.fine.shape[-1])
        appearance = self.window.cut(scene.fine, rows, columns)
        inside = self.window.coverage(rows, columns)
        around = self._depth_around(scene, queries)
        place = self.cell_grid + 0 * inside  # every window's own coordinates; a sum broadcasts in any exporter
        entered = self.enter(torch.cat([appearance, *around, inside, place], 1))
        entered = entered + self.enter_query(queries.content.flatten(0, 1))[..., None, None]
        return self.fine(F.relu(self.enter_norm(entered)))

    def _depth_around(self, scene: Scene, queries: Queries) -> list[Tensor]:
        """Share of humans, and metres beyond the query weighted by that share, in each cell of the windows."""
        if not self.depth_aware:
            return []
        rows, columns = self.window.kernels(queries, scene.intrinsics, scene.human.shape[-1])
        depth_maps = torch.stack([scene.human, scene.human * scene.log_depth], 1)
        depth = self.window.cut(depth_maps, rows, columns)
        human, log_depth = depth[:, :1], depth[:, 1:]
        anchor = queries.log_depth.flatten().view(-1, 1, 1, 1)
        return [human, ((log_depth - anchor * human) * anchor.exp()).clamp(-1.5, 1.5)]


def observed_points(offset: Tensor, depth: Tensor, queries: Queries, intrinsics: Tensor) -> Tensor:
    """Camera points of observed joints.

    offset [N, J, 2] and depth [N, J] as in Observation (anatomical), queries of N people ([N], one camera each: uv
    [N, 2], log_depth [N]), intrinsics [N, 4] -> [N, J, 3] metres. The point lies on its pixel's ray where the ray meets
    the plane across the query's ray, `depth` metres beyond the query.
    """
    z = queries.log_depth.exp()
    query_ray = rays(queries.uv, intrinsics)
    joint_rays = rays(queries.uv[:, None] + offset * (focal(intrinsics) / z)[:, None, None], intrinsics[:, None])
    one = torch.ones_like(z)
    query_direction = torch.cat([query_ray, one[:, None]], -1)
    length = query_direction.norm(dim=-1)
    directions = torch.cat([joint_rays, torch.ones_like(depth)[..., None]], -1)
    along = (directions * (query_direction / length[:, None])[:, None]).sum(-1)
    reach = ((z * length)[:, None] + depth) / along.clamp(min=0.2)
    return directions * reach[..., None]
