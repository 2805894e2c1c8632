"""Photographs with one labelled person each."""

import json

import numpy as np
import pytest
from scipy.io import savemat

from bodykit.body import JOINT_NAMES
from bodykit.errors import UserError
from depthhmr.data import lsp
from depthhmr.data.joints import SAME
from depthhmr_cli.main import main


def write_folder(folder, picture, *, hidden=()):
    picture(folder / "images" / "im1.jpg")
    joints = [[10.0 + 2 * i, 5.0 + i, int(name not in hidden)] for i, name in enumerate(lsp.NAMES)]
    labels = {"joint_names": list(lsp.NAMES), "images": [{"file": "im1.jpg", "joints": joints}]}
    (folder / "joints.json").write_text(json.dumps(labels))
    return folder


def test_joints_of_the_limbs_are_known_and_hips_and_neck_are_only_nearby(tmp_path, picture):
    (shown,) = lsp.read(write_folder(tmp_path, picture, hidden=["left_wrist"]))

    (person,) = shown.people
    known = {JOINT_NAMES[i] for i in np.flatnonzero(person.known_2d)}
    nearby = {JOINT_NAMES[i] for i in np.flatnonzero(np.isfinite(person.joints_2d[:, 0]) & ~person.known_2d)}
    assert known == {name for name in lsp.NAMES if name.partition("_")[2] in SAME} - {"left_wrist"}
    assert nearby == {"left_hip", "right_hip", "neck"}
    assert person.joints_2d[JOINT_NAMES.index("right_knee")].tolist() == [12, 6]
    assert person.visible == 12 / 13
    assert not shown.everyone and not shown.metric and person.pose is None


def test_the_command_packs_a_folder(tmp_path, picture, capsys):
    source = write_folder(tmp_path / "lsp", picture)

    status = main(["data", "pack", "lsp", str(source), "--out", str(tmp_path / "shards"), "--size", "32"])

    assert status == 0
    assert "wrote 1 pictures of 32 x 32 pixels with 1 people, 0 of them in 3D, into 1 shards" in capsys.readouterr().out
    assert np.load(tmp_path / "shards" / "0000000000" / "rgb.npy").shape == (1, 32, 32, 3)


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main(["data", "pack", "lsp", str(tmp_path), "--out", str(tmp_path / "shards")]) == 2
    assert "cannot read the labels" in capsys.readouterr().err
    (tmp_path / "shards").rmdir()
    assert main(["data", "pack", "lsp", str(tmp_path), "--out", str(tmp_path / "shards"), "--size", "8"]) == 2
    assert "expected --size between 32 and 2048 pixels, got 8" in capsys.readouterr().err


def write_mat(folder, picture, joints):
    for number in range(1, 3):
        picture(folder / "images" / f"im{number:0{4 if joints.shape[0] == 3 else 5}d}.jpg")
    savemat(folder / "joints.mat", {"joints": joints})
    return folder


def test_the_published_matrix_of_lsp_is_read_with_every_joint(tmp_path, picture):
    joints = np.arange(3 * 14 * 2, dtype=float).reshape(3, 14, 2)
    joints[2] = [[0, 1]] * 14  # of no meaning for whether there is a label

    first, second = lsp.read(write_mat(tmp_path, picture, joints))

    assert (first.path.name, second.path.name) == ("im0001.jpg", "im0002.jpg")
    assert first.people[0].known_2d.sum() == second.people[0].known_2d.sum() == 10
    assert second.people[0].joints_2d[JOINT_NAMES.index("right_knee")].tolist() == [3 - 0.5, 31 - 0.5]


def test_the_published_matrix_of_the_extended_set_has_flags(tmp_path, picture):
    joints = np.ones((14, 3, 2))
    joints[3:, 2, 0] = 0  # too few labels in the first

    (shown,) = lsp.read(write_mat(tmp_path, picture, joints))

    assert shown.path.name == "im00002.jpg" and shown.pixels().shape == (40, 80, 3)


def test_a_matrix_of_another_form_is_refused(tmp_path, picture):
    with pytest.raises(UserError, match=r"shape \[2, 14, 2\], expected"):
        list(lsp.read(write_mat(tmp_path, picture, np.ones((2, 14, 2)))))
    (tmp_path / "joints.mat").write_bytes(b"no matrix")
    with pytest.raises(UserError, match="not a MATLAB file"):
        list(lsp.read(tmp_path))


@pytest.mark.parametrize(
    ("name", "flag", "complaint"),
    [
        ("nobody", ["--every", "2"], "nobody has no --every; expected none of the options of single formats"),
        ("coco", ["--smpl", "a.npz"], "coco has no --smpl; expected --images --with-empty"),
        ("own", ["--with-empty"], "own has no --with-empty; expected --body --everyone --metric"),
    ],
)
def test_an_option_of_another_format_is_refused(tmp_path, capsys, name, flag, complaint):
    assert main(["data", "pack", name, str(tmp_path), *flag, "--out", str(tmp_path / "shards")]) == 2
    assert complaint in capsys.readouterr().err
