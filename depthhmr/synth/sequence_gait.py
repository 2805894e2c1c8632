"""Motion of people without their place: a walk cycle from joint angles, and standing.

Angles are smooth functions of the phase of the step and of the time, so that a motion can be sampled at any frame rate
and has no jerk. T times of one person.
"""

from dataclasses import dataclass

import numpy as np

from bodykit.rotations import axis_angle_to_matrix
from depthhmr.synth.pose_kinds import KINDS
from depthhmr.synth.poses import (
    ANKLES,
    COLLARS,
    ELBOWS,
    HEAD,
    HIPS,
    KNEES,
    NECK,
    SHOULDERS,
    SPINE,
    sample_poses_with_kind,
)

LEG_M = 0.85  # from the hip to the floor
STEP_M = (
    0.57  # length of one step at 1 m/s; it grows with the root of the speed (0.65 m at 1.3 m/s, as measured on adults)
)
RUN_SWING = 0.5  # radians of the hips' swing above which the arms are bent
STANDING = {row for row, kind in enumerate(KINDS) if kind.name in ("stand", "stand at ease", "stand wide")}
MIRRORED = np.array([1, -1, -1], np.float32)


@dataclass(frozen=True)
class Manner:
    """The personal style of walking; the defaults are the means of the drawn values."""

    step: float = 1.0  # length of steps, 1 is usual
    arms: float = 0.9  # swing of the arms, as a share of the legs'
    bend: float = 0.05  # radians that the trunk leans forwards
    elbow: float = 0.25  # radians, hanging
    spread: float = 0.10  # radians, arms off the body


def sample_manner(rng: np.random.Generator) -> Manner:
    """Draws a style of walking."""
    return Manner(
        step=float(rng.uniform(0.88, 1.12)),
        arms=float(rng.uniform(0.5, 1.2)),
        bend=float(rng.normal(0.05, 0.04)),
        elbow=float(rng.uniform(0.1, 0.5)),
        spread=float(rng.uniform(0.04, 0.2)),
    )


def stride(manner: Manner, speed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(phase per second in radians, swing of the hips in radians) at speeds [T] in metres per second.

    A leg that swings by `swing` to either side moves the hips by one step, so feet hardly slide.
    """
    root = np.sqrt(np.maximum(speed, 0))
    step = STEP_M * manner.step * root
    return np.pi * root / (STEP_M * manner.step), np.arcsin(np.minimum(step / (2 * LEG_M), 0.95))


def walk(manner: Manner, phase: np.ndarray, swing: np.ndarray) -> np.ndarray:
    """Poses, axis-angle float32 [T, 24, 3], without yaw. The left leg is in front at phase pi/2; swing 0 stands."""
    pose = np.zeros((len(phase), 24, 3), np.float32)
    for side, (offset, mirror) in enumerate(((0.0, np.array([1, 1, 1], np.float32)), (np.pi, MIRRORED))):
        angle = phase + offset
        flex = swing * np.sin(angle) + 0.12 * swing
        lifted = (0.5 + 0.5 * np.cos(angle + 0.3)) ** 2  # the knee bends while its leg swings forwards
        knee = 0.05 + swing * (0.15 + 1.9 * lifted)
        flat = flex - knee - 0.3 * manner.bend  # keeps the sole level
        pose[:, HIPS[side]] = _about(-flex, 0) + _about(0.06, 2) * mirror
        pose[:, KNEES[side]] = _about(knee, 0)
        pose[:, ANKLES[side]] = _about(0.45 * np.tanh(flat / 0.45), 0)
        ahead = -manner.arms * swing * np.sin(angle)  # arms swing against the legs
        fold = manner.elbow + 0.5 * swing * (0.5 - 0.5 * np.sin(angle)) + 3.0 * np.maximum(swing - RUN_SWING, 0)
        pose[:, COLLARS[side]] = _about(-0.12, 2) * mirror
        pose[:, SHOULDERS[side]] = _hang(ahead, manner.spread) * mirror
        pose[:, ELBOWS[side]] = _about(-fold, 1) * mirror
    turn = 0.15 * swing * np.sin(phase)
    pose[:, 0] = _about(0.6 * manner.bend, 0) + _about(-turn, 1) + _about(0.10 * swing * np.cos(phase), 2)
    for joint in SPINE:
        pose[:, joint] = _about(0.15 * manner.bend, 0) + _about(turn, 1) - _about(0.03 * swing * np.cos(phase), 2)
    pose[:, (NECK, HEAD), 0] = -0.4 * manner.bend
    pose[:, (NECK, HEAD), 1] -= turn[:, None]  # the face stays in the direction of motion
    return pose


@dataclass(frozen=True)
class Standing:
    """A standing person who shifts their weight, looks around and at times moves the arms."""

    pose: np.ndarray  # [24, 3] axis-angle without yaw
    amount: np.ndarray  # [24, 3] radians
    rate: np.ndarray  # [24, 3] radians per second
    phase: np.ndarray  # [24, 3]

    def at(self, time_s: np.ndarray) -> np.ndarray:
        """Poses [T, 24, 3] at the times [T]."""
        return self.pose + self.amount * np.sin(self.rate * time_s[:, None, None] + self.phase, dtype=np.float32)


def sample_standing(rng: np.random.Generator) -> Standing:
    """Draws a standing pose and its liveliness."""
    pose, kind = sample_poses_with_kind(rng, 64)  # a third of all poses stand
    rows = [row for row in range(len(kind)) if kind[row] in STANDING]
    amount = np.zeros((24, 3), np.float32)
    amount[0] = (0.015, 0.04, 0.012)
    amount[list(SPINE)] = (0.015, 0.02, 0.012)
    amount[[NECK, HEAD]] = (0.04, 0.12, 0.02)
    talking = rng.random() < 0.5
    amount[[*SHOULDERS, *ELBOWS]] = rng.uniform(0.1, 0.35) if talking else 0.02
    amount *= rng.uniform(0.4, 1.0, (24, 3))
    rate = 2 * np.pi * rng.uniform(0.12, 0.4, (24, 3))
    rate[[*SHOULDERS, *ELBOWS]] *= 2
    phase = rng.uniform(0, 2 * np.pi, (24, 3))
    return Standing(pose[rows[0]], amount, rate.astype(np.float32), phase.astype(np.float32))


def _about(angle: np.ndarray | float, axis: int) -> np.ndarray:
    """Axis-angle vectors [..., 3] about one axis of the body."""
    angle = np.asarray(angle, np.float32)
    vector = np.zeros((*angle.shape, 3), np.float32)
    vector[..., axis] = angle
    return vector


def _hang(ahead: np.ndarray, spread: float) -> np.ndarray:
    """Axis-angle [T, 3] of a left shoulder: the arm of the T-pose down to the side, then swung `ahead`."""
    from bodykit.rotations import matrix_to_axis_angle

    down = axis_angle_to_matrix(_about(spread - np.pi / 2 + 0.12, 2))  # 0.12: the collar has lowered it already
    return matrix_to_axis_angle(axis_angle_to_matrix(_about(-ahead, 0)) @ down)
