import numpy as np

from bodykit.body import load_body
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_joints
from depthhmr.synth.pose_kinds import KINDS
from depthhmr.synth.poses import mirror_pose, sample_poses, sample_poses_with_kind

KNEES, ELBOWS, HANDS = [4, 5], [18, 19], [22, 23]


def joints_of(pose: np.ndarray) -> np.ndarray:
    """Joints [n, 24, 3] of the mean body in its own frame (y up, z to the front)."""
    n = len(pose)
    rotations = axis_angle_to_matrix(pose)
    return pose_joints(load_body(), np.zeros((n, 10)), rotations, np.zeros((n, 3)))


def of_kind(name: str, n: int = 20_000) -> np.ndarray:
    pose, kind = sample_poses_with_kind(np.random.default_rng(1), n)
    return pose[kind == [kind.name for kind in KINDS].index(name)]


def test_poses_are_finite_float32_of_the_agreed_shape() -> None:
    poses = sample_poses(np.random.default_rng(0), 500)

    assert poses.shape == (500, 24, 3)
    assert poses.dtype == np.float32
    assert np.isfinite(poses).all()


def test_the_same_generator_state_gives_the_same_poses() -> None:
    assert np.array_equal(sample_poses(np.random.default_rng(5), 50), sample_poses(np.random.default_rng(5), 50))


def test_no_poses_is_a_number_of_poses() -> None:
    assert sample_poses(np.random.default_rng(0), 0).shape == (0, 24, 3)


def test_knees_and_elbows_bend_one_way_only() -> None:
    poses = sample_poses(np.random.default_rng(0), 5_000)

    assert (poses[:, KNEES, 0] >= 0).all()
    assert (poses[:, 18, 1] <= 0).all()
    assert (poses[:, 19, 1] >= 0).all()
    assert np.linalg.norm(poses[:, KNEES + ELBOWS], axis=-1).max() < 2.7


def test_spine_head_and_hands_stay_within_their_limits() -> None:
    poses = sample_poses(np.random.default_rng(0), 5_000)

    assert np.abs(poses[:, [3, 6, 9]]).max() <= 0.6
    assert np.linalg.norm(poses[:, 15], axis=-1).max() < 1.1
    assert np.linalg.norm(poses[:, HANDS], axis=-1).mean() < 0.1


def test_left_and_right_are_the_same_on_average() -> None:
    poses = sample_poses(np.random.default_rng(0), 20_000)

    error = poses.mean(axis=0) - mirror_pose(poses).mean(axis=0)
    # four standard errors of the mean, joint by joint
    allowed = 4 * np.sqrt(2) * poses.std(axis=0).max(axis=-1, keepdims=True) / np.sqrt(len(poses)) + 1e-3
    assert (np.abs(error) < allowed + allowed[[0, 2, 1, *range(3, 24)]]).all()


def test_a_mirrored_pose_mirrors_the_joints() -> None:
    poses = sample_poses(np.random.default_rng(0), 20)

    mirrored = joints_of(mirror_pose(poses))

    pairs = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
    np.testing.assert_allclose(mirrored, joints_of(poses)[:, pairs] * [-1, 1, 1], atol=2e-3)


def test_a_walker_swings_arms_against_legs() -> None:
    pose = of_kind("run")
    joints = joints_of(pose)

    legs = joints[:, 4, 2] - joints[:, 5, 2]
    arms = joints[:, 18, 2] - joints[:, 19, 2]
    assert np.corrcoef(legs, arms)[0, 1] < -0.5


def test_the_seated_have_their_thighs_level_and_their_heads_up() -> None:
    joints = joints_of(of_kind("sit"))

    thigh = joints[:, KNEES] - joints[:, [1, 2]]
    assert np.median(np.abs(thigh[..., 1])) < 0.12
    assert np.median(thigh[..., 2]) > 0.3
    assert np.median(joints[:, 15, 1]) > 0.5


def test_handstands_are_upside_down_and_rare() -> None:
    handstands = of_kind("handstand")

    assert 0 < len(handstands) < 0.03 * 20_000
    assert (joints_of(handstands)[:, 15, 1] < 0).all()


def test_arms_are_mostly_lowered_as_in_photographs() -> None:
    joints = joints_of(sample_poses(np.random.default_rng(0), 5_000))

    below_shoulder = joints[:, [20, 21], 1] < joints[:, [16, 17], 1]
    assert 0.55 < below_shoulder.mean() < 0.95
