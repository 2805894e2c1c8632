"""Plausible everyday and athletic poses, drawn from the table in `pose_kinds`.

Legs and trunk are drawn as joint angles; hands are placed and the two bones of an arm follow, as a shoulder drawn as three
angles mostly points in no plausible direction. Left and right are mirror images in distribution.
"""

import numpy as np

from bodykit.body import JOINT, JOINT_NAMES, MIRRORED_JOINTS, SIDES
from bodykit.rotations import matrix_to_axis_angle
from depthhmr.synth.pose_kinds import ARMS, KINDS

AIRBORNE = np.array([kind.airborne for kind in KINDS])
NECK, HEAD = JOINT["neck"], JOINT["head"]
SPINE = tuple(JOINT[f"spine{number}"] for number in (1, 2, 3))
HIPS, KNEES, ANKLES, TOES, COLLARS, SHOULDERS, ELBOWS, WRISTS = (
    tuple(JOINT[f"{side}_{part}"] for side in SIDES)
    for part in ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
)

# radians: hip flexion, abduction, outward turn, knee flexion
LEG_LOW, LEG_HIGH = np.array([-0.75, -0.25, -0.5, 0.0], np.float32), np.array([2.2, 1.25, 1.0, 2.45], np.float32)
ANKLE_LOW, ANKLE_HIGH = -0.55, 0.85
REACH_LOW, REACH_HIGH = 0.30, 0.998  # lengths of the stretched arm; 0.30 bends the elbow by 145 degrees
JOINT_NOISE = np.array(
    [
        [0.02, 0.02, 0.05], [0, 0, 0], [0, 0, 0], [0.06, 0.05, 0.05], [0, 0.03, 0.03], [0, 0.03, 0.03],
        [0.06, 0.05, 0.05], [0.06, 0.05, 0.08], [0.06, 0.05, 0.08], [0.06, 0.05, 0.05], [0.10, 0, 0], [0.10, 0, 0],
        [0.10, 0.16, 0.07], [0.03, 0.05, 0.05], [0.03, 0.05, 0.05], [0.14, 0.26, 0.10], [0, 0, 0], [0, 0, 0],
        [0.12, 0, 0], [0.12, 0, 0], [0.22, 0.18, 0.24], [0.22, 0.18, 0.24], [0.02, 0.02, 0.05], [0.02, 0.02, 0.05],
    ], np.float32)  # fmt: skip


def _arm_chances(which: str) -> np.ndarray:
    """Cumulative probabilities [kinds, arms] of the leading or trailing arm."""
    table = np.zeros((len(KINDS), len(ARMS)))
    for row, kind in enumerate(KINDS):
        chances = kind.trail_arms if which == "trail" and kind.trail_arms else kind.arms
        for name, chance in chances.items():
            table[row, list(ARMS).index(name)] = chance
    return np.cumsum(table / table.sum(axis=1, keepdims=True), axis=1)


KIND_CHANCE = np.cumsum([kind.weight for kind in KINDS]) / sum(kind.weight for kind in KINDS)
LEG_MEAN = np.array(
    [[(leg.flex, leg.abduct, leg.turn, leg.knee) for leg in (k.lead, k.trail)] for k in KINDS], np.float32
)
LEG_SPREAD = np.array([[k.lead.spread, k.trail.spread] for k in KINDS], np.float32)
TRUNK = np.array(
    [
        (k.bend, k.bend_spread, k.twist_spread, k.lean, k.lean_spread, k.spin_spread, k.swing, k.same_arms)
        for k in KINDS
    ],
    np.float32,
)
ARM_MEAN = np.array([arm.wrist for arm in ARMS.values()], np.float32)
ARM_SPREAD = np.array([arm.spread for arm in ARMS.values()], np.float32)
ARM_ELBOW = np.array([arm.elbow for arm in ARMS.values()], np.float32)
ARM_CHANCE = np.stack([_arm_chances("lead"), _arm_chances("trail")])
DOWN = list(ARMS).index("down")


def sample_poses(rng: np.random.Generator, n: int) -> np.ndarray:
    """Axis-angle poses, float32 [n, 24, 3]; joint 0 tips the body in a world with y up (the scene adds the yaw)."""
    return sample_poses_with_kind(rng, n)[0]


def sample_poses_with_kind(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Poses as in `sample_poses`, and the row of `KINDS` of each, int64 [n]; `AIRBORNE[row]` means off the ground."""
    kind = np.searchsorted(KIND_CHANCE, rng.random(n)).clip(max=len(KINDS) - 1)
    bend, bend_spread, twist_spread, lean, lean_spread, spin_spread, swing, same_arms = TRUNK[kind].T
    liveliness = np.exp(rng.normal(-0.1, 0.35, n)).astype(np.float32)  # one factor for all noise of one person
    noise = rng.standard_normal((n, 24, 3), dtype=np.float32)
    pose = noise * JOINT_NOISE * liveliness[:, None, None]

    legs = LEG_MEAN[kind] + LEG_SPREAD[kind] * rng.standard_normal((n, 2, 4), dtype=np.float32)
    legs[..., 3] = np.abs(legs[..., 3])
    phase = rng.uniform(0, 2 * np.pi, n).astype(np.float32)
    swing = swing * np.exp(rng.normal(0, 0.2, n)).astype(np.float32)
    _stride(legs, phase, swing)
    np.clip(legs, LEG_LOW, LEG_HIGH, out=legs)

    tip = lean + lean_spread * rng.standard_normal(n, dtype=np.float32)
    total_bend = bend + bend_spread * rng.standard_normal(n, dtype=np.float32)
    total_twist = twist_spread * rng.standard_normal(n, dtype=np.float32) + 0.25 * swing * np.sin(phase)
    total_side = 0.08 * rng.standard_normal(n, dtype=np.float32)
    for joint, share in zip(SPINE, (0.36, 0.36, 0.28), strict=True):
        pose[:, joint] += np.stack([total_bend, total_twist, total_side], axis=1) * share
    pose[:, SPINE] = pose[:, SPINE].clip(-0.5, 0.6)
    # the head stays towards the horizon, against part of the trunk's bend
    upright = np.abs(tip) < 1.2
    gaze = -0.3 * np.where(upright, total_bend + tip, 0)
    pose[:, (NECK, HEAD), 0] += gaze[:, None]
    pose[:, NECK] = pose[:, NECK].clip(-0.5, 0.5)
    pose[:, HEAD] = pose[:, HEAD].clip((-0.55, -0.8, -0.35), (0.55, 0.8, 0.35))

    hip = _turn(0, -legs[..., 0]) @ _turn(2, legs[..., 1]) @ _turn(1, legs[..., 2])
    pose[:, KNEES, 0] = legs[..., 3]
    flat = legs[..., 0] - legs[..., 3] - tip[:, None]
    pose[:, ANKLES, 0] += np.where(upright[:, None], flat, 0.35).clip(ANKLE_LOW, ANKLE_HIGH)
    pose[:, ANKLES, 0] = pose[:, ANKLES, 0].clip(ANKLE_LOW, ANKLE_HIGH)
    pose[:, TOES, 0] = -np.abs(pose[:, TOES, 0])

    wrist, elbow = _hands(rng, kind, same_arms, phase, swing)
    collar, shoulder = _bend_arms(pose, wrist, elbow)
    root = _turn(0, tip) @ _turn(1, spin_spread * rng.standard_normal(n, dtype=np.float32))

    turned = matrix_to_axis_angle(np.concatenate([hip, collar, shoulder, root[:, None]], axis=1))
    pose[:, HIPS], pose[:, COLLARS], pose[:, SHOULDERS] = turned[:, 0:2], turned[:, 2:4], turned[:, 4:6]
    pose[:, 0] += turned[:, 6]
    pose = _right_is_mirrored_left(pose)
    swap = rng.random(n) < 0.5
    pose[swap] = mirror_pose(pose[swap])
    return pose.astype(np.float32), kind


def mirror_pose(pose: np.ndarray) -> np.ndarray:
    """The pose [..., 24, 3] seen in a mirror: sides exchanged, turns about y and z reversed."""
    return pose[..., MIRRORED_JOINTS, :] * np.array([1, -1, -1], np.float32)


def _right_is_mirrored_left(pose: np.ndarray) -> np.ndarray:
    """Both sides were computed as left ones, so this reverses the turns of the right joints."""
    right = [index for index, name in enumerate(JOINT_NAMES) if name.startswith("right_")]
    pose[:, right] *= np.array([1, -1, -1], np.float32)
    return pose


def _stride(legs: np.ndarray, phase: np.ndarray, swing: np.ndarray) -> None:
    """Adds the cycle of walking or running to legs [n, 2, 4]; the knee bends while its leg swings forwards."""
    moving = swing > 0
    for side, offset in ((0, 0.0), (1, np.pi)):
        angle = phase + np.float32(offset)
        legs[:, side, 0] += np.where(moving, swing * np.sin(angle) + 0.15 * swing, 0)
        forwards = np.maximum(np.cos(angle + 0.5), 0)
        legs[:, side, 3] += np.where(moving, swing * (0.25 + 1.7 * forwards * np.maximum(swing, 0.5)), 0)


def _hands(
    rng: np.random.Generator, kind: np.ndarray, same_arms: np.ndarray, phase: np.ndarray, swing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Wrists relative to the shoulders [n, 2, 3] (arm lengths) and elbow directions [n, 2, 3], both as left arms."""
    n = len(kind)
    lead = (rng.random(n)[:, None] > ARM_CHANCE[0, kind]).sum(axis=1)
    trail = (rng.random(n)[:, None] > ARM_CHANCE[1, kind]).sum(axis=1)
    trail = np.where(rng.random(n) < same_arms, lead, trail)
    arm = np.stack([lead, trail], axis=1).clip(max=len(ARMS) - 1)
    shared = rng.standard_normal((n, 1, 3), dtype=np.float32) * (lead == trail)[:, None, None]
    own = rng.standard_normal((n, 2, 3), dtype=np.float32)
    wrist = ARM_MEAN[arm] + ARM_SPREAD[arm] * (0.7 * shared + 0.75 * own)
    elbow = ARM_ELBOW[arm] + 0.2 * rng.standard_normal((n, 2, 3), dtype=np.float32)

    # arms swing against the legs, and the faster the more bent
    ahead = -np.stack([np.sin(phase), np.sin(phase + np.pi)], axis=1) * (0.75 * swing)[:, None] - 0.1 * swing[:, None]
    fold = np.maximum(0.15, 1.9 * swing - 0.65)[:, None] + 0.25 * np.abs(own[..., 0]) + 0.3 * ahead
    swung = np.stack(
        [
            0.06 + 0.06 * np.abs(own[..., 1]),
            -0.5 * (np.cos(ahead) + np.cos(ahead + fold)),
            0.5 * (np.sin(ahead) + np.sin(ahead + fold)),
        ],
        axis=-1,
    )
    striding = ((swing > 0)[:, None] & (arm == DOWN))[..., None]
    return np.where(striding, swung, wrist), elbow


def _bend_arms(pose: np.ndarray, wrist: np.ndarray, elbow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations of collars and shoulders [n, 2, 3, 3] that put the wrists at their targets.

    Fills the elbows of pose [n, 24, 3], which holds the noise of the collars.
    """
    reach = np.linalg.norm(wrist, axis=-1, keepdims=True)
    direction = wrist / np.maximum(reach, 1e-6)
    reach = reach.clip(REACH_LOW, REACH_HIGH)
    bow = elbow - (elbow * direction).sum(axis=-1, keepdims=True) * direction
    bow /= np.maximum(np.linalg.norm(bow, axis=-1, keepdims=True), 1e-6)
    upper = 0.5 * reach * direction + np.sqrt(0.25 - 0.25 * reach**2) * bow  # both bones are half an arm long
    upper /= np.linalg.norm(upper, axis=-1, keepdims=True)
    hinge = np.cross(bow, direction)  # turning `upper` about it gives the forearm
    shoulder = np.stack([upper, -hinge, np.cross(upper, -hinge)], axis=-1)

    # the collar follows the arm: a little down with hanging arms, well up with raised ones
    height = np.arcsin(upper[..., 1].clip(-1, 1))
    pose[:, COLLARS, 2] += np.where(height > 0, 0.30, 0.12) * height
    pose[:, COLLARS, 1] -= 0.18 * upper[..., 2]
    collar = _turn(1, pose[:, COLLARS, 1]) @ _turn(2, pose[:, COLLARS, 2])
    pose[:, ELBOWS, 1] = -2 * np.arccos(reach[..., 0].clip(0, 1))
    pose[:, WRISTS] = pose[:, WRISTS].clip(-0.7, 0.7)
    return collar, np.swapaxes(collar, -1, -2) @ shoulder


def _turn(axis: int, angle: np.ndarray) -> np.ndarray:
    """Rotation matrices [..., 3, 3] about one axis."""
    sine, cosine = np.sin(angle), np.cos(angle)
    matrix = np.zeros((*angle.shape, 3, 3), np.float32)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[..., axis, axis] = 1
    matrix[..., first, first] = cosine
    matrix[..., second, second] = cosine
    matrix[..., first, second] = -sine
    matrix[..., second, first] = sine
    return matrix
