"""From MakeHuman's rest pose (arms about 45 degrees down) to the T-pose of the body."""

from dataclasses import dataclass

import numpy as np

from bodykit.body import JOINT_NAMES, JOINTS, PARENTS
from depthhmr.bake import dualquat
from depthhmr.bake.skeleton import LEFT_FOREARM, RIGHT_FOREARM, SEGMENTS

TOE_OUT = np.radians(6)
# Shares of the forearm's twist that reach the upper arm and the half of the forearm near the elbow.
UPPER_ARM_TWIST, NEAR_FOREARM_TWIST = 0.2, 0.5


@dataclass(frozen=True)
class Posed:
    """A person in the T-pose, pelvis joint at the origin, metres."""

    points: np.ndarray  # [n, 3]
    joints: np.ndarray  # [24, 3]


def to_t_pose(points: np.ndarray, weights: np.ndarray, joints: np.ndarray, palms: dict[str, np.ndarray]) -> Posed:
    """Poses points [n, 3] with weights [n, 26]; joints [24, 3] and palms are in the same rest pose.

    palms: for "left" and "right" the vector [3] from the knuckle of the little finger to that of the index finger. In
    the T-pose it points straight ahead: palms down.
    """
    rotations = _segment_rotations(joints, palms)
    posed = np.zeros((JOINTS, 3))
    for joint in range(1, JOINTS):
        parent = PARENTS[joint]
        # Hands hang on the lower half of the forearm; both halves turn about the same axis, so either will do.
        posed[joint] = posed[parent] + rotations[parent] @ (joints[joint] - joints[parent])
    segments = [*range(JOINTS), JOINT_NAMES.index("left_elbow"), JOINT_NAMES.index("right_elbow")]
    shifts = posed[segments] - np.einsum("sij,sj->si", rotations, joints[segments])
    return Posed(dualquat.skin(points, weights, rotations, shifts), posed)


def _segment_rotations(joints: np.ndarray, palms: dict[str, np.ndarray]) -> np.ndarray:
    rotations = np.tile(np.eye(3), (SEGMENTS, 1, 1))
    for side, sign, far_forearm in (("left", 1.0, LEFT_FOREARM), ("right", -1.0, RIGHT_FOREARM)):
        hip, knee, ankle, foot, shoulder, elbow, wrist, hand = (
            JOINT_NAMES.index(f"{side}_{part}")
            for part in ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist", "hand")
        )
        thigh = turn(joints[knee] - joints[hip], np.array([sign * 0.06, -1, 0]))
        shin = turn(thigh @ (joints[ankle] - joints[knee]), np.array([sign * 0.03, -1, -0.04])) @ thigh
        rotations[hip], rotations[knee] = thigh, shin
        # Feet only turn about the vertical: the soles stay flat.
        ahead = joints[foot] - joints[ankle]
        rotations[ankle] = rotations[foot] = about_y(sign * TOE_OUT - np.arctan2(ahead[0], ahead[2]))

        outward = np.array([sign, 0, 0])
        upper_arm = turn(joints[elbow] - joints[shoulder], outward)
        forearm = turn(upper_arm @ (joints[wrist] - joints[elbow]), outward) @ upper_arm
        palm = turn(forearm @ (joints[hand] - joints[wrist]), outward) @ forearm
        across = palm @ palms[side]
        twist = np.arctan2(across[1], across[2])
        rotations[shoulder] = about_x(UPPER_ARM_TWIST * twist) @ upper_arm
        rotations[elbow] = about_x(NEAR_FOREARM_TWIST * twist) @ forearm
        rotations[far_forearm] = about_x(twist) @ forearm
        rotations[wrist] = rotations[hand] = about_x(twist) @ palm
    return rotations


def turn(start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """The smallest rotation [3, 3] that takes one direction to another (not its opposite)."""
    start, goal = start / np.linalg.norm(start), goal / np.linalg.norm(goal)
    x, y, z = np.cross(start, goal)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + start @ goal)


def about_x(angle: float) -> np.ndarray:
    """Rotation [3, 3] about the x axis, radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])


def about_y(angle: float) -> np.ndarray:
    """Rotation [3, 3] about the y axis, radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
