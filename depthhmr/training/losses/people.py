"""What the person head is taught: joints and their depths, which way the body faces, and its shape."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bodykit.body import JOINT, MIRRORED_JOINTS, SIDES
from depthhmr.network.geometry import focal, heading, project, ray_depths, rays
from depthhmr.network.lifter import Lifter, place
from depthhmr.network.person import Observation, PersonHead, observed_points
from depthhmr.network.queries import REFERENCE_JOINT, Queries
from depthhmr.training.batch import Batch
from depthhmr.training.losses.weighting import two_bin_entropy, weighted_mean, weighted_mean_of_rows

FACING_METRES = 0.12  # of left-right extent in the picture, above which the facing bit is well defined
LEFT, RIGHT = ([JOINT[f"{side}_{part}"] for part in ("hip", "shoulder", "collar")] for side in SIDES)


@dataclass(frozen=True)
class Target:
    """What the person head should report of N people. Joints are in viewer-centric slots, but where it says anatomical."""

    offset: Tensor  # [N, J, 2] metres right and down of the query, at the query's depth
    depth: Tensor  # [N, J] metres beyond the chest along its ray
    labelled: Tensor  # [N, J] bool: offset is known
    pictured: Tensor  # [N, J] bool: and lies inside the picture
    solid: Tensor  # [N] bool: depths, rotations and betas are known
    swap: Tensor  # [N] bool: anatomical left is on the picture's left
    swap_certainty: Tensor  # [N], 0 to 1
    heading: Tensor  # [N, 2] sine and cosine
    heading_length: Tensor  # [N], how well the heading is defined
    betas: Tensor  # [N, 10]
    anatomical_offset: Tensor  # [N, J, 2]
    anatomical_labelled: Tensor  # [N, J] bool


def target_of(batch: Batch, queries: Queries, image: Tensor, who: Tensor) -> Target:
    """queries of N people; image, who: int64 [N], which they are."""
    joints, intrinsics, pixels = batch.joints[image, who], batch.intrinsics[image], batch.pixels[image, who]
    labelled = batch.known_2d[image, who]
    scale = queries.log_depth.exp() / focal(intrinsics)
    offset = (pixels - queries.uv[:, None]) * scale[:, None, None]
    left_right = _left_right(offset[..., 0], batch.near_2d[image, who])
    swap = left_right < 0
    mirrored = list(MIRRORED_JOINTS)
    to_slots = lambda x: torch.where(swap.view(-1, *[1] * (x.ndim - 1)), x[:, mirrored], x)  # noqa: E731
    slots = to_slots(pixels)
    inside = ((slots > 0) & (slots < batch.image.shape[-1])).all(-1)
    toward, length = heading(batch.rotations[image, who, 0], rays(queries.uv, intrinsics))
    return Target(
        offset=to_slots(offset).clamp(-3, 3),
        depth=to_slots(ray_depths(joints, joints[:, REFERENCE_JOINT])).clamp(-1.5, 1.5),
        labelled=to_slots(labelled),
        pictured=inside & to_slots(labelled),
        solid=batch.known_3d[image, who],
        swap=swap,
        swap_certainty=(left_right.abs() / FACING_METRES).clamp(max=1),
        heading=toward,
        heading_length=length,
        betas=batch.betas[image, who],
        anatomical_offset=offset,
        anatomical_labelled=labelled,
    )


def person_losses(
    head: PersonHead, lifter: Lifter, observed: Observation, target: Target, queries: Queries, intrinsics: Tensor
) -> dict[str, Tensor]:
    """Terms for N people read from N queries. intrinsics [N, 4]."""
    error_across, error_along = _errors(observed, target)
    across, along = observed.located(target.swap)[1].unbind(-1)
    nll_across = error_across.detach() * (-across).exp() + across
    nll_along = error_along.detach() * (-along).exp() + along
    of_joints, of_people = target.labelled.float(), target.solid.float()
    of_solid = of_people[:, None]
    swap = F.binary_cross_entropy_with_logits(observed.swap_logit, target.swap.float(), reduction="none")
    error_own = (observed.offset - target.offset).abs().mean(-1)
    error_attended = (observed.attended - target.offset).abs().mean(-1)
    error_betas = (observed.betas - target.betas).abs().mean(-1)
    depth_entropy = _joint_depth_entropy(head, observed.depth_logits, target.depth)
    yaw_entropy = _yaw_entropy(observed.yaw_logits, target.heading)
    return {
        "joint_map": _joint_map_loss(head, observed.joint_logits, target.offset, target.pictured),
        "attended": weighted_mean(error_attended, target.pictured),
        "offset": weighted_mean(error_across.clamp(max=1.0), of_joints),
        "own_offset": weighted_mean(error_own.clamp(max=1.0), of_joints),
        "joint_depth_bins": weighted_mean(depth_entropy, of_solid),
        "joint_depth": weighted_mean(error_along, of_solid),
        "sigma": weighted_mean(nll_across, of_joints) + weighted_mean(nll_along, of_solid),
        "swap": weighted_mean(swap, target.swap_certainty),
        "yaw": weighted_mean(yaw_entropy, target.heading_length * of_people),
        "betas": weighted_mean(error_betas, of_people),
        "reprojected": _reprojected_loss(lifter, observed, target, queries, intrinsics),
    }


def person_figures(observed: Observation, target: Target, log_depth: Tensor, chest_metres: Tensor) -> dict[str, float]:
    """Figures to watch. log_depth [N] of the queries, chest_metres [N] the true depth of the chest."""
    error_across, error_along = _errors(observed, target)
    certain = target.swap_certainty >= 1
    right = ((observed.swap_logit > 0) == target.swap) & certain
    depth_ratio = (log_depth - chest_metres.clamp(min=0.3).log()).abs()
    of_people = target.solid.float()
    return {
        "joint_cm": 100 * weighted_mean(error_across, target.labelled.float()).item(),
        "joint_depth_cm": 100 * weighted_mean(error_along, of_people[:, None]).item(),
        "facing_right": right.sum().item() / max(1, int(certain.sum())),
        "depth_ratio": weighted_mean(depth_ratio, of_people).item(),
    }


def _errors(observed: Observation, target: Target) -> tuple[Tensor, Tensor]:
    """Errors of joints [N, J] across and along the ray, metres."""
    located = observed.located(target.swap)[0]
    return (located - target.offset).abs().mean(-1), (observed.depth - target.depth).abs()


def _reprojected_loss(
    lifter: Lifter, observed: Observation, target: Target, queries: Queries, intrinsics: Tensor
) -> Tensor:
    """Distance of the posed body's joints from labelled ones in the picture, in metres at the query's depth.

    A body is only seen right when its depths are right, so labels in the picture teach depth as well. For people without
    other labels. The lifter is fixed.
    """
    labelled = target.anatomical_labelled & ~target.solid[:, None]
    rows = labelled.any(-1)
    if not rows.any():
        return observed.depth.sum() * 0
    queries = Queries(queries.content[rows], queries.uv[rows], queries.log_depth[rows])
    intrinsics, offset, labelled = intrinsics[rows], target.anatomical_offset[rows], labelled[rows]
    with torch.autocast(offset.device.type, enabled=False):
        across, depth, log_sigma = (x[rows] for x in observed.anatomical(target.swap))
        points = observed_points(across, depth, queries, intrinsics)
        lifted = lifter(points, log_sigma.detach(), observed.yaw[rows], observed.betas[rows])[-1]
        joints = lifted.joints + place(lifted.joints, points, log_sigma.detach())[:, None]
        scale = queries.log_depth.exp() / focal(intrinsics)
        seen = (project(joints, intrinsics[:, None]) - queries.uv[:, None]) * scale[:, None, None]
    return weighted_mean((seen - offset).abs().mean(-1).clamp(max=0.5), labelled.float())


def _joint_map_loss(head: PersonHead, logits: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of each joint's attention against the four cells around it; weight [N, J]."""
    window = head.window
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


def _joint_depth_entropy(head: PersonHead, logits: Tensor, depth: Tensor) -> Tensor:
    """Cross-entropy [N, J] against the two bins around the true depth: L1 alone rests at the median of two modes."""
    bins = head.depth_bins
    position = ((depth - bins[0]) / (bins[1] - bins[0])).clamp(0, len(bins) - 1.001)
    lower = position.floor()
    index = lower.long()
    return two_bin_entropy(logits.log_softmax(-1), index, index + 1, position - lower)


def _yaw_entropy(logits: Tensor, toward: Tensor) -> Tensor:
    """Cross-entropy [N] against the two bins around the heading."""
    count = logits.shape[-1]
    position = torch.atan2(toward[:, 0], toward[:, 1]) / (2 * math.pi) * count - 0.5
    lower = position.floor()
    index = lower.long()
    return two_bin_entropy(logits.log_softmax(-1), index % count, (index + 1) % count, position - lower)


def _left_right(right: Tensor, labelled: Tensor) -> Tensor:
    """How far anatomical left lies right of anatomical right in the picture: mean over hips, shoulders and collars.

    right [N, J] metres to the right, labelled [N, J] bool -> [N], 0 where no pair is labelled.
    """
    return weighted_mean_of_rows(right[:, LEFT] - right[:, RIGHT], (labelled[:, LEFT] & labelled[:, RIGHT]).float())
