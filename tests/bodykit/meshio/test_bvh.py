"""BVH files, posed again by bvhio."""

import numpy as np
import pytest

from bodykit.body import JOINT_NAMES
from bodykit.meshio import bvh
from bodykit.meshio.even import evenly
from bodykit.meshio.rigs import RIGS
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_joints

TO_GLTF = np.array([1, -1, -1])


@pytest.fixture
def read(tmp_path):
    """Joint positions [F, 24, 3] in the order of `names`, and the seconds of a frame."""
    bvhio = pytest.importorskip("bvhio", reason="bvhio is not installed (extra `dev`)")

    def run(data: bytes, names=JOINT_NAMES) -> tuple[np.ndarray, float]:
        path = tmp_path / "person.bvh"
        path.write_bytes(data)
        file = bvhio.readAsBvh(str(path))
        root = bvhio.convertBvhToHierarchy(file.Root)
        frames = []
        for frame in range(file.FrameCount):
            root.loadPose(frame)
            places = {joint.Name: joint.PositionWorld.to_list() for joint, _, _ in root.layout()}
            frames.append([places[name] for name in names])
        return np.array(frames), file.FrameTime

    return run


def joints_of(body, even, betas) -> np.ndarray:
    shape = np.tile(np.float32(betas), (len(even.rotations), 1))
    return pose_joints(body, shape, np.float32(even.rotations), np.float32(even.translation)) * TO_GLTF


@pytest.mark.parametrize("rig", RIGS)
def test_another_library_poses_the_same_joints(body, motion, read, rig):
    moved = motion(range(6), seed=4, bend=0.8)
    even = evenly(moved, np.arange(6) / 25)

    joints, step_s = read(bvh.write(body, even, moved.betas, rig=rig), RIGS[rig])

    assert step_s == pytest.approx(1 / 25)
    assert np.abs(joints - joints_of(body, even, moved.betas)).max() < 1e-3  # metres


@pytest.mark.parametrize("sign", [1, -1])
def test_a_joint_turned_to_the_pole_of_its_angles_is_posed_right(body, motion, read, sign):
    moved = motion([0, 1])
    moved.axis_angle[:, 16:20] = [sign * np.pi / 2, 0, 0]
    even = evenly(moved, np.array([0.0, 0.1]))

    joints, _ = read(bvh.write(body, even, moved.betas))

    assert np.abs(joints - joints_of(body, even, moved.betas)).max() < 1e-3


def test_angles_do_not_jump_by_whole_turns(body, motion):
    moved = motion(range(40))
    moved.axis_angle[:, 0] = 0
    moved.axis_angle[:, 0, 2] = np.linspace(0, 4 * np.pi, 40)  # the person rolls twice
    even = evenly(moved, np.arange(40) / 30)

    text = bvh.write(body, even, moved.betas).decode()

    rows = np.array([line.split() for line in text[text.index("Frame Time") :].splitlines()[1:]], float)
    assert np.abs(np.diff(rows[:, 3])).max() < 90


def test_in_between_a_person_is_interpolated_and_before_and_after_held(motion):
    moved = motion([2, 4])

    even = evenly(moved, np.arange(7) / 10 + 3)

    assert even.fps == pytest.approx(10)
    assert even.seen.tolist() == [False, False, True, False, True, False, False]
    assert even.translation[[0, 1, 2]] == pytest.approx(np.tile(moved.translation[0], (3, 1)))
    assert even.translation[3] == pytest.approx(moved.translation.mean(axis=0))
    assert even.translation[[5, 6]] == pytest.approx(np.tile(moved.translation[1], (2, 1)))
    first, last = axis_angle_to_matrix(moved.axis_angle)
    assert np.allclose(even.rotations[3] @ first.swapaxes(1, 2), last @ even.rotations[3].swapaxes(1, 2), atol=1e-6)


def test_uneven_times_become_even(motion):
    moved = motion([0, 1, 2])
    moved.translation[:] = np.array([0, 1, 4])[:, None]  # metres, at 0, 1 and 4 s: an even speed

    even = evenly(moved, np.array([0.0, 1.0, 4.0]))

    assert even.fps == pytest.approx(0.5)
    assert even.translation[:, 0] == pytest.approx([0, 2, 4])


def test_a_single_frame_has_a_rate_all_the_same(motion):
    even = evenly(motion([0]), np.array([5.0]))

    assert even.fps == 30 and len(even.rotations) == 1


def test_times_that_do_not_fit_are_refused(motion):
    with pytest.raises(ValueError, match="expected increasing times of 3 frames or more"):
        evenly(motion([0, 2]), np.arange(2))
