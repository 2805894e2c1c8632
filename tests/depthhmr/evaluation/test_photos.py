"""Photographs with one labelled person each: reading the labels, and scoring against them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodykit.body import JOINT_NAMES, load_body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.skinning import pose_joints
from depthhmr.evaluation.people_free import count_false, empty_places, read_people_free
from depthhmr.evaluation.photo_scores import match_photos, score_photos, torso_diameter
from depthhmr.evaluation.photos import UNLABELLED, Photo, PhotoPrediction, predict_photos, read_photos
from depthhmr.synth.scene import Generator

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


def test_a_folder_in_which_nobody_has_enough_labels_is_refused(tmp_path):
    folder = write_folder(tmp_path, [[x, y, int(i < 3)] for i, (x, y, _) in enumerate(labels())])

    with pytest.raises(UserError, match="expected pictures with at least 6 of our joints in .*, got 1"):
        read_photos(folder)


def test_a_file_that_is_no_picture_is_named(tmp_path):
    folder = write_folder(tmp_path, labels())
    (folder / "images" / "a.jpg").write_bytes(b"no picture")

    with pytest.raises(UserError, match=r"cannot read the picture .*a\.jpg"):
        read_photos(folder)[0].pixels()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot read the labels"), ("[1, 2]", "must list"), ("{", "must list"), ("{}", "joint_names")],
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

    (prediction,) = predict_photos(predict, read_photos(folder), BODY, 32)
    scores = score_photos([prediction], 0.5)

    assert prediction.joints_2d[0] == pytest.approx(pixels, abs=1e-3)
    assert (scores.recall, scores.people_per_photo) == (1, 1) and set(scores.pck_box.values()) == {1.0}


def answer_with(offset: float, score: float = 0.9, joints: np.ndarray | None = None) -> PhotoPrediction:
    """Labels on a line 100 pixels high in a photo of 200 x 100; the only query lies `offset` pixels beside them."""
    if joints is None:
        joints = np.stack([np.linspace(0, 40, 24), np.linspace(0, 100, 24)], axis=1)
    shifted = np.nan_to_num(joints) + np.array([offset, 0])
    return PhotoPrediction(Photo(Path("a.jpg"), joints), {"scores": np.array([score])}, shifted[None], (200, 100))


def person(**places: tuple[float, float]) -> np.ndarray:
    """Joints by name, in pixels; all others have no label."""
    joints = UNLABELLED.copy()
    for name, place in places.items():
        joints[JOINT_NAMES.index(name)] = place
    return joints


TORSO = {"left_shoulder": (30, 0), "right_hip": (0, 40), "right_shoulder": (0, 0), "left_hip": (30, 16)}


def test_the_torso_reaches_from_the_left_shoulder_to_the_right_hip():
    assert torso_diameter(person(**TORSO)[None]) == pytest.approx([50])  # a triangle of 3, 4 and 5


def test_the_other_diagonal_stands_in_where_one_end_has_no_label():
    joints = person(**{name: place for name, place in TORSO.items() if name != "right_hip"})

    assert torso_diameter(joints[None]) == pytest.approx([34])  # from (0, 0) to (30, 16)


def test_without_either_diagonal_the_torso_is_unknown_and_the_person_counts_for_recall_alone():
    joints = person(left_shoulder=(30, 0), left_hip=(30, 16), left_knee=(0, 60), left_ankle=(5, 90))
    hidden = answer_with(0.0, score=0.2, joints=joints)

    assert np.isnan(torso_diameter(joints[None])[0])
    scores = score_photos([hidden, answer_with(0.0, joints=person(**TORSO))], 0.5)
    assert scores.recall == 0.5 and scores.with_torso == 1
    assert set(scores.pck.values()) == {1.0}  # of the one whose torso is known
    assert scores.pck_box["0.2"] == 0.5  # four of the eight labelled joints
    alone = score_photos([hidden], 0.5)
    assert np.isnan(alone.pck["0.2"]) and alone.pck_by_joint["left_knee"] is not None


@pytest.mark.parametrize(("offset", "right"), [(2.5, "0.05"), (5.0, "0.1"), (9.99, "0.2"), (10.01, None)])
def test_joints_count_by_their_distance_as_a_share_of_the_torso(offset, right):
    joints = person(**TORSO, head=(10, -60), left_ankle=(10, 90))  # torso of 50: 2.5, 5 and 10 pixels

    scores = score_photos([answer_with(offset, joints=joints)], 0.5)

    assert scores.pck == {share: float(right is not None and float(share) >= float(right)) for share in scores.pck}


def test_a_joint_at_the_very_edge_is_right_and_joints_of_one_person_count_one_by_one():
    joints = person(**TORSO, neck=(15, -10))
    prediction = answer_with(0.0, joints=joints)
    prediction.joints_2d[0, JOINT_NAMES.index("neck")] += (0, 10)  # 0.2 of the torso
    prediction.joints_2d[0, JOINT_NAMES.index("left_hip")] += (0, 10.5)

    scores = score_photos([prediction], 0.5)

    assert scores.pck["0.2"] == pytest.approx(4 / 5) and scores.pck_by_joint["neck"] == 1
    assert scores.pck_by_joint["left_hip"] == 0


def test_swapped_sides_are_wrong_although_the_person_is_found():
    swapped = person(left_shoulder=(0, 0), right_hip=(30, 16), right_shoulder=(30, 0), left_hip=(0, 40))
    prediction = PhotoPrediction(
        Photo(Path("a.jpg"), person(**TORSO)), {"scores": np.array([0.9])}, swapped[None], (50, 50)
    )

    scores = score_photos([prediction], 0.5)

    assert scores.recall == 1 and scores.pck["0.2"] == 0


def test_the_share_of_the_box_has_its_own_name():
    scores = score_photos([answer_with(7.0)], 0.5)

    assert scores.pck_box == {"0.05": 0.0, "0.1": 1.0, "0.2": 1.0}


def test_all_joints_of_a_missed_person_are_wrong():
    scores = score_photos([answer_with(0.0), answer_with(0.0, score=0.2)], 0.5)

    assert scores.recall == 0.5 and scores.people_per_photo == 0.5
    assert set(scores.pck.values()) == {0.5} and set(scores.pck_box.values()) == {0.5}
    assert scores.intervals["recall"][0] <= 0.5 <= scores.intervals["recall"][1]


def test_a_photo_in_which_nobody_is_reported_is_a_miss():
    nothing = PhotoPrediction(
        Photo(Path("a.jpg"), person(**TORSO)), {"scores": np.zeros(0)}, np.zeros((0, 24, 2)), (50, 50)
    )

    scores = score_photos([nothing], 0.5)

    assert (scores.recall, scores.people_per_photo, scores.pck["0.2"]) == (0, 0, 0)


def test_photos_are_split_by_size_and_by_what_is_labelled():
    small = answer_with(0.0, joints=person(**TORSO))  # 40 of 200 pixels, 4 of 24 joints
    large = answer_with(0.0, score=0.1)  # 100 of 200 pixels, all joints

    splits = score_photos([small, large], 0.5).splits

    assert [(row.name, row.photos, row.recall) for row in splits["size"][:2]] == [
        ("under 0.35", 1, 1.0), ("0.35 to 0.65", 1, 0.0),
    ]  # fmt: skip
    assert [row.photos for row in splits["labelled"]] == [1, 0, 1] and np.isnan(splits["labelled"][1].recall)


def test_the_closest_of_several_predictions_is_the_labelled_person():
    joints = person(**TORSO, head=(10, -60))
    near, far = np.nan_to_num(joints), np.nan_to_num(joints) + (12, 0)
    prediction = PhotoPrediction(
        Photo(Path("a.jpg"), joints), {"scores": np.array([0.9, 0.1, 0.6])}, np.stack([far, far, near]), (200, 100)
    )

    matches = match_photos([prediction], 0.5)

    assert matches.query.tolist() == [2] and matches.reported.tolist() == [2]
    assert matches.errors() == pytest.approx([0])


def test_false_people_are_counted_where_nobody_is():
    predictions = [
        PhotoPrediction(Photo(Path("a.jpg"), UNLABELLED), {"scores": np.array(scores)}, np.zeros((2, 24, 2)), (9, 9))
        for scores in ([0.9, 0.5], [0.4, 0.1], [0.2, 0.6])
    ]

    false = count_false(predictions, 0.5)

    assert (false.pictures, false.false, false.pictures_with_false) == (3, 3, 2)
    assert false.per_100 == pytest.approx(100)


def test_the_built_in_places_hold_nobody_and_are_always_the_same():
    generator = Generator(BODY, 32)

    first, again = (empty_places(generator, 2) for _ in range(2))

    assert [place.seed for place in first] == [place.seed for place in again] and first[0].seed >= 40_000_000
    assert np.array_equal(first[1].pixels(), again[1].pixels()) and np.isnan(first[0].joints).all()
    assert all(generator.sample(place.seed).people == 0 for place in first)


def test_people_free_pictures_are_all_those_below_a_folder(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.PNG", "deep/a.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")

    assert [photo.name for photo in read_people_free(tmp_path)] == ["b", "a"]


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected pictures .* found none"):
        read_people_free(tmp_path)
    with pytest.raises(UserError, match="found none"):
        read_people_free(tmp_path / "nowhere")
