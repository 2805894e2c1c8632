import numpy as np
import pytest

from bodykit.body import load_body
from bodykit.errors import UserError
from bodykit.skinning import pose_joints
from depthhmr.synth.joints import sample_people
from depthhmr.synth.splits import SPLITS, seeds_of


def test_exactly_as_many_people_come_as_were_asked_for() -> None:
    people = sample_people(load_body(), np.random.default_rng(0), 257)

    assert {name: array.shape for name, array in people.items()} == {
        "rotations": (257, 24, 3, 3),
        "betas": (257, 10),
        "translation": (257, 3),
        "joints_3d": (257, 24, 3),
        "intrinsics": (257, 4),
    }
    assert all(array.dtype == np.float32 for array in people.values())


def test_joints_belong_to_the_rotations() -> None:
    people = sample_people(load_body(), np.random.default_rng(0), 50)

    joints = pose_joints(load_body(), people["betas"], people["rotations"], people["translation"])
    np.testing.assert_allclose(people["joints_3d"], joints, atol=1e-5)


def test_people_are_in_front_of_the_camera_and_most_joints_in_the_picture() -> None:
    people = sample_people(load_body(), np.random.default_rng(0), 5_000, size=192)

    joints, lens = people["joints_3d"], people["intrinsics"]
    assert people["translation"][:, 2].min() > 0.5
    before = joints[..., 2] > 0.1
    pixels = joints[..., :2] / np.maximum(joints[..., 2:], 0.1) * lens[:, None, :2] + lens[:, None, 2:]
    inside = ((pixels >= 0) & (pixels < 192)).all(axis=-1) & before
    assert inside.mean() > 0.7


def test_more_people_face_the_camera_than_turn_their_backs() -> None:
    people = sample_people(load_body(), np.random.default_rng(0), 5_000)

    facing = people["rotations"][:, 0, 2, 2] < 0  # the body's front points towards the camera
    assert 0.6 < facing.mean() < 0.85


def test_splits_share_no_seed() -> None:
    ranges = [range(first, first + count) for first, count in SPLITS.values()]

    for i, one in enumerate(ranges):
        for other in ranges[i + 1 :]:
            assert one[-1] < other[0] or other[-1] < one[0]
    assert SPLITS["val"][1] == 2_000
    assert SPLITS["test"][1] == 1_000


def test_seeds_beyond_the_end_of_a_split_are_refused() -> None:
    assert list(seeds_of("val", 2, start=1_998)) == [20_001_998, 20_001_999]
    with pytest.raises(UserError, match="pictures 0 to 999, asked for 2 from number 999"):
        seeds_of("test", 2, start=999)
    with pytest.raises(UserError, match="expected one of train, val, test"):
        seeds_of("dev", 1)
