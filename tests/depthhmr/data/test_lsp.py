"""Photographs with one labelled person each."""

import json

import numpy as np

from bodykit.body import JOINT_NAMES
from depthhmr.data import lsp
from depthhmr_cli.main import main

NAMES = ["right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
         "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top"]  # fmt: skip


def write_folder(folder, picture, *, hidden=()):
    picture(folder / "images" / "im1.jpg")
    joints = [[10.0 + 2 * i, 5.0 + i, int(name not in hidden)] for i, name in enumerate(NAMES)]
    labels = {"joint_names": NAMES, "images": [{"file": "im1.jpg", "joints": joints}]}
    (folder / "joints.json").write_text(json.dumps(labels))
    return folder


def test_joints_of_the_limbs_are_known_and_hips_and_neck_are_only_nearby(tmp_path, picture):
    (shown,) = lsp.read(write_folder(tmp_path, picture, hidden=["left_wrist"]))

    (person,) = shown.people
    known = {JOINT_NAMES[i] for i in np.flatnonzero(person.known_2d)}
    nearby = {JOINT_NAMES[i] for i in np.flatnonzero(np.isfinite(person.joints_2d[:, 0]) & ~person.known_2d)}
    assert known == {name for name in NAMES if name.partition("_")[2] in lsp.SAME} - {"left_wrist"}
    assert nearby == {"left_hip", "right_hip", "neck"}
    assert person.joints_2d[JOINT_NAMES.index("right_knee")].tolist() == [12, 6]
    assert person.visible == 12 / 13
    assert not shown.everyone and not shown.metric and person.pose is None


def test_the_command_packs_a_folder(tmp_path, picture, capsys):
    source = write_folder(tmp_path / "lsp", picture)

    status = main(["data", "pack", "lsp", str(source), "--out", str(tmp_path / "shards"), "--size", "32"])

    assert status == 0
    assert "wrote 1 pictures of 32 x 32 pixels with 1 people into 1 shards" in capsys.readouterr().out
    assert np.load(tmp_path / "shards" / "0000000000" / "rgb.npy").shape == (1, 32, 32, 3)


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main(["data", "pack", "lsp", str(tmp_path), "--out", str(tmp_path / "shards")]) == 2
    assert "cannot read the labels" in capsys.readouterr().err
    assert main(["data", "pack", "lsp", str(tmp_path), "--out", str(tmp_path / "shards"), "--size", "8"]) == 2
    assert "expected --size between 32 and 2048 pixels, got 8" in capsys.readouterr().err
