"""Analytic inverse kinematics: the lifter's body, turned in closed form until its joints appear on their pixels.

A lifter regresses towards usual poses: human labels as its pixels come out of it far from where they went in. Two steps
without learned weights follow it. `align_body` turns and shifts the whole body (Gauss-Newton over rotation and
translation). `swing_limbs` turns single bones: the end of a bone is led to where its pixel's ray meets the sphere of the
bone's length (the swing of HybrIK, Li et al., CVPR 2021; the twist stays the lifter's).

How far a bone follows depends on the expected error of its pixel as an angle at the bone. Where a pixel is sharp, the
foreshortening of the bone gives its depth, too. That is ill-conditioned for a bone across the view: with pixels off by
4 cm it costs more than it brings. There the end keeps the lifter's depth and moves across the view alone.

N people, J = 24 joints, L bones, camera axes, metres. The direction of a pixel is (x/z, y/z, 1). Only products, sums,
square roots and comparisons: a graph needs no solver, no sine and no loop.
"""

import torch
from torch import Tensor

from bodykit.body import JOINT, JOINTS, PARENTS, SIDES
from depthhmr.network.geometry import rotation_of, skew, solve_symmetric3


def _both(first: str, last: str) -> tuple[tuple[int, int], ...]:
    return tuple((JOINT[f"{side}_{first}"], JOINT[f"{side}_{last}"]) for side in SIDES)


# Each level turns bones (joint that turns, joint at the end) that do not hang on each other.
LEVELS = (
    ((JOINT["spine1"], JOINT["neck"]),),
    _both("collar", "shoulder"),
    (*_both("hip", "knee"), *_both("shoulder", "elbow"), (JOINT["neck"], JOINT["head"])),
    (*_both("knee", "ankle"), *_both("elbow", "wrist")),
    (*_both("ankle", "foot"), *_both("wrist", "hand")),
)
LIMBS = [JOINT[f"{side}_{part}"] for side in SIDES for part in ("knee", "ankle", "foot", "elbow", "wrist", "hand")]
LIMBS.append(JOINT["head"])

STEPS = 2
TRUNK_ERROR, LIMB_ERROR = 0.035, 0.10  # metres that the lifter's joints are off, beside the error of their pixels
TURN_ERROR = 0.15  # radians that the lifter's orientation is off
PLACE_ERROR, DEPTH_ERROR = 1.0, 0.12  # metres that the lifter's place is off across the view; share of its distance
LARGEST_TURN = 1.0  # radians in one step: a tangent says nothing of more
BONE_ERROR = 0.4  # radians that the lifter's bones are off: a pixel as unsure as this moves a bone half of the way
SHARP = 0.1  # radians: a pixel as unsure as this gives half of the depth that foreshortening says
NEAREST = 0.1  # metres in front of the camera that a joint may be moved to
GRAZING = 0.01  # metres between the two meeting points of a ray that just touches: bounds how fast they move with it
# A turn of nearly half a circle has no direction: a bone follows less from the first cosine on and not at all at the second.
FAR_TURN, OPPOSITE = -0.5, -0.9
TOO_CLOSE = (
    0.3  # of the bone's length: nearer than this to its pivot, a point gives a bone less and less of a direction
)


def fit_to_pixels(
    world: Tensor, joints: Tensor, translation: Tensor, points: Tensor, sigma: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Both steps.

    world [N, J, 3, 3] orientations in camera axes, joints [N, J, 3] with the pelvis at the origin, translation [N, 3] of the
    pelvis, points [N, J, 3] anywhere on the rays of the pixels, sigma [N, J] expected error of the pixels in metres at the
    joints -> world and joints, in camera axes both, and the translation.
    """
    with torch.autocast(joints.device.type, enabled=False):
        directions = directions_of(points.float())
        world, joints, translation = align_body(world, joints, translation, directions, sigma)
        world, joints = swing_limbs(world, joints + translation[:, None], directions, sigma)
        return world, joints, translation


def directions_of(points: Tensor) -> Tensor:
    """(x/z, y/z, 1) of the rays through points [..., 3], which may lie behind the camera."""
    depth = points[..., 2:]
    return torch.cat([points[..., :2] / torch.where(depth.abs() < 1e-3, 1e-3, depth), torch.ones_like(depth)], -1)


def align_body(
    world: Tensor, joints: Tensor, translation: Tensor, directions: Tensor, sigma: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Turns the body about its pelvis and shifts it, so that its joints come near their pixels' rays.

    world [N, J, 3, 3] orientations in camera axes and joints [N, J, 3] with the pelvis at the origin, translation [N, 3],
    directions [N, J, 3], sigma [N, J] expected error of the pixels in metres at the joints -> the first three, moved. The
    lifter's orientation and place hold the body back as much as they can be trusted.
    """
    first = translation
    for _ in range(STEPS):
        turn, shift = _gauss_newton(joints, translation, first, directions, sigma)
        rotation = rotation_of(turn)
        joints = joints @ rotation.transpose(1, 2)
        world = rotation[:, None] @ world
        translation = translation + shift
    return world, joints, translation


def _gauss_newton(
    joints: Tensor, translation: Tensor, first: Tensor, directions: Tensor, sigma: Tensor
) -> tuple[Tensor, Tensor]:
    """One step: turn [N, 3] about the pelvis and shift [N, 3] that bring the joints onto their rays in the least squares.

    A joint X misses the ray of (u, v, 1) by (X_x - u X_z, X_y - v X_z), metres at its own depth, which is linear in X.
    `first` is the translation from which the steps started.
    """
    weight = 1 / (sigma.square() + _own_error(sigma).square())
    rows = _derivatives(joints, joints + translation[:, None], directions)
    weighted = rows[:, :6] * torch.stack([weight, weight], -1).flatten(1)[:, None]
    normal = weighted @ rows.transpose(1, 2)  # [N, 6, 7]
    identity = torch.eye(3, device=joints.device)
    depth_error = (DEPTH_ERROR * first[:, 2:]).square().clamp(min=1e-4)
    held = torch.cat([torch.full_like(first[:, :2], PLACE_ERROR**-2), 1 / depth_error], 1)[..., None]  # [N, 3, 1]
    turn_turn = normal[:, :3, :3] + TURN_ERROR**-2 * identity
    turn_shift, turn_miss = normal[:, :3, 3:6], normal[:, :3, 6:]
    shift_shift = normal[:, 3:, 3:6] + held * identity
    # the shift is eliminated first (Schur complement): two systems of three unknowns instead of one of six
    of_turn = solve_symmetric3(shift_shift, turn_shift.transpose(1, 2))
    of_miss = solve_symmetric3(shift_shift, normal[:, 3:, 6:] + held * (translation - first)[..., None])
    turn = solve_symmetric3(turn_turn - turn_shift @ of_turn, turn_shift @ of_miss - turn_miss)
    turn = turn / (turn.norm(dim=1, keepdim=True) / LARGEST_TURN).clamp(min=1)
    return turn[..., 0], (-of_miss - of_turn @ turn)[..., 0]


def _derivatives(joints: Tensor, moved: Tensor, directions: Tensor) -> Tensor:
    """How the misses of joints around the pelvis change with the turn and with the shift, and the misses of the joints
    `moved` to where they are. -> [N, 7, 2J]."""
    across = torch.eye(2, device=joints.device) + 0 * directions[..., :2, None]
    across = torch.cat([across, -directions[..., None, :2]], 2)  # [N, J, 3, 2]: X @ across is the miss of X
    unit = torch.eye(3, device=joints.device) + 0 * joints[..., None]
    known = torch.cat([skew(joints), unit, moved[..., None, :]], 2) @ across  # [N, J, 7, 2]
    return known.transpose(1, 2).flatten(2)


def _own_error(like: Tensor) -> Tensor:
    error = [LIMB_ERROR if joint in LIMBS else TRUNK_ERROR for joint in range(JOINTS)]
    return like.new_tensor(error)


def swing_limbs(world: Tensor, joints: Tensor, directions: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Turns bone after bone, from the trunk outwards, towards the rays of the pixels at their ends.

    world [N, J, 3, 3] and joints [N, J, 3] in camera axes, directions [N, J, 3], sigma [N, J] expected error of the pixels
    in metres at the joints -> world and joints, moved. What hangs on a bone turns with it.
    """
    stay = 0 * world[:, :1] + torch.eye(3, device=joints.device)  # a sum: an exporter cannot fold the batch into it
    for bones in LEVELS:
        turning, ends = [first for first, _ in bones], [last for _, last in bones]
        pivot = joints[:, turning]
        bone = joints[:, ends] - pivot
        length = bone.norm(dim=-1)
        unsure = (sigma[:, ends] / length.clamp(min=1e-3)).square()  # squared radians
        wanted = _end_on_ray(pivot, bone, directions[:, ends], 1 / (1 + unsure / SHARP**2)) - pivot
        clear = (wanted.norm(dim=-1) / (TOO_CLOSE * length).clamp(min=1e-3)).clamp(max=1)
        turn = _shortest_turn(_unit(bone), _unit(wanted), clear / (1 + unsure / BONE_ERROR**2))
        owner = _owners(turning)
        each = torch.cat([turn, stay], 1)[:, owner]
        around = torch.cat([pivot, pivot[:, :1]], 1)[:, owner]  # around what nothing turns is all the same
        world = each @ world
        joints = around + (each @ (joints - around)[..., None])[..., 0]
    return world, joints


def relative_rotations(world: Tensor, parents: Tensor) -> Tensor:
    """Orientations in camera axes [N, J, 3, 3] to rotations relative to the parent; joint 0 keeps its own."""
    return torch.cat([world[:, :1], world[:, parents[1:]].transpose(-1, -2) @ world[:, 1:]], 1)


def _end_on_ray(pivot: Tensor, bone: Tensor, direction: Tensor, sharp: Tensor) -> Tensor:
    """Points [N, L, 3] on the rays to which the ends of bones at `pivot` shall point.

    Their depth goes from that of the bone's own end, where sharp [N, L] is 0, to that at which the ray meets the sphere of
    the bone's length, where it is 1: of the two such depths the one nearer to the bone's own; of a ray that passes by the
    sphere, the depth of its nearest point.
    """
    squared = direction.square().sum(-1)
    nearest = (direction * pivot).sum(-1)
    # from the pivot's distance to the ray, not from the pivot's own: that loses millimetres far from the camera
    spare = squared * bone.square().sum(-1) - (skew(direction) @ pivot[..., None]).square().sum((-1, -2))
    root = spare.clamp(min=GRAZING**2).sqrt()
    own = pivot[..., 2] + bone[..., 2]
    before, behind = (nearest - root) / squared, (nearest + root) / squared
    met = torch.where((before - own).abs() < (behind - own).abs(), before, behind)
    depth = own + sharp * (met - own)
    return depth.clamp(min=NEAREST)[..., None] * direction


def _shortest_turn(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """The rotations [N, L, 3, 3] that lead unit vectors `share` [N, L] of the way to others, less far where that is far."""
    fade = ((start * end).sum(-1) - OPPOSITE) / (FAR_TURN - OPPOSITE)
    share = (share * fade.clamp(0, 1))[..., None]
    end = _unit(start + share * (end - start))
    outer = end[..., None] * start[..., None, :]
    matrix = outer - outer.transpose(-1, -2)  # of the cross product of start and end
    cosine = (start * end).sum(-1)[..., None, None]
    return torch.eye(3, device=start.device) + matrix + matrix @ matrix / (1 + cosine)


def _unit(v: Tensor) -> Tensor:
    return v / v.norm(dim=-1, keepdim=True).clamp(min=1e-6)


def _owners(turning: list[int]) -> list[int]:
    """Which of the turning joints each joint hangs on (or is); their number for none."""
    owners = []
    for joint in range(JOINTS):
        while joint >= 0 and joint not in turning:
            joint = PARENTS[joint]
        owners.append(turning.index(joint) if joint >= 0 else len(turning))
    return owners
