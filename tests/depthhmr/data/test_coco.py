"""COCO keypoint files, with 17 points or with CrowdPose's 14."""

import json

import numpy as np
import pytest

from bodykit.body import JOINT_NAMES
from bodykit.errors import UserError
from depthhmr.data import coco
from depthhmr_cli.main import main

COCO = ["nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle"]  # fmt: skip
CROWDPOSE = [*COCO[5:], "head", "neck"]


def points(count: int, flag: int = 2, offset: int = 0) -> list[int]:
    return [number for i in range(count) for number in (offset + i, 10 + i, flag)]


def write(folder, picture, annotations, names=COCO):
    for number in (1, 2):
        picture(folder / "images" / f"{number:012d}.jpg")
    content = {
        "images": [{"id": n, "file_name": f"{n:012d}.jpg", "width": 80, "height": 40} for n in (1, 2)],
        "annotations": [{"id": i, "category_id": 1, "iscrowd": 0, **item} for i, item in enumerate(annotations)],
        "categories": [{"id": 1, "name": "person", "keypoints": names}, {"id": 2, "name": "dog"}],
    }
    path = folder / "person_keypoints.json"
    path.write_text(json.dumps(content))
    return path


def pixel(person, name):
    return person.joints_2d[JOINT_NAMES.index(name)].tolist()


def test_points_are_found_by_their_names(tmp_path, picture):
    for names in (COCO, CROWDPOSE):
        path = write(
            tmp_path,
            picture,
            [{"image_id": 1, "keypoints": points(len(names))}, {"image_id": 1, "category_id": 2}],
            names,
        )

        (shown,) = coco.read(path, tmp_path / "images")

        (person,) = shown.people
        index = names.index("left_knee")
        assert pixel(person, "left_knee") == [index + 0.5, 10 + index + 0.5]
        assert person.known_2d.sum() == 10 and np.isfinite(pixel(person, "left_hip")).all()
        assert np.isfinite(pixel(person, "neck")).all() == ("neck" in names)
        assert shown.everyone and not shown.metric and shown.path.name == "000000000001.jpg"


@pytest.mark.parametrize(
    "other",
    [
        {"iscrowd": 1, "keypoints": points(17)},
        {"keypoints": points(17, flag=0)},
        {"keypoints": points(3) + points(14, flag=0)},
        {},
    ],
)
def test_who_has_no_joints_is_left_out_and_not_everyone_is_known(tmp_path, picture, other):
    path = write(tmp_path, picture, [{"image_id": 1, "keypoints": points(17)}, {"image_id": 1, **other}])

    (shown,) = coco.read(path, tmp_path / "images")

    assert len(shown.people) == 1 and not shown.everyone


def test_a_point_that_is_labelled_but_hidden_counts(tmp_path, picture):
    (shown,) = coco.read(write(tmp_path, picture, [{"image_id": 2, "keypoints": points(17, flag=1)}]), tmp_path)

    assert shown.people[0].known_2d.sum() == 10


def test_pictures_without_people_come_when_asked_for(tmp_path, picture, capsys):
    path = write(tmp_path, picture, [{"image_id": 1, "keypoints": points(17)}])
    command = ["data", "pack", "coco", str(path), "--images", str(tmp_path / "images"), "--with-empty", "--size", "32"]

    assert main([*command, "--out", str(tmp_path / "shards")]) == 0

    assert "2 pictures of 32 x 32 pixels with 1 people" in capsys.readouterr().out
    assert sorted(np.load(tmp_path / "shards" / "0000000000" / "count.npy").tolist()) == [0, 1]
    assert np.load(tmp_path / "shards" / "0000000000" / "everyone.npy").all()


def test_other_files_are_refused(tmp_path, picture):
    def complaint(path) -> str:
        with pytest.raises(UserError) as raised:
            list(coco.read(path, tmp_path))
        return str(raised.value)

    assert "has 6 numbers of keypoints, expected 3 for each of 17" in complaint(
        write(tmp_path, picture, [{"image_id": 1, "keypoints": points(2)}])
    )
    assert "annotation 0 has keypoints that are no numbers" in complaint(
        write(tmp_path, picture, [{"image_id": 1, "keypoints": ["x"] * 51}])
    )
    path = tmp_path / "a.json"
    path.write_text('{"images": [], "annotations": [], "categories": [{"id": 1}]}')
    assert "no category has keypoints" in complaint(path)
    path.write_text("[]")
    assert "is not a COCO keypoint file" in complaint(path)
    path.write_text("{")
    assert "is not a COCO keypoint file" in complaint(path)
    assert "cannot read" in complaint(tmp_path / "b.json")
