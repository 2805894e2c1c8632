"""Relative Human in its public layout: joints in three orders, and layers of depth."""

import numpy as np
import pytest

from bodykit.body import JOINT_NAMES
from bodykit.errors import UserError
from depthhmr.data import relative_human
from depthhmr_cli.main import main


def person(count: int, layer: int, *, score: float = 1.0) -> dict:
    points = np.stack([np.arange(count) + 1.0, 2.0 * np.arange(count) + 1, np.full(count, score)], axis=1)
    return {"kp2d": points.ravel().tolist(), "depth_id": layer, "age": 0, "gender": 1, "bbox": [0, 0, 9, 9]}


@pytest.fixture
def data_set(tmp_path, picture):
    annotations = {
        "102349.jpg": [person(14, 0), person(14, 1), person(14, -1), {**person(14, 2), "kp2d": None}],
        "6182308.jpg": [person(19, 0)],
        "000123.jpg": [person(19, 3)],
        "200000.jpg": [person(14, 0, score=0)],
    }
    for name in annotations:
        picture(tmp_path / "images" / name)
    np.savez(tmp_path / "train_annots.npz", annots=annotations)
    return tmp_path


def x_of(found, name: str) -> float:
    return found.joints_2d[JOINT_NAMES.index(name), 0]


def test_layers_and_joints_are_read_in_each_order(data_set):
    crowd, own, ochuman = relative_human.read(data_set / "train_annots.npz", data_set / "images")

    assert [found.layer for found in crowd.people] == [0, 1, -1]
    assert not crowd.everyone and not crowd.metric
    # the number of a point in its list, plus one
    assert [x_of(crowd.people[0], name) for name in ("left_shoulder", "right_ankle", "neck")] == [1, 12, 14]
    assert [x_of(own.people[0], name) for name in ("left_shoulder", "right_ankle", "neck")] == [6, 17, 3]
    assert [x_of(ochuman.people[0], name) for name in ("right_wrist", "left_shoulder", "left_ankle")] == [3, 4, 12]
    assert ochuman.people[0].layer == 3 and ochuman.people[0].known_2d.sum() == 10


def test_age_and_gender_are_kept_where_they_are_known(tmp_path):
    items = [person(14, 0), {**person(14, 0), "age": 3, "gender": 0}, {**person(14, 0), "age": -1, "gender": -1}]
    unsaid = person(14, 0)
    del unsaid["age"], unsaid["gender"]
    np.savez(tmp_path / "a.npz", annots={"102349.jpg": [*items, unsaid]})

    [shown] = relative_human.read(tmp_path / "a.npz", tmp_path)

    said = [(found.about.age, found.about.gender) for found in shown.people]
    assert said == [("adult", "female"), ("baby", "male"), (None, None), (None, None)]


def test_whom_training_leaves_out_may_be_scored(data_set):
    counts = {
        fewest: [
            len(shown.people) for shown in relative_human.read(data_set / "train_annots.npz", data_set, fewest=fewest)
        ]
        for fewest in (4, 0)
    }

    assert counts == {4: [3, 1, 1], 0: [3, 1, 1, 1]}  # the last has no joint that is seen


def test_the_command_packs_layers(data_set, tmp_path):
    out = tmp_path / "shards"

    command = ["data", "pack", "relative-human", str(data_set / "train_annots.npz"), "--size", "32"]
    assert main([*command, "--out", str(out)]) == 0

    layers = np.load(out / "0000000000" / "layer.npy")[:, :4].tolist()
    assert sorted(layers) == [[0, -1, -1, -1], [0, 1, -1, -1], [3, -1, -1, -1]]


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    for annotations, complaint in (
        (np.zeros(3), "annots is a ndarray, expected a dictionary"),
        ({"a.jpg": [{**person(14, 0), "kp2d": [1, 2, 3]}]}, "a.jpg is not a list of people with kp2d of 14 or 19"),
        ({"a.jpg": [{"kp2d": person(14, 0)["kp2d"]}]}, "depth_id"),
    ):
        np.savez(path, annots=annotations)
        with pytest.raises(UserError, match=complaint):
            list(relative_human.read(path, tmp_path))
