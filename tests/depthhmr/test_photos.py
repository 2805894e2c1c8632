"""Photographs with one labelled person each: reading the labels, and scoring against them."""

import json

import numpy as np
import pytest
from PIL import Image

from bodykit.body import JOINT_NAMES, load_body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.skinning import pose_joints
from depthhmr.photos import Photo, PhotoAnswer, ask, read_photos, score_photos

BODY = load_body()
NAMES = [*JOINT_NAMES[1:12], "head_top"]  # eleven joints of ours and one that we do not have


def write_folder(folder, joints, *, size=(80, 40), names=NAMES):
    (folder / "images").mkdir()
    Image.new("RGB", size, (90, 120, 150)).save(folder / "images" / "a.jpg")
    (folder / "joints.json").write_text(
        json.dumps({"joint_names": names, "images": [{"file": "a.jpg", "joints": joints}]})
    )
    return folder


def labels(count: int = len(NAMES)) -> list[list[float]]:
    return [[10.0 + i, 20.0 + 2 * i, 1] for i in range(count)]


def test_labels_come_in_our_order_and_unknown_or_hidden_joints_are_left_out(tmp_path):
    joints = labels()
    joints[2][2] = 0  # hidden

    (photo,) = read_photos(write_folder(tmp_path, joints))

    assert photo.joints[1].tolist() == [10, 20] and photo.joints[11].tolist() == [20, 40]
    assert np.isnan(photo.joints[[0, 3, 12]]).all()
    assert photo.pixels().shape == (40, 80, 3)


def test_a_person_with_hardly_any_label_is_left_out(tmp_path):
    assert read_photos(write_folder(tmp_path, [[x, y, int(i < 3)] for i, (x, y, _) in enumerate(labels())])) == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot read the labels"), ("[1, 2]", "does not list"), ("{", "does not list"), ("{}", "joint_names")],
)
def test_a_folder_of_another_form_is_refused(tmp_path, content, complaint):
    if content is not None:
        (tmp_path / "joints.json").write_text(content)

    with pytest.raises(UserError, match=complaint):
        read_photos(tmp_path)


def test_a_person_placed_by_the_network_is_found_where_the_default_camera_sees_her(tmp_path):
    rotations = np.tile(np.eye(3, dtype=np.float32), (1, 24, 1, 1))
    rotations[0, 0] = np.diag([1, -1, -1])
    betas, translation = np.zeros((1, 10), np.float32), np.float32([[0.5, 0, 4]])
    camera = Intrinsics.from_fov(80, 40)
    pixels = camera.project(pose_joints(BODY, betas, rotations, translation))[0]
    folder = write_folder(tmp_path, [[*pixels[1 + i].tolist(), 1] for i in range(11)] + [[0, 0, 0]])

    def predict(images, intrinsics):
        assert images.shape == (1, 32, 32, 3)
        outputs = {"scores": np.float32([0.9]), "rotations": rotations, "betas": betas, "translation": translation}
        return {name: tensor[None] for name, tensor in outputs.items()}

    (answer,) = ask(predict, read_photos(folder), BODY, 32)
    scores = score_photos([answer], 0.5)

    assert answer.joints_2d[0] == pytest.approx(pixels, abs=1e-3)
    assert (scores.recall, scores.people_per_photo) == (1, 1) and set(scores.pck.values()) == {1.0}


def answer_with(offset: float, score: float = 0.9) -> PhotoAnswer:
    """Labels on a line 100 pixels high; the only query lies `offset` pixels beside them."""
    joints = np.stack([np.linspace(0, 40, 24), np.linspace(0, 100, 24)], axis=1)
    return PhotoAnswer(Photo("a.jpg", joints), {"scores": np.array([score])}, joints[None] + np.array([offset, 0]))


def test_joints_count_by_their_distance_as_a_share_of_the_box():
    scores = score_photos([answer_with(7.0)], 0.5)

    assert scores.pck == {"0.05": 0.0, "0.1": 1.0, "0.2": 1.0}
    assert scores.pck_by_joint["left_wrist"] == 1


def test_all_joints_of_a_missed_person_are_wrong():
    scores = score_photos([answer_with(0.0), answer_with(0.0, score=0.2)], 0.5)

    assert scores.recall == 0.5 and scores.people_per_photo == 0.5
    assert scores.pck == {"0.05": 0.5, "0.1": 0.5, "0.2": 0.5}
