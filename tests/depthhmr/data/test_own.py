"""Users' own JSON lines: what is read, and how each wrong line is named."""

import json

import numpy as np
import pytest

from bodykit.body import JOINT_NAMES, load_body
from bodykit.errors import UserError
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_joints
from depthhmr.data import own
from depthhmr_cli.main import main

BODY = load_body()
CAMERA = [100.0, 100.0, 40.0, 20.0]
JOINTS = {name: [3.0 * i, 2.0] for i, name in enumerate(JOINT_NAMES[:6])}


def posed_person(standing, seed=0) -> dict:
    angles = standing(seed).round(4)
    betas, place = np.linspace(-1, 1, 10).round(2), np.array([0.1, 0.2, 4.0])
    joints = pose_joints(BODY, betas[None], axis_angle_to_matrix(angles)[None], place[None])[0]
    return {
        "pose": angles.tolist(),
        "betas": betas.tolist(),
        "translation": place.tolist(),
        "joints_3d": joints.round(4).tolist(),
    }


@pytest.fixture
def write(tmp_path, picture):
    picture(tmp_path / "a.png")
    np.savez(tmp_path / "a.npz", depth=np.full((40, 80), 2, np.float16))

    def lines(*items):
        path = tmp_path / "people.jsonl"
        path.write_text("\n".join(item if isinstance(item, str) else json.dumps(item) for item in items))
        return path

    return lines


def test_people_in_2d_and_3d_are_read(write, standing):
    solid = {**posed_person(standing), "visible": 0.5, "layer": 1}
    flat = {"joints_2d": JOINTS}
    listed = {"joints_2d": [[1, 2]] * 4 + [None] * 20}
    path = write(
        {"image": "a.png", "people": [flat, listed]},
        "",
        {"image": "a.png", "intrinsics": CAMERA, "everyone": True, "metric": True, "people": [solid], "maps": "a.npz"},
        {"image": "a.png"},
    )

    loose, full, empty = own.read(path, BODY)

    assert [person.known_2d.sum() for person in loose.people] == [6, 4] and loose.intrinsics is None
    assert loose.people[0].joints_2d[2].tolist() == [6, 2] and not loose.everyone
    (person,) = full.people
    assert person.pose.joints_3d == pytest.approx(np.array(solid["joints_3d"]), abs=1e-3)
    assert person.joints_2d == pytest.approx(full.intrinsics.project(person.pose.joints_3d))
    assert (person.visible, person.layer, full.everyone, full.metric) == (0.5, 1, True, True)
    assert (full.depth() == 2).all() and full.depth().shape == (40, 80)
    assert empty.people == ()


def test_the_command_reads_what_synth_writes(tmp_path, capsys):
    assert main(["synth", "--out", str(tmp_path / "made"), "--count", "3", "--size", "64"]) == 0
    source = tmp_path / "made" / "annotations.jsonl"
    command = ["data", "pack", "own", str(source), "--everyone", "--metric", "--size", "64"]

    assert main([*command, "--out", str(tmp_path / "shards")]) == 0

    shard = tmp_path / "shards" / "0000000000"
    people = [len(json.loads(line)["people"]) for line in source.read_text().splitlines()]
    assert (
        f"3 pictures of 64 x 64 pixels with {sum(people)} people, {sum(people)} of them in 3D"
        in capsys.readouterr().out
    )
    assert np.load(shard / "everyone.npy").all() and np.load(shard / "known_depth.npy").all()
    depth = np.load(shard / "depth.npy")
    written = [np.load(path)["depth"] for path in sorted((tmp_path / "made" / "maps").glob("*.npz"))]
    assert sorted((d > 0).sum() for d in depth) == sorted((d > 0).sum() for d in written)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("{", r"line 2: expected a JSON object \(.*\), got \{"),
        ("[1]", r"line 2: expected an object, got \[1\]"),
        ({"imagee": 1}, "line 2: expected the fields image, .*, got imagee"),
        ({"image": 3}, "line 2, field image: expected the path of a picture, .*, got 3"),
        ({"image": "b.png"}, r"line 2, field image: expected the path of a picture that exists, got .*b\.png"),
        ({"intrinsics": [1, 2, 3]}, r"field intrinsics: expected 4 finite numbers: fx, fy, .*, got \[1, 2, 3\]"),
        ({"intrinsics": [0, 1, 2, 3]}, r"field intrinsics: expected fx, fy, cx, cy \(fx must be .*got \[0, 1, 2, 3\]"),
        ({"everyone": 1}, "field everyone: expected true or false, got 1"),
        ({"people": {}}, r"field people: expected a list, got \{\}"),
        ({"people": [3]}, r"field people\[0\]: expected an object, got 3"),
        ({"people": [{"joint_2d": []}]}, r"field people\[0\]: expected the fields pose, .*, got joint_2d"),
        ({"people": [{}]}, r"field people\[0\]\.joints_2d: expected an object of joints by name, .*, got null"),
        ({"people": [{"joints_2d": {"nose": [1, 2]}}]}, r"expected names of joints \(pelvis, .*, got nose"),
        ({"people": [{"joints_2d": {"head": [1]}}]}, r"people\[0\]\.joints_2d\.head: expected 2 finite numbers: .*\[1\]"),
        ({"people": [{"joints_2d": [["x", 1]] + [None] * 23}]}, r'joints_2d\[0\]: expected 2 finite .*, got \["x", 1\]'),
        ({"people": [{"joints_2d": {"head": [1, 2]}}]}, r"joints_2d: expected at least 4 joints"),
        ({"people": [{"joints_2d": JOINTS, "visible": 2}]}, r"visible: expected a share from 0 to 1, got 2"),
        ({"people": [{"joints_2d": JOINTS, "layer": "near"}]}, r"layer: expected 0 for the nearest .*, got near"),
        ({"people": [{"pose": [[0, 0, 0]] * 24}]}, r"people\[0\]: expected intrinsics beside people in 3D"),
        ({"intrinsics": CAMERA, "people": [{"pose": []}]}, r"expected betas, translation beside the other fields"),
        ({"maps": 5}, "field maps: expected the path of an npz file with `depth`, .*, got 5"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named_with_its_field(write, change, complaint):
    bad = change if isinstance(change, str) else {"image": "a.png", **change}

    with pytest.raises(UserError, match=complaint) as raised:
        list(own.read(write({"image": "a.png"}, bad), BODY))

    assert "people.jsonl, line 2" in str(raised.value)


def test_joints_that_contradict_the_pose_are_told(write, standing):
    person = posed_person(standing)
    person["joints_3d"] = (np.array(person["joints_3d"]) + [0, 0, 0.1]).tolist()

    with pytest.raises(UserError, match="expected the joints that .* has in this pose, got joints 100 mm from them"):
        list(own.read(write({"image": "a.png", "intrinsics": CAMERA, "people": [person]}), BODY))


@pytest.mark.parametrize("depth", [np.zeros(3), np.full((40, 80), np.nan), np.full((40, 80), -1.0)])
def test_a_wrong_depth_map_is_told_when_it_is_read(write, tmp_path, depth):
    np.savez(tmp_path / "a.npz", depth=depth)
    (shown,) = own.read(write({"image": "a.png", "maps": "a.npz"}), BODY)

    with pytest.raises(UserError, match=r"line 1, field maps: expected finite metres \[H, W\]"):
        shown.depth()
