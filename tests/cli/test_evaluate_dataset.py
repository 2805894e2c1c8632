"""`depthhmr evaluate --dataset` on small data sets in their public layouts."""

import json
import pickle

import numpy as np
import pytest

from bodykit.body import load_body
from bodykit.camera import Intrinsics
from bodykit.letterbox import letterbox
from bodykit.manifest import Manifest
from bodykit.skinning import pose_joints
from depthhmr_cli.main import main

WIDTH, HEIGHT = 96, 64
CAMERA = Intrinsics(90.0, 90.0, 48.0, 32.0)


@pytest.fixture
def actors(model_dir, people_picture) -> np.ndarray:
    """Joints [2, 24, 3] of the two people whom the tiny network sees in a bright picture under that camera."""
    size = Manifest.read(model_dir).input_size
    _, box = letterbox(np.asarray(people_picture(WIDTH, HEIGHT)), size)
    seen = box.intrinsics(CAMERA)
    body = load_body()
    rotations = np.tile(np.eye(3, dtype=np.float32), (2, 24, 1, 1))
    rotations[:, 0] = np.diag([1, -1, -1])
    places = [
        [(u - seen.cx) / seen.fx * z, (size / 4 - seen.cy) / seen.fy * z, z]
        for u, z in ((size / 4, 3.0), (3 * size / 4, 2.0))
    ]
    return pose_joints(body, np.zeros((2, 10), np.float32), rotations, np.float32(places))


@pytest.fixture
def threedpw(tmp_path, actors, people_jpeg):
    """One frame of two actors, upright, in the layout of 3DPW; and a regressor for our body."""
    pose = np.zeros((1, 72))
    pose[0, 0] = np.pi  # upright: y down
    content = {
        "sequence": "cafe", "poses": [pose, pose], "betas": [np.zeros(10)] * 2,
        "jointPositions": [joints.reshape(1, 72) for joints in actors.astype(float)],
        "cam_poses": np.eye(4)[None], "campose_valid": [np.ones(1)] * 2,
        "cam_intrinsics": np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]]),
    }  # fmt: skip
    (tmp_path / "cafe.pkl").write_bytes(pickle.dumps(content, protocol=2))
    (tmp_path / "imageFiles" / "cafe").mkdir(parents=True)
    (tmp_path / "imageFiles" / "cafe" / "image_00000.jpg").write_bytes(people_jpeg)
    regressor = np.random.default_rng(0).dirichlet(np.ones(len(load_body().template)), 17)
    np.save(tmp_path / "regressor.npy", regressor)
    return ["--dataset", "3dpw", str(tmp_path / "cafe.pkl"), "--images", str(tmp_path / "imageFiles")]


def test_3dpw(threedpw, model_dir, tmp_path, capsys):
    scores = tmp_path / "scores.json"
    regressor = ["--regressor", str(tmp_path / "regressor.npy")]

    assert main(["evaluate", "--model-dir", str(model_dir), *threedpw, *regressor, "--json", str(scores)]) == 0

    report = json.loads(scores.read_text())
    assert (report["dataset"], report["people"], report["found"], report["pelvis"]) == ("3dpw", 2, 2, "h36m")
    assert report["mpjpe"] < 1 and report["mve"] < 1
    printed = capsys.readouterr().out
    assert "PA-MPJPE" in printed and "not SMPL: no figure may stand beside published ones" in printed


def test_relative_human(model_dir, actors, people_jpeg, tmp_path, capsys):
    joints = {14: [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8, 15, 12]}  # CrowdPose's order; the head's joint for its top
    items = []
    for who, layer in ((0, 1), (1, 0)):  # the second is nearer
        points = CAMERA.project(actors[who, joints[14]])
        items.append({"kp2d": np.c_[points, np.ones(14)].ravel().tolist(), "depth_id": layer, "age": 0})
    np.savez(tmp_path / "test_annots.npz", annots={"123456.jpg": items})
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "123456.jpg").write_bytes(people_jpeg)

    source = ["--dataset", "relative-human", str(tmp_path / "test_annots.npz")]
    status = main(["evaluate", "--model-dir", str(model_dir), *source, "--json", str(tmp_path / "scores.json")])

    assert status == 0
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["pcdr"] == 1 and report["correct"]["closer"] == [1, 1] and report["found"] == 2
    assert "PCDR0.2    100.00 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--dataset", "mupots", "."], "--dataset knows agora, 3dpw, relative-human, got 'mupots'"),
        (["--dataset", "agora", "nowhere"], "there is no data set at nowhere"),
        (["--dataset", "3dpw", "."], "expected --regressor"),
        (["--dataset", "agora", "docs"], "there is no .pkl in docs"),
        (["--dataset", "agora", ".", "--page", "x"], "--dataset stands alone"),
        (["--dataset", "agora", ".", "--every", "0"], "--every must be at least 1, got 0"),
    ],
)
def test_what_is_no_data_set_is_told_in_one_line(arguments, complaint, model_dir, capsys):
    assert main(["evaluate", "--model-dir", str(model_dir), *arguments]) == 2

    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1
