"""Labels of a teacher: what is trusted, what completes the labels of people, and what is exchanged."""

import numpy as np
import pytest

from bodykit.body import JOINT_NAMES
from bodykit.errors import UserError
from depthhmr.data import lsp, teacher
from depthhmr_cli.main import main
from tests.depthhmr.data.test_lsp import write_folder

POINTS = ("nose", *teacher.LIMBS)


def labels_of(path, *, names=("im1.jpg",), people=1, **changes):
    places = np.arange(len(POINTS) * 2, dtype=np.float16).reshape(1, -1, 2) + 1
    arrays = {
        "names": np.array(names),
        "size": np.full((len(names), 2), (40, 30)),
        "point_names": np.array(POINTS),
        "xy": np.repeat(places, people, 0),
        "visibility": np.ones((people, len(POINTS)), np.float16),
        "trust": np.ones(people, bool),
    }
    np.savez(path, **arrays | changes)
    return path


def joint(person, name):
    return person.joints_2d[JOINT_NAMES.index(name)].tolist()


def test_the_teacher_fills_in_what_people_left_out(tmp_path, picture):
    folder = write_folder(tmp_path, picture, hidden=["left_wrist", "left_knee"])
    visibility = np.ones((1, len(POINTS)), np.float16)
    visibility[0, POINTS.index("left_knee")] = 0.5
    path = labels_of(tmp_path / "t.npz", swapped=np.array([False]), visibility=visibility)

    (completed,), (plain,) = teacher.read_lsp_with(folder, path), lsp.read(folder)

    (person,), (before,) = completed.people, plain.people
    wrist = 2 * POINTS.index("left_wrist") + 1
    assert joint(person, "left_wrist") == [wrist, wrist + 1]
    assert np.isnan(joint(person, "left_knee")).all(), "a point that the teacher hardly sees is no label"
    assert joint(person, "right_knee") == joint(before, "right_knee")


def test_a_teacher_that_is_not_trusted_adds_nothing(tmp_path, picture):
    folder = write_folder(tmp_path, picture, hidden=["left_wrist"])
    path = labels_of(tmp_path / "t.npz", swapped=np.array([False]), trust=np.array([False]))

    (completed,) = teacher.read_lsp_with(folder, path)

    assert np.isnan(joint(completed.people[0], "left_wrist")).all()


def test_sides_are_exchanged_where_the_teacher_says_so(tmp_path, picture):
    folder = write_folder(tmp_path, picture)
    path = labels_of(tmp_path / "t.npz", swapped=np.array([True]))

    (exchanged,), (plain,) = teacher.read_lsp_with(folder, path), lsp.read(folder)

    for name, other in (("left_knee", "right_knee"), ("right_wrist", "left_wrist"), ("left_hip", "right_hip")):
        assert joint(exchanged.people[0], name) == joint(plain.people[0], other)


def test_only_trusted_people_and_agreed_joints_become_labels(tmp_path, picture):
    picture(tmp_path / "a.jpg")
    agreed = np.ones((3, 12), bool)
    agreed[0, teacher.LIMBS.index("left_knee")] = False
    path = labels_of(
        tmp_path / "t.npz", names=("a.jpg", "missing.jpg"), people=3, photo=np.array([0, 0, 0]), joint_trust=agreed,
        trust=np.array([True, False, True]), duplicate=np.array([False, False, True]),
    )  # fmt: skip

    (shown,) = teacher.read(path, tmp_path)

    (person,) = shown.people
    assert not shown.everyone, "people without a label are no background"
    assert np.isnan(joint(person, "left_knee")).all() and np.isfinite(joint(person, "right_knee")).all()


def test_points_follow_a_picture_that_was_made_smaller(tmp_path, picture):
    picture(tmp_path / "a.jpg")
    path = labels_of(tmp_path / "t.npz", names=("a.jpg",), photo=np.array([0]))
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, "size": 2 * arrays["size"]})

    (shown,) = teacher.read(path, tmp_path)

    knee = 2 * POINTS.index("right_knee") + 1
    from depthhmr.data.picture import size_of

    scale = np.array(size_of(tmp_path / "a.jpg")) / (80, 60)
    assert np.allclose(joint(shown.people[0], "right_knee"), scale * (knee, knee + 1))


@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "text", "another archive"])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "t.npz"
    if content is None:
        np.savez(path, names=np.array(["a"]))
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"expected teacher labels in"):
        list(teacher.read(path, tmp_path))


def test_labels_without_a_single_picture_are_refused(tmp_path):
    path = labels_of(tmp_path / "t.npz", photo=np.array([0]))
    with pytest.raises(UserError, match="expected pictures of"):
        list(teacher.read(path, tmp_path / "elsewhere"))


def test_the_command_packs_both_kinds(tmp_path, picture, capsys):
    folder = write_folder(tmp_path / "lsp", picture)
    single = labels_of(tmp_path / "single.npz", swapped=np.array([False]))
    several = labels_of(tmp_path / "several.npz", photo=np.array([0]))

    with_teacher = ["lsp", str(folder), "--teacher", str(single)]
    taught = ["taught", str(several), "--images", str(folder / "images")]
    for number, words in enumerate((with_teacher, taught)):
        out = str(tmp_path / f"shards{number}")
        assert main(["data", "pack", *words, "--out", out, "--size", "32"]) == 0
        assert "with 1 people" in capsys.readouterr().out
