"""Groups of people, their places, and the camera aimed at them.

Everything is drawn for many pictures at once, with the people of all pictures in one flat list, because the lifter trains
on tens of thousands of them without pictures.
"""

from dataclasses import dataclass

import numpy as np

from bodykit.body import Body
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_joints
from depthhmr.synth.camera import MAX_PITCH, Lenses, sample_lenses, tilt
from depthhmr.synth.poses import AIRBORNE, sample_poses_with_kind

# chances of 0, 1, 2 ... 12 people in a picture
COUNT_CHANCE = np.array([0.04, 0.33, 0.23, 0.14, 0.10, 0.05, 0.035, 0.025, 0.015, 0.012, 0.010, 0.007, 0.006])
COUNT_CHANCE = COUNT_CHANCE / COUNT_CHANCE.sum()
NEAREST, FARTHEST = 0.9, 20.0  # metres from the camera to the pelvis
STATURE = 1.68  # metres; converts a wanted height in the picture into a distance
# from a joint down to the skin below it, metres, when the body rests on that joint
FLESH = np.array([0.12, 0.1, 0.1, 0.1, 0.06, 0.06, 0.1, 0.075, 0.075, 0.1, 0.03, 0.03,
                    0.06, 0.06, 0.06, 0.09, 0.06, 0.06, 0.05, 0.05, 0.04, 0.04, 0.05, 0.05], np.float32)  # fmt: skip
UPSIDE = np.array([1, -1, -1], np.float32)  # body axes (y up, z to the viewer) in the level frame (y down, z away)


@dataclass(frozen=True)
class Crowd:
    """N pictures and the P people in them, person by person; level frame and metres."""

    owner: np.ndarray  # [P] the picture of each person, rising
    kind: np.ndarray  # [P] rows of `pose_kinds.KINDS`
    pose: np.ndarray  # [P, 24, 3] axis-angle without yaw
    yaw: np.ndarray  # [P] radians; 0 looks back along the optical axis
    rotations: np.ndarray  # [P, 24, 3, 3] with joint 0 in the level frame
    betas: np.ndarray  # [P, 10]
    pelvis: np.ndarray  # [P, 3] joint 0 in the level frame
    lift: np.ndarray  # [P] height of the lowest point above the ground, 0 unless jumping
    lenses: Lenses
    tilt: np.ndarray  # [N, 3, 3] level frame to camera frame
    height: np.ndarray  # [N] camera above the ground


def sample_crowd(rng: np.random.Generator, body: Body, pictures: int, size: int) -> Crowd:
    """Draws people for `pictures` squares of `size` pixels: first the main person, then the others around."""
    lenses = sample_lenses(rng, pictures, size)
    counts = np.searchsorted(np.cumsum(COUNT_CHANCE), rng.random(pictures)).clip(max=len(COUNT_CHANCE) - 1)
    owner = np.repeat(np.arange(pictures), counts)
    slot = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    people = len(owner)
    pose, kind = sample_poses_with_kind(rng, people)
    betas = rng.standard_normal((people, 10), dtype=np.float32).clip(-2.5, 2.5)

    x, z, main_z = _places(rng, lenses, owner, slot, counts)
    yaw = _facing(rng, x, z)
    rotations = axis_angle_to_matrix(pose)
    rotations[:, 0] = _upright(yaw) @ rotations[:, 0]
    joints = pose_joints(body, betas, rotations, np.zeros((people, 3), np.float32))
    lowest = (joints[..., 1] + FLESH).max(axis=1) if people else np.zeros(0)
    lift = np.where(AIRBORNE[kind], rng.uniform(0.05, 0.6, people), 0)

    top = np.full(pictures, STATURE)
    first = slot == 0
    top[owner[first]] = (lowest - joints[..., 1].min(axis=1) + 0.12)[first] if people else 0
    height, pitch = _aim(rng, lenses, main_z, top)
    roll = np.where(rng.random(pictures) < 0.7, rng.normal(0, 0.02, pictures), rng.normal(0, 0.08, pictures))
    pelvis = np.stack([x, height[owner] - lowest - lift, z], axis=1).astype(np.float32)
    return Crowd(
        owner, kind, pose, yaw, rotations, betas, pelvis, lift, lenses, tilt(pitch, roll), height.astype(np.float32)
    )


def _places(
    rng: np.random.Generator, lenses: Lenses, owner: np.ndarray, slot: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ground positions x, z [P] of all people, and the distance z of the main person per picture [N]."""
    pictures, people = len(counts), len(owner)
    width = lenses.content[:, 2] - lenses.content[:, 0]
    tall = lenses.content[:, 3] - lenses.content[:, 1]
    # height of the main person as a share of the picture's height: portraits, whole figures, small figures
    style = rng.random(pictures)
    share = np.exp(
        np.where(
            style < 0.22,
            rng.uniform(np.log(1.0), np.log(2.3), pictures),
            np.where(
                style < 0.80,
                rng.uniform(np.log(0.5), np.log(1.05), pictures),
                rng.uniform(np.log(0.15), np.log(0.5), pictures),
            ),
        )
    )
    main_z = (lenses.focal * STATURE / (share * tall)).clip(NEAREST, FARTHEST)
    across = rng.normal(0, 0.17, pictures).clip(-0.42, 0.42)
    across = across * np.where(counts > 1, 1.3, 1.0)
    main_x = across * width / lenses.focal * main_z

    near_main = main_z[owner] * np.exp(rng.normal(0.15, 0.28, people))
    anywhere = np.exp(rng.uniform(np.log(np.maximum(1.2, 0.8 * main_z[owner])), np.log(FARTHEST)))
    z = np.where(rng.random(people) < 0.65, near_main, anywhere)
    x = rng.uniform(-0.5, 0.5, people) * (width / lenses.focal)[owner] * z
    # in a third of the pictures people stand side by side for the photographer
    grouped = (rng.random(pictures) < 0.35)[owner]
    step = np.where(slot % 2 == 1, 1, -1) * (slot + 1) // 2
    beside = main_x[owner] + step * rng.uniform(0.55, 0.85, pictures)[owner]
    grouped &= np.abs(beside) < 0.48 * (width / lenses.focal)[owner] * main_z[owner]
    x = np.where(grouped, beside, x)
    z = np.where(grouped, main_z[owner] + rng.normal(0, 0.25, people), z).clip(NEAREST, FARTHEST)
    # a person hidden right behind the main person moves to the other side
    bearing = x / z
    hidden = ~grouped & (slot > 0) & (np.abs(bearing - main_x[owner] / main_z[owner]) < 0.3 / main_z[owner])
    half = 0.5 * (width / lenses.focal)[owner]
    x = np.where(hidden, -np.sign(main_x[owner]) * rng.uniform(0.2, 0.95, people) * half * z, x)
    first = slot == 0
    return np.where(first, main_x[owner], x), np.where(first, main_z[owner], z), main_z


def _facing(rng: np.random.Generator, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Yaw [P]: half of the people roughly face the camera, the others any direction."""
    at_camera = np.arctan2(-x, z) + rng.normal(0, np.radians(40), len(x))
    return np.where(rng.random(len(x)) < 0.5, at_camera, rng.uniform(-np.pi, np.pi, len(x)))


def _upright(yaw: np.ndarray) -> np.ndarray:
    """Rotations [P, 3, 3] of upright bodies into the level frame."""
    sine, cosine, zero, one = np.sin(yaw), np.cos(yaw), np.zeros_like(yaw), np.ones_like(yaw)
    turn = np.stack([cosine, zero, sine, zero, one, zero, -sine, zero, cosine], axis=-1).reshape(-1, 3, 3)
    return (turn * UPSIDE[:, None]).astype(np.float32)


def _aim(
    rng: np.random.Generator, lenses: Lenses, distance: np.ndarray, top: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Height above the ground and pitch of cameras [N] that look at a main person `top` metres high."""
    n = len(distance)
    style = rng.random(n)
    height = np.where(
        style < 0.65,
        rng.normal(1.45, 0.2, n),
        np.where(style < 0.85, rng.uniform(0.3, 1.2, n), rng.uniform(1.7, 3.0, n)),
    )
    seen = (lenses.content[:, 3] - lenses.content[:, 1]) / lenses.focal * distance  # metres from top to bottom edge
    slack = np.maximum(seen - top, 0)
    whole = 0.5 * top + 0.5 * slack * rng.uniform(-0.8, 0.8, n)
    upper_body = np.where(rng.random(n) < 0.8, top - 0.5 * seen + 0.25 * seen * rng.uniform(-0.2, 1.0, n), 0.45 * top)
    target = np.where(top < seen, whole, upper_body)
    rise = np.tan(MAX_PITCH) * distance
    height = height.clip(np.maximum(target - rise, 0.3), np.maximum(target + rise, 0.31)).clip(0.3, 3.0)
    pitch = np.arctan2(height - target, distance) + rng.normal(0, 0.02, n)
    return height, pitch.clip(-MAX_PITCH, MAX_PITCH)
