"""Pictures as shards: what is written, what is flagged, and that the trainer's pool reads it."""

import numpy as np
import pytest

from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from depthhmr.data.pack import pack
from depthhmr.data.picture import Person, Picture, Pose
from depthhmr.data.shards import MAX_PEOPLE, ShardPool


def person(offset: float = 0.0, **facts) -> Person:
    joints = np.stack([np.arange(24.0) + offset, np.arange(24.0)], axis=1)
    joints[3] = np.nan
    known = np.isfinite(joints[:, 0])
    known[1] = False
    return Person(joints, known, **facts)


def packed(pictures, folder, size=40, **options):
    pack(pictures, folder, size=size, **options)
    return ShardPool(folder).draw(np.random.default_rng(0), len(pictures), shards_per_batch=1)


def test_what_is_not_labelled_is_flagged(tmp_path, picture):
    arrays = packed([Picture(picture(tmp_path / "a.png"), (person(),))], tmp_path / "shards")

    assert arrays["rgb"].shape == (1, 40, 40, 3) and (arrays["rgb"][0, :10] == 127).all()
    assert arrays["count"].tolist() == [1]
    assert not (arrays["everyone"][0] or arrays["metric"][0] or arrays["known_depth"][0] or arrays["known_3d"].any())
    assert arrays["layer"][0].tolist() == [-1] * MAX_PEOPLE
    # 80 x 40 in a square of 40: halved, ten rows of grey above
    assert arrays["joints_2d"][0, 0, 4].tolist() == [2, 12]
    assert arrays["joints_2d"][0, 0, 3].tolist() == [0, 0] and arrays["joints_2d"][0, 0, 1].tolist() == [0.5, 10.5]
    assert arrays["known_2d"][0, 0].sum() == 22 and not arrays["known_2d"][0, 0, [1, 3]].any()
    assert not arrays["known_2d"][0, 1:].any()


def test_an_unknown_camera_is_the_default_one_and_a_known_one_follows_the_picture(tmp_path, picture):
    path = picture(tmp_path / "a.png")
    given = Intrinsics(100, 90, 30, 25)

    (unknown,) = packed([Picture(path)], tmp_path / "unknown")["intrinsics"]
    (known,) = packed([Picture(path, intrinsics=given)], tmp_path / "known")["intrinsics"]

    assert unknown == pytest.approx([34.641, 34.641, 20, 20], abs=1e-3)
    assert known.tolist() == [50, 45, 15, 22.5]


def test_what_is_known_is_kept(tmp_path, picture):
    rotations = np.tile(np.diag([1.0, -1, -1]), (24, 1, 1))
    pose = Pose(rotations, np.arange(10.0), np.full((24, 3), 2.5))
    depth = np.zeros((40, 80))
    depth[:20] = 3.0
    shown = Picture(
        picture(tmp_path / "a.png"),
        (person(pose=pose, layer=2, visible=0.5),),
        everyone=True,
        metric=True,
        depth=lambda: depth,
    )

    arrays = packed([shown], tmp_path / "shards")

    assert arrays["everyone"][0] and arrays["metric"][0] and arrays["known_depth"][0]
    assert arrays["known_3d"][0].tolist() == [True] + [False] * (MAX_PEOPLE - 1)
    assert (arrays["rotations"][0, 0] == rotations).all() and (arrays["joints_3d"][0, 0] == 2.5).all()
    assert arrays["betas"][0, 0].tolist() == list(range(10))
    assert (arrays["layer"][0, 0], arrays["visible"][0, 0]) == (2, 0.5)
    assert np.unique(arrays["depth"][0, 10:20]).tolist() == [3] and not arrays["depth"][0, 20:].any()


def test_of_too_many_people_the_largest_stay_and_the_picture_no_longer_shows_everyone(tmp_path, picture):
    crowd = [person(offset) for offset in range(MAX_PEOPLE + 1)]
    small = Person(crowd[4].joints_2d * 0.1, crowd[4].known_2d)
    crowd[4] = small
    crowd.append(Person(np.full((24, 2), np.nan), np.zeros(24, bool)))  # behind the camera

    arrays = packed([Picture(picture(tmp_path / "a.png"), tuple(crowd), everyone=True)], tmp_path / "shards")

    assert arrays["count"][0] == MAX_PEOPLE and not arrays["everyone"][0]
    assert np.ptp(arrays["joints_2d"][0, :, 4:, 1], axis=1) == pytest.approx(9.5)


def test_the_same_pictures_give_the_same_bytes_in_shards_of_nearly_equal_length(tmp_path, picture, monkeypatch):
    monkeypatch.setattr("depthhmr.data.pack.SHARD", 4)
    monkeypatch.setattr("depthhmr.data.pack.BLOCK", 4)
    pictures = [Picture(picture(tmp_path / f"{i}.png", 8, 8, seed=i)) for i in range(10)]

    for name in ("one", "two"):
        assert pack(iter(pictures), tmp_path / name, size=32).shards == 3

    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.npy"))
    assert len(files) == 3 * 15
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)
    assert [len(np.load(path)) for path in sorted((tmp_path / "one").glob("*/count.npy"))] == [4, 3, 3]


def test_a_damaged_picture_is_named_and_leaves_no_half_shard(tmp_path, picture):
    (tmp_path / "b.png").write_bytes(b"not a picture")

    with pytest.raises(UserError, match=r"cannot read the picture .*b\.png"):
        pack([Picture(picture(tmp_path / "a.png")), Picture(tmp_path / "b.png")], tmp_path / "shards", size=32)

    assert list((tmp_path / "shards").iterdir()) == []


def test_a_folder_in_use_and_an_empty_data_set_are_refused(tmp_path, picture):
    with pytest.raises(UserError, match="expected a new or empty folder"):
        pack([Picture(picture(tmp_path / "a.png"))], tmp_path, size=32)
    with pytest.raises(UserError, match="expected at least 1 picture to pack"):
        pack([], tmp_path / "shards", size=32)


def test_a_depth_map_of_another_size_is_refused(tmp_path, picture):
    shown = Picture(picture(tmp_path / "a.png"), depth=lambda: np.zeros((80, 40)))

    with pytest.raises(UserError, match=r"shape \[80, 40\], expected \[40, 80\]"):
        pack([shown], tmp_path / "shards", size=32)
