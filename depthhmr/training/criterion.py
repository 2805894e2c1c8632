"""What the pixels are taught: one method per term, all of them in one sum.

Two sets of queries are trained. The anchored ones start from the people's own cells, disturbed (denoising queries): the
person head learns from the first step. The proposed ones are the network's own best cells, matched by the Hungarian
method: they teach the scores, and the person head what real proposals look like. The lifter gets no gradient from here.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from depthhmr.network.config import TrainConfig
from depthhmr.network.decoder import Decoded
from depthhmr.network.depth import canonical_log_shift
from depthhmr.network.encoder import Scene
from depthhmr.network.geometry import focal, project, rays
from depthhmr.network.lifter import place
from depthhmr.network.model import DepthHMR
from depthhmr.network.person import MIRRORED, Observation, observed_points
from depthhmr.network.queries import REFERENCE_JOINT, Queries
from depthhmr.training.batch import Batch
from depthhmr.training.matcher import match
from depthhmr.training.rough_place import LEFT_HIP, LEFT_SHOULDER, RIGHT_HIP, RIGHT_SHOULDER, rough_place
from depthhmr.training.train_lifter import heading, ray_depths

HEIGHT_METRES = 1.7  # of a usual person: how large a peak is
ROUGH_LOG_DEPTH = 0.1  # an estimated depth may be wrong by 10 % before it pulls
# How far around the labels the chest may be, in larger sides of their box. Where a joint of the trunk is labelled 0.4 would do,
# from shins alone 2.8 (400 people of depthhmr.synth). The second: of the picture, where one joint alone is labelled.
FAR_REACH, LEAST_REACH = 3.0, 0.1
LAYER_MARGIN = 0.1  # of depth: people of one layer may be so far apart, those of different ones are at least so far
LAX_SURE = 0.12  # metres of left-right extent in the picture above which the facing bit is well defined


@dataclass(frozen=True)
class Weights:
    score: float = 1.0
    place: float = 1.0
    depth_bins: float = 0.3
    depth_map: float = 2.0
    layer_uv: float = 2.0
    layer_depth: float = 3.0
    person: float = 2.0
    joint_map: float = 1.2
    attended: float = 2.0
    offset: float = 5.0
    joint_depth_bins: float = 0.3
    joint_depth: float = 4.0
    sigma: float = 0.2
    swap: float = 1.0
    yaw: float = 0.4
    betas: float = 0.2
    order: float = 1.0
    reprojected: float = 2.0


@dataclass(frozen=True)
class Truth:
    """Ground truth of a batch in the network's terms. People axis P."""

    chest: Tensor  # [B, P, 2] pixels
    log_depth: Tensor  # [B, P] of the chest
    pixels_per_metre: Tensor  # [B, P]
    learned: Tensor  # [B, P] bool: people to find
    ignored: Tensor  # [B, P] bool: people there, but too hidden: neither learned nor punished
    around: (
        Tensor  # [B, P, 4], x0 y0 x1 y1, of people whose labels do not say where their chest is: they may be in there
    )
    rough: Tensor  # [B, P] bool: chest and depth are estimates out of joints in the picture (rough_place.py)
    extent: Tensor  # [B, P, 4], x0 y0 x1 y1 around the labelled joints, in pixels

    def depth_error(self, log_depth: Tensor, which: tuple[Tensor, ...] | tuple[()] = ()) -> Tensor:
        """|log depth - truth| of the people `which`, less what an estimate may be wrong by; at most 1.5."""
        error = (log_depth - self.log_depth[which]).abs() - ROUGH_LOG_DEPTH * self.rough[which]
        return error.clamp(0, 1.5)

    def on_unplaced(self, uv: Tensor) -> Tensor:
        """Whether pixels [B, K, 2] may lie on a person without a place, who is not punished either. -> bool [B, K]."""
        return _in_boxes(uv, self.around).any(-1)


def truth_of(batch: Batch, min_visible: float) -> Truth:
    chest = batch.joints[:, :, REFERENCE_JOINT]
    z = chest[..., 2].clamp(min=0.3)
    placed = batch.known_3d & batch.metric[:, None]
    rough_chest, rough_log_depth, enough = rough_place(batch.pixels, batch.near_2d, batch.intrinsics)
    uv = torch.where(placed[..., None], project(chest, batch.intrinsics[:, None]), rough_chest)
    log_depth = torch.where(placed, z.log(), rough_log_depth)
    size = batch.image.shape[-1]
    near = ((uv > -0.12 * size) & (uv < 1.12 * size)).all(-1) & torch.where(placed, chest[..., 2] > 0.4, enough)
    learned = batch.valid & near & (batch.visible >= min_visible)
    known = batch.near_2d[..., None]
    extent = torch.cat(
        [batch.pixels.where(known, torch.inf).amin(2), batch.pixels.where(known, -torch.inf).amax(2)], -1
    )  # fmt: skip
    pixels_per_metre = focal(batch.intrinsics)[:, None] / log_depth.exp()
    unplaced = batch.valid & ~placed & ~enough
    near_chest = batch.near_2d[..., [LEFT_HIP, RIGHT_HIP, LEFT_SHOULDER, RIGHT_SHOULDER]].any(-1, keepdim=True)
    reach = torch.where(near_chest, 1, FAR_REACH) * (extent[..., 2:] - extent[..., :2]).amax(-1, keepdim=True)
    reach = reach.clamp(min=LEAST_REACH * size)
    around = torch.cat([extent[..., :2] - reach, extent[..., 2:] + reach], -1)
    around = around.where(unplaced[..., None] & known.any(2), torch.nan)  # in which nothing lies
    ignored = batch.valid & ~learned & ~unplaced
    return Truth(uv, log_depth, pixels_per_metre, learned, ignored, around, batch.valid & ~placed, extent)


def _in_boxes(uv: Tensor, boxes: Tensor) -> Tensor:
    """Which pixels [B, K, 2] lie in which boxes [B, P, 4], x0 y0 x1 y1. -> bool [B, K, P]."""
    low, high = boxes[:, None, :, :2], boxes[:, None, :, 2:]
    return ((uv[:, :, None] >= low) & (uv[:, :, None] <= high)).all(-1)


class Criterion:
    def __init__(self, model: DepthHMR, config: TrainConfig, weights: Weights | None = None) -> None:
        if config.depth_target != "none" and not model.streams.has_depth:
            raise ValueError(
                f"expected depth_target none for a network without depth stream, got {config.depth_target!r}"
            )
        self.model, self.config, self.weights = model, config, weights or Weights()

    def __call__(self, batch: Batch, anchored_share: float) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Weighted terms, and figures to watch. `anchored_share` of the people are read from anchored queries, the rest
        from matched proposals."""
        model, weights = self.model, self.weights
        truth = truth_of(batch, self.config.min_visible)
        scene = model.encode(batch.image, batch.intrinsics)
        score_logits, placements = model.query_head(scene.fused)
        score_logits, placements = score_logits.float(), placements.float()

        cells, fractions = self._cells(truth.chest)
        terms = {
            "score": weights.score * self.loss_score(score_logits, truth, cells, batch.everyone),
            "place": weights.place * self.loss_place(placements, scene, truth, cells, fractions),
            **self.loss_depth(scene, batch),
        }
        anchored = self._anchored(scene, placements, truth, cells)
        from_anchored = model.decode(anchored, scene, truth.learned)
        proposed = model.query_head.at(
            model.query_head.best_cells(score_logits.detach()), scene.fused, placements, scene.first_log_depth
        )
        from_proposed = model.decode(proposed, scene)
        last = from_proposed[-1]
        person = match(
            last.logits,
            last.queries.uv,
            last.queries.log_depth,
            truth.chest,
            truth.log_depth,
            truth.pixels_per_metre,
            truth.learned,
        )
        terms |= self.loss_layers(from_anchored, from_proposed, person, truth, batch)
        rows = self._rows(from_anchored[-1], last, person, truth, self._legible(batch, truth), anchored_share)
        figures: dict[str, float] = {"recall": (person >= 0).sum().item() / max(1, int(truth.learned.sum()))}
        if rows is not None:
            terms_person, figures_person = self.loss_person(scene, batch, *rows)
            terms |= terms_person
            figures |= figures_person
        return terms, figures

    # -- proposals ------------------------------------------------------------------------------------------------

    def _cells(self, chest: Tensor) -> tuple[Tensor, Tensor]:
        """Cell of each chest [B, P] (the border's, when it lies outside) and its offset from that cell's centre in cells."""
        head = self.model.query_head
        grid = chest / head.stride
        column_row = grid.floor().clamp(0, head.side - 1)
        index = (column_row[..., 1] * head.side + column_row[..., 0]).long()
        return index, grid - column_row - 0.5

    def loss_score(self, logits: Tensor, truth: Truth, cells: Tensor, everyone: Tensor) -> Tensor:
        """CenterNet focal loss: one at a person's cell, less punishment near it, none on people who are hidden or may
        not be labelled."""
        head = self.model.query_head
        centres = head.centres[None, :, None]  # [1, N, 1, 2]
        squared = (centres - truth.chest[:, None]).square().sum(-1)  # [B, N, P]
        radius = (truth.pixels_per_metre * HEIGHT_METRES * 0.1).clamp(min=0.6 * head.stride)[:, None]
        bell = torch.exp(-squared / (2 * radius.square()))
        heat = (bell * truth.learned[:, None]).amax(-1)
        places = centres[:, :, 0].expand(len(logits), -1, -1)
        hidden = ((bell > 0.3) & truth.ignored[:, None]).any(-1) | truth.on_unplaced(places)
        hidden = hidden | ~(everyone[:, None] | self._labelled_place(places, truth))
        positive = torch.zeros_like(logits, dtype=torch.bool)
        image, who = truth.learned.nonzero(as_tuple=True)
        positive[image, cells[image, who]] = True
        p = logits.sigmoid()
        gain = (1 - p).square() * F.logsigmoid(logits)
        cost = (1 - heat).pow(4) * p.square() * F.logsigmoid(-logits) * ~hidden
        return -torch.where(positive, gain, cost).sum() / positive.sum().clamp(min=1)

    def loss_place(self, placements: Tensor, scene: Scene, truth: Truth, cells: Tensor, fractions: Tensor) -> Tensor:
        """Offset of the chest within its cell, and depth there: what makes a cell a 3D query."""
        image, who = truth.learned.nonzero(as_tuple=True)
        if not len(image):
            return placements.sum() * 0
        placed = placements[image, cells[image, who]]
        offset = (placed[:, :2] - fractions[image, who].clamp(-3, 3)).abs().mean()
        if not self.model.query_head.guided:
            return offset
        depth = scene.first_log_depth.flatten(1)[image, cells[image, who]] + placed[:, 2]
        return offset + 2 * truth.depth_error(depth, (image, who)).mean()

    # -- depth around humans --------------------------------------------------------------------------------------

    def loss_depth(self, scene: Scene, batch: Batch) -> dict[str, Tensor]:
        """The depth matching loss: bins by cross-entropy (humans count more than background), and log depth on humans.

        Human-only targets (DAH) pooled by the nearest person, never averaged across a boundary. With whole scenes as
        targets there is no class for background, and every labelled cell counts alike.
        """
        if self.config.depth_target == "none":
            return {}
        side = scene.human.shape[-1]
        factor = batch.depth.shape[-1] // side
        far = torch.where(batch.depth > 0, batch.depth, batch.depth.new_tensor(1e4))
        nearest = -F.max_pool2d(-far[:, None], factor)[:, 0]
        share = F.avg_pool2d((batch.depth > 0).float()[:, None], factor)[:, 0]
        human = share >= 0.25
        log_depth = nearest.clamp(0.3, 100.0).log()
        shift = canonical_log_shift(batch.intrinsics, batch.image.shape[-1])[:, None, None]
        bins = self.model.streams.depth_branch.bins
        if self.config.depth_target == "scene":  # the sky is as far as the bins go
            log_depth = torch.minimum(log_depth, bins.centres[-1].log() - shift)
        canonical = log_depth + shift

        lower, upper, weight = bins.soft_target(canonical.exp())
        log_p = scene.depth_logits.float().log_softmax(1)
        pick = lambda index: log_p.gather(1, index[:, None])[:, 0]  # noqa: E731
        foreground = -(pick(lower) * (1 - weight) + pick(upper) * weight)
        if self.config.depth_target == "scene":
            entropy = foreground * human
        else:
            entropy = torch.where(human, 4 * foreground, -log_p[:, -1] * (share < 0.05))
        known = batch.known_depth[:, None, None]
        weight = human * share * known
        error = (scene.log_depth - log_depth).abs().clamp(max=1.5) * weight
        return {
            "depth_bins": self.weights.depth_bins * weighted_mean(entropy, known.float()),
            "depth_map": self.weights.depth_map * error.sum() / weight.sum().clamp(min=1),
        }

    # -- queries --------------------------------------------------------------------------------------------------

    def _anchored(self, scene: Scene, placements: Tensor, truth: Truth, cells: Tensor) -> Queries:
        """One disturbed query per person: a neighbouring cell at times; its own guess of place and depth when that is not
        far off, else the truth with noise (15 % of depth, 8 cm)."""
        head = self.model.query_head
        here = cells.device
        shift = torch.randint(-1, 2, (*cells.shape, 2), device=here) * (torch.rand(*cells.shape, 1, device=here) < 0.3)
        column = (cells % head.side + shift[..., 0]).clamp(0, head.side - 1)
        row = (cells // head.side + shift[..., 1]).clamp(0, head.side - 1)
        queries = head.at(row * head.side + column, scene.fused, placements, scene.first_log_depth)
        noisy_uv = truth.chest + torch.randn_like(truth.chest) * 0.08 * truth.pixels_per_metre[..., None]
        noisy_depth = truth.log_depth + 0.15 * torch.randn_like(truth.log_depth)
        apart = (queries.uv - truth.chest).norm(dim=-1) / truth.pixels_per_metre
        poor = (apart > 0.3) | (torch.rand_like(apart) < 0.3)
        log_depth = queries.log_depth
        if head.guided:  # else no query knows its depth before the decoder has found it
            poor = poor | ((log_depth - truth.log_depth).abs() > 0.3)
            log_depth = torch.where(poor, noisy_depth, log_depth)
        return replace(queries, uv=torch.where(poor[..., None], noisy_uv, queries.uv), log_depth=log_depth)

    def loss_layers(
        self, anchored: list[Decoded], proposed: list[Decoded], person: Tensor, truth: Truth, batch: Batch
    ) -> dict[str, Tensor]:
        """Place, depth and score after every decoder layer, and the order of people whose depth layers are labelled."""
        image, query = (person >= 0).nonzero(as_tuple=True)
        who = person[image, query]
        own_image, own = truth.learned.nonzero(as_tuple=True)
        spare = self._unpunished(proposed[-1], person, truth, batch.everyone)
        uv, depth, score = [], [], []
        for layer_anchored, layer_proposed in zip(anchored, proposed, strict=True):
            for layer, rows, people in (
                (layer_anchored, (own_image, own), (own_image, own)),
                (layer_proposed, (image, query), (image, who)),
            ):
                if not len(rows[0]):
                    continue
                apart = (layer.queries.uv[rows] - truth.chest[people]).abs() / truth.pixels_per_metre[people][:, None]
                uv.append(apart.clamp(max=1.5).mean())
                depth.append(truth.depth_error(layer.queries.log_depth[rows], people).mean())
            score.append(focal_loss(layer_proposed.logits, person >= 0, ~spare))
        zero = proposed[-1].logits.sum() * 0
        layers = len(proposed)
        return {
            "layer_uv": self.weights.layer_uv * (sum(uv, zero) / max(1, len(uv))),
            "layer_depth": self.weights.layer_depth * (sum(depth, zero) / max(1, len(depth))),
            "person": self.weights.person * sum(score, zero) / layers,
            "order": self.weights.order * self._order(anchored[-1].queries.log_depth, truth, batch.layer),
        }

    @staticmethod
    def _order(log_depth: Tensor, truth: Truth, layer: Tensor) -> Tensor:
        """Hinge on the depths of labelled pairs [B, P]: near within a layer, apart across (BEV, Sun et al. 2022, sec. 3.4)."""
        known = truth.learned & (layer >= 0)
        pairs = (known[:, :, None] & known[:, None]).triu(1)
        farther = (log_depth[:, :, None] - log_depth[:, None]) * (layer[:, :, None] - layer[:, None]).sign()
        within = (log_depth[:, :, None] - log_depth[:, None]).abs() - LAYER_MARGIN
        same = layer[:, :, None] == layer[:, None]
        miss = torch.where(same, within, LAYER_MARGIN - farther).clamp(0, 1.5)
        return (miss * pairs).sum() / pairs.sum().clamp(min=1)

    @staticmethod
    def _labelled_place(uv: Tensor, truth: Truth) -> Tensor:
        """Whether pixels [B, K, 2] lie on a labelled person's joints: who is nobody there is nobody. -> bool [B, K]."""
        return (_in_boxes(uv, truth.extent) & truth.learned[:, None]).any(-1)

    def _unpunished(self, decoded: Decoded, person: Tensor, truth: Truth, everyone: Tensor) -> Tensor:
        """Unmatched queries on a hidden person, or where a person may lack a label. -> bool [B, K]."""
        uv = decoded.queries.uv.detach()
        apart = (uv[:, :, None] - truth.chest[:, None]).norm(dim=-1) / truth.pixels_per_metre[:, None]
        hidden = ((apart < 0.5) & truth.ignored[:, None]).any(-1) | truth.on_unplaced(uv)
        unlabelled = ~everyone[:, None] & ~self._labelled_place(uv, truth)
        return (hidden | unlabelled) & (person < 0)

    @staticmethod
    def _legible(batch: Batch, truth: Truth) -> Tensor:
        """How often a person is worth reading [B, P], 0.08 to 1: small and hidden people are mostly noise to the head."""
        height = truth.pixels_per_metre * HEIGHT_METRES / batch.image.shape[-1]
        return (height / 0.4).clamp(0.25, 1) * (batch.visible / 0.5).clamp(0.3, 1)

    def _rows(
        self,
        anchored: Decoded,
        proposed: Decoded,
        person: Tensor,
        truth: Truth,
        chance: Tensor,
        anchored_share: float,
    ) -> tuple[Queries, Tensor, Tensor] | None:
        """The query from which each person is read, at most once: (queries of N people, image [N], person [N])."""
        image, who = (truth.learned & (torch.rand_like(chance) < chance)).nonzero(as_tuple=True)
        if not len(image):
            return None
        slot = torch.full(truth.learned.shape, -1, dtype=torch.long, device=person.device)
        matched_image, query = (person >= 0).nonzero(as_tuple=True)
        slot[matched_image, person[matched_image, query]] = query
        slot = slot[image, who]
        use_own = (slot < 0) | (torch.rand(len(slot), device=slot.device) < anchored_share)
        slot = slot.clamp(min=0)

        def choose(name: str) -> Tensor:
            own = getattr(anchored.queries, name)[image, who]
            other = getattr(proposed.queries, name)[image, slot]
            return torch.where(use_own.view(-1, *[1] * (own.ndim - 1)), own, other)

        queries = Queries(choose("content"), choose("uv").detach(), choose("log_depth").detach())
        return queries, image, who

    # -- people ---------------------------------------------------------------------------------------------------

    def loss_person(
        self, scene: Scene, batch: Batch, queries: Queries, image: Tensor, who: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Joints, their depths, facing, heading and shape of N people read from N queries."""
        weights, config = self.weights, self.model.person_head
        seen = scene.of(image)
        alone = Queries(queries.content[:, None], queries.uv[:, None], queries.log_depth[:, None])
        observed: Observation = config(seen, alone)

        joints, intrinsics = batch.joints[image, who], batch.intrinsics[image]
        labelled, solid = batch.known_2d[image, who], batch.known_3d[image, who]
        scale = queries.log_depth.exp() / focal(intrinsics)
        pixels = batch.pixels[image, who]
        offset = (pixels - queries.uv[:, None]) * scale[:, None, None]
        left_right = _left_right(offset[..., 0], batch.near_2d[image, who])
        swap = left_right < 0
        mirrored = list(MIRRORED)
        to_slots = lambda x: torch.where(swap.view(-1, *[1] * (x.ndim - 1)), x[:, mirrored], x)  # noqa: E731
        anatomical, anatomically_labelled = offset, labelled
        offset, labelled = to_slots(offset).clamp(-3, 3), to_slots(labelled)
        depth = to_slots(ray_depths(joints)).clamp(-1.5, 1.5)
        size = batch.image.shape[-1]
        pictured = ((to_slots(pixels) > 0) & (to_slots(pixels) < size)).all(-1) & labelled

        sure = (left_right.abs() / LAX_SURE).clamp(max=1)
        swap_loss = F.binary_cross_entropy_with_logits(observed.swap_logit, swap.float(), reduction="none")
        toward, length = heading(batch.rotations[image, who, 0], rays(queries.uv, intrinsics))
        error_across = (observed.offset - offset).abs().mean(-1)
        error_along = (observed.depth - depth).abs()
        across, along = observed.log_sigma.unbind(-1)
        nll_across = error_across.detach() * (-across).exp() + across
        nll_along = error_along.detach() * (-along).exp() + along
        of_joints, of_people = labelled.float(), solid.float()
        of_solid = of_people[:, None]
        nll = weighted_mean(nll_across, of_joints) + weighted_mean(nll_along, of_solid)
        error_betas = (observed.betas - batch.betas[image, who]).abs().mean(-1)
        terms = {
            "joint_map": weights.joint_map * self._joint_map(observed.joint_logits, offset, pictured),
            "attended": weights.attended * weighted_mean((observed.attended - offset).abs().mean(-1), pictured),
            "offset": weights.offset * weighted_mean(error_across.clamp(max=1.0), of_joints),
            "joint_depth_bins": weights.joint_depth_bins
            * weighted_mean(self._joint_depth(observed.depth_logits, depth), of_solid),
            "joint_depth": weights.joint_depth * weighted_mean(error_along, of_solid),
            "sigma": weights.sigma * nll,
            "swap": weights.swap * weighted_mean(swap_loss, sure),
            "yaw": weights.yaw * weighted_mean(self._yaw(observed.yaw_logits, toward), length * of_people),
            "betas": weights.betas * weighted_mean(error_betas, of_people),
            "reprojected": weights.reprojected
            * self._reprojected(
                observed, queries, intrinsics, swap, anatomical, anatomically_labelled & ~solid[:, None]
            ),
        }
        certain = sure >= 1
        right = ((observed.swap_logit > 0) == swap) & certain
        depth_ratio = (queries.log_depth - joints[:, REFERENCE_JOINT, 2].clamp(min=0.3).log()).abs()
        figures = {
            "joint_cm": 100 * weighted_mean(error_across, of_joints).item(),
            "joint_depth_cm": 100 * weighted_mean(error_along, of_solid).item(),
            "facing_right": right.sum().item() / max(1, int(certain.sum())),
            "depth_ratio": weighted_mean(depth_ratio, of_people).item(),
        }
        return terms, figures

    def _reprojected(
        self,
        observed: Observation,
        queries: Queries,
        intrinsics: Tensor,
        swap: Tensor,
        offset: Tensor,
        labelled: Tensor,
    ) -> Tensor:
        """How far the posed body's joints appear from labelled ones [N, J], in metres at the query's depth.

        Only a body whose depths are right looks right, so labels in the picture teach depth, too. The lifter is fixed.
        """
        rows = labelled.any(-1)
        if not rows.any():
            return observed.depth.sum() * 0
        queries = Queries(queries.content[rows], queries.uv[rows], queries.log_depth[rows])
        intrinsics, offset, labelled = intrinsics[rows], offset[rows], labelled[rows]
        with torch.autocast(offset.device.type, enabled=False):
            across, depth, log_sigma = (x[rows] for x in observed.anatomical(swap))
            points = observed_points(across, depth, queries, intrinsics)
            lifted = self.model.lifter(points, log_sigma.detach(), observed.yaw[rows], observed.betas[rows])[-1]
            joints = lifted.joints + place(lifted.joints, points, log_sigma.detach())[:, None]
            scale = queries.log_depth.exp() / focal(intrinsics)
            seen = (project(joints, intrinsics[:, None]) - queries.uv[:, None]) * scale[:, None, None]
        return weighted_mean((seen - offset).abs().mean(-1).clamp(max=0.5), labelled.float())

    def _joint_map(self, logits: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
        """Cross-entropy of each joint's attention against the four cells around it; weight [N, J]."""
        window = self.model.person_head.window
        cells = window.cells
        column = (offset[..., 0] - window.x_metres[0]) / window.cell_metres
        row = (offset[..., 1] - window.y_metres[0]) / window.cell_metres
        inside = (column > 0) & (column < cells - 1) & (row > 0) & (row < cells - 1)
        column, row = column.clamp(0, cells - 1.001), row.clamp(0, cells - 1.001)
        left, top = column.floor(), row.floor()
        log_p = logits.log_softmax(-1)
        entropy = torch.zeros_like(column)
        for down in (0, 1):
            for right in (0, 1):
                share = (1 - (column - left - right).abs()) * (1 - (row - top - down).abs())
                index = ((top + down) * cells + left + right).long()
                entropy = entropy - share * log_p.gather(-1, index[..., None])[..., 0]
        return weighted_mean(entropy, weight * inside)

    def _joint_depth(self, logits: Tensor, depth: Tensor) -> Tensor:
        """Cross-entropy against the two bins around the true depth: an L1 alone rests at the median of two modes."""
        bins = self.model.person_head.depth_bins
        position = ((depth - bins[0]) / (bins[1] - bins[0])).clamp(0, len(bins) - 1.001)
        lower = position.floor()
        weight = position - lower
        log_p = logits.log_softmax(-1)
        pick = lambda index: log_p.gather(-1, index.long()[..., None])[..., 0]  # noqa: E731
        return -(pick(lower) * (1 - weight) + pick(lower + 1) * weight)

    @staticmethod
    def _yaw(logits: Tensor, toward: Tensor) -> Tensor:
        """Cross-entropy [N] against the two bins around the heading."""
        count = logits.shape[-1]
        position = torch.atan2(toward[:, 0], toward[:, 1]) / (2 * math.pi) * count - 0.5
        lower = position.floor()
        weight = position - lower
        log_p = logits.log_softmax(-1)
        pick = lambda index: log_p.gather(-1, (index.long() % count)[:, None])[:, 0]  # noqa: E731
        return -(pick(lower) * (1 - weight) + pick(lower + 1) * weight)


def _left_right(right: Tensor, labelled: Tensor) -> Tensor:
    """How far anatomical left lies right of anatomical right in the picture: mean over hips, shoulders and collars.

    right [N, J] metres to the right, labelled [N, J] bool -> [N], 0 where no pair is labelled.
    """
    left, other = [1, 16, 13], [2, 17, 14]
    return weighted_mean_of_rows(right[:, left] - right[:, other], (labelled[:, left] & labelled[:, other]).float())


def focal_loss(logits: Tensor, positive: Tensor, counted: Tensor) -> Tensor:
    """Sigmoid focal loss, gamma 2, both sides weighted alike (Lin et al. 2017), per positive. All [B, K]."""
    p = logits.sigmoid()
    gain = -0.5 * (1 - p).square() * F.logsigmoid(logits)
    cost = -0.5 * p.square() * F.logsigmoid(-logits)
    return (torch.where(positive, gain, cost) * counted).sum() / positive.sum().clamp(min=1)


def weighted_mean_of_rows(values: Tensor, weight: Tensor) -> Tensor:
    """As weighted_mean, over the last axis alone."""
    return (values * weight).sum(-1) / weight.sum(-1).clamp(min=1e-3)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of values with broadcast weights; 0 where nothing weighs."""
    weight = weight.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp(min=1e-3)
