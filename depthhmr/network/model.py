"""DepthHMR: one image in, K people out. Tensors in, tensors out; decoding, thresholds and meshes are not its business.

Our reconstruction of "DepthHMR: Leveraging Depth Around Humans for Multi-Human Mesh Generation" (BMVC 2025): the paper's
parts are named in the modules that hold them; its numbers are not public, ours are in config.py.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from bodykit.body import JOINT
from depthhmr.network.analytic_ik import fit_to_pixels, relative_rotations
from depthhmr.network.backbone import ConvPyramid, VitPyramid, build_backbone
from depthhmr.network.config import ModelConfig
from depthhmr.network.decoder import Decoded, Decoder
from depthhmr.network.encoder import Scene, Streams
from depthhmr.network.geometry import project, rays
from depthhmr.network.lifter import Lifted, Lifter, place
from depthhmr.network.movenet import MoveNetPyramid
from depthhmr.network.person import Observation, PersonHead, observed_points
from depthhmr.network.queries import Queries, QueryHead
from depthhmr.network.skinning import BodyLayer

HEAD, NECK = JOINT["head"], JOINT["neck"]
BOX_MARGIN_METRES = 0.09  # flesh around the joints
DOUBLE_METRES, DOUBLE_LOG_DEPTH, DOUBLE_PENALTY = 0.2, 0.2, 4.0  # see quieten_doubles
MASKED = -1e4  # attention logit of a query that is not there; finite, so that an empty row stays finite


@dataclass(frozen=True)
class People:
    """K people per image, in no order. Camera frame x right, y down, z forward, metres; boxes in letterboxed pixels."""

    scores: Tensor  # [B, K], logits
    rotations: Tensor  # [B, K, J, 3, 3]
    betas: Tensor  # [B, K, 10]
    translation: Tensor  # [B, K, 3], pelvis
    boxes: Tensor  # [B, K, 4], x0 y0 x1 y1
    depth: Tensor  # [B, h, w], metres; 0 where no human is expected


class DepthHMR(nn.Module):
    """The whole network, made of built parts."""

    def __init__(
        self,
        backbone: ConvPyramid | VitPyramid | MoveNetPyramid,
        streams: Streams,
        query_head: QueryHead,
        decoder: Decoder,
        person_head: PersonHead,
        lifter: Lifter,
        body: BodyLayer,
        analytic_ik: bool,
    ) -> None:
        super().__init__()
        self.backbone, self.streams, self.query_head = backbone, streams, query_head
        self.decoder, self.person_head, self.lifter = decoder, person_head, lifter
        self.analytic_ik = analytic_ik
        object.__setattr__(self, "body", body)  # shared, not owned: it has no state to save

    def forward(self, image: Tensor, intrinsics: Tensor) -> People:
        """image [B, 3, S, S] normalised, intrinsics [B, 4] (fx, fy, cx, cy in pixels of that image) -> People."""
        scene = self.encode(image, intrinsics)
        score_logits, placements = self.query_head(scene.fused)
        cells = self.query_head.best_cells(score_logits.float())
        proposed = self.query_head.at(cells, scene.fused, placements, scene.first_log_depth)
        decoded = self.decode(proposed, scene)[-1]
        observation = self.person_head(scene, decoded.queries)
        return self.pose(observation, replace(decoded, logits=quieten_doubles(decoded, intrinsics)), scene)

    def encode(self, image: Tensor, intrinsics: Tensor) -> Scene:
        maps = self.backbone(image)
        scene = self.streams(maps, intrinsics)
        return replace(scene, heat=self.backbone.heat(maps)) if isinstance(self.backbone, MoveNetPyramid) else scene

    def decode(self, queries: Queries, scene: Scene, present: Tensor | None = None) -> list[Decoded]:
        """Refine queries; those not `present` [B, K] are not attended to."""
        absent = torch.zeros_like(queries.log_depth) if present is None else (~present) * MASKED
        return self.decoder(queries, scene, absent[:, None, None])

    def pose(self, observation: Observation, decoded: Decoded, scene: Scene) -> People:
        """Observations of B*K people to posed bodies."""
        batch, count = decoded.logits.shape
        queries = Queries(
            decoded.queries.content.flatten(0, 1), decoded.queries.uv.flatten(0, 1), decoded.queries.log_depth.flatten()
        )
        intrinsics = scene.intrinsics[:, None].expand(batch, count, 4).reshape(batch * count, 4)
        offset, depth, log_sigma = observation.anatomical(observation.swap_logit > 0)
        points = observed_points(offset, depth, queries, intrinsics)
        lifted = self.lifter(points, log_sigma, observation.yaw, observation.betas)[-1]
        rotations, joints, translation = self._placed(lifted, points, log_sigma)
        boxes = joint_boxes(joints, intrinsics)
        shape = lambda x: x.unflatten(0, (batch, count))  # noqa: E731
        human = (scene.human > 0.5).to(scene.log_depth.dtype)
        return People(
            decoded.logits, shape(rotations), shape(observation.betas), shape(translation), shape(boxes),
            scene.log_depth.exp() * human,
        )  # fmt: skip

    def _placed(self, lifted: Lifted, points: Tensor, log_sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotations [N, J, 3, 3], joints [N, J, 3] in camera axes and the pelvis [N, 3] of lifted people."""
        translation = place(lifted.joints, points, log_sigma)
        if not self.analytic_ik:
            return lifted.rotations, lifted.joints + translation[:, None], translation
        sigma = log_sigma[..., 0].exp()
        world, joints, translation = fit_to_pixels(lifted.world, lifted.joints, translation, points, sigma)
        return relative_rotations(world, self.body.parents), joints, translation


def quieten_doubles(decoded: Decoded, intrinsics: Tensor) -> Tensor:
    """Logits [B, K], lowered for a query that stands where a surer one does: within DOUBLE_METRES across and that in depth.

    The decoder was taught to say each person once and mostly does; on the validation split this takes the precision from
    0.945 to 0.964 at the same recall. Two people cannot share a chest.
    """
    queries, logits = decoded.queries, decoded.logits
    direction = rays(queries.uv, intrinsics[:, None])
    nearer = torch.minimum(queries.log_depth[:, :, None], queries.log_depth[:, None]).exp()
    across = (direction[:, :, None] - direction[:, None]).norm(dim=-1) * nearer
    along = (queries.log_depth[:, :, None] - queries.log_depth[:, None]).abs()
    surer = logits[:, None] > logits[:, :, None]
    double = (across < DOUBLE_METRES) & (along < DOUBLE_LOG_DEPTH) & surer
    return logits - DOUBLE_PENALTY * double.to(logits.dtype).amax(-1)


def joint_boxes(joints: Tensor, intrinsics: Tensor) -> Tensor:
    """Boxes around whole people from their joints [N, J, 3]: a crown is put on the head and flesh around all. -> [N, 4]."""
    crown = joints[:, HEAD] + 1.6 * (joints[:, HEAD] - joints[:, NECK])
    points = torch.cat([joints, crown[:, None]], 1)
    uv = project(points, intrinsics[:, None])
    margin = (BOX_MARGIN_METRES * intrinsics[:, :1] / joints[:, 0, 2:].clamp(min=0.3)).expand(-1, 2)
    return torch.cat([uv.amin(1) - margin, uv.amax(1) + margin], -1)


def build_model(config: ModelConfig, body: BodyLayer | None = None) -> DepthHMR:
    """Every part of a network, with the sizes of `config`."""
    body = BodyLayer() if body is None else body
    backbone = build_backbone(config)
    return DepthHMR(
        backbone=backbone,
        streams=Streams(config, backbone.widths, backbone.strides),
        query_head=QueryHead(config, backbone.strides[1]),
        decoder=Decoder(config),
        person_head=PersonHead(config),
        lifter=Lifter(config, body),
        body=body,
        analytic_ik=config.analytic_ik,
    )
