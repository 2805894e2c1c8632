"""`depthhmr evaluate --dataset` on small data sets in their public layouts."""

import importlib.util
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodykit.body import load_body
from bodykit.camera import Intrinsics
from bodykit.letterbox import letterbox
from bodykit.manifest import Manifest
from bodykit.skinning import pose_joints, pose_vertices
from depthhmr_cli.main import main

WIDTH, HEIGHT = 96, 64
_tables = importlib.util.spec_from_file_location("tables", Path(__file__).parents[1] / "depthhmr/data/conftest.py")
_module = importlib.util.module_from_spec(_tables)
_tables.loader.exec_module(_module)
write_table = _module.write_table  # pickles a table as two releases of pandas do; its tests are those of the readers
CAMERA = Intrinsics(90.0, 90.0, 48.0, 32.0)


@pytest.fixture
def actors(model_dir, people_picture) -> np.ndarray:
    return seen_under(CAMERA, model_dir, people_picture)


def seen_under(camera: Intrinsics, model_dir: Path, people_picture) -> np.ndarray:
    """Joints [2, 24, 3] of the two people whom the tiny network sees in a bright picture under that camera."""
    size = Manifest.read(model_dir).input_size
    _, box = letterbox(np.asarray(people_picture(WIDTH, HEIGHT)), size)
    seen = box.intrinsics(camera)
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
        "genders": ["m", "f"], "cam_poses": np.eye(4)[None], "campose_valid": [np.ones(1)] * 2,
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

    outputs = ["--json", str(scores), "--page", str(tmp_path / "page")]
    assert main(["evaluate", "--model-dir", str(model_dir), *threedpw, *regressor, *outputs]) == 0

    report = json.loads(scores.read_text())
    assert (report["dataset"], report["people"], report["found"], report["pelvis"]) == ("3dpw", 2, 2, "h36m")
    assert report["mpjpe"] < 1 and report["mve"] < 1
    assert [(row["name"], row["people"]) for row in report["splits"]["gender"]] == [("female", 1), ("male", 1)]
    printed = capsys.readouterr().out
    assert "by gender" in printed and "by distance" in printed
    assert_page(
        tmp_path / "page", "tiny", "on 3dpw", "by distance: under 3 m", "image_00000.jpg: 0 mm, 0.00 m off; 0 mm"
    )
    assert "PA-MPJPE" in printed and "not SMPL: no figure can be compared with published ones" in printed


def test_relative_human(model_dir, actors, people_jpeg, tmp_path, capsys):
    joints = {14: [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8, 15, 12]}  # CrowdPose's order; the head's joint for its top
    items = []
    for who, layer in ((0, 1), (1, 0)):  # the second is nearer
        points = CAMERA.project(actors[who, joints[14]])
        items.append(
            {"kp2d": np.c_[points, np.ones(14)].ravel().tolist(), "depth_id": layer, "age": 2 * who, "gender": 1}
        )
    np.savez(tmp_path / "test_annots.npz", annots={"123456.jpg": items})
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "123456.jpg").write_bytes(people_jpeg)

    source = ["--dataset", "relative-human", str(tmp_path / "test_annots.npz")]
    outputs = ["--json", str(tmp_path / "scores.json"), "--page", str(tmp_path / "page")]
    status = main(["evaluate", "--model-dir", str(model_dir), *source, *outputs])

    assert status == 0
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["pcdr"] == 1 and report["correct"]["closer"] == [1, 1] and report["found"] == 2
    assert report["pcdr_by_age"] == {"adult": 1, "teen": None, "kid": 1, "baby": None}
    printed = capsys.readouterr().out
    assert "PCDR0.2    100.00 %" in printed and "by age" in printed and "by layers" in printed
    words = (
        "on relative-human",
        "by layers: 1 layer apart",
        "by age: kid",
        "123456.jpg: 1 of 1 pairs in order, 0 missed",
    )
    assert_page(tmp_path / "page", *words)


@pytest.fixture
def agora(tmp_path, model_dir, people_picture, people_jpeg, write_table):
    """One picture of two people in the layout of AGORA, the second a child; their surfaces are those of our body."""
    camera = Intrinsics(28 / 36 * WIDTH, 28 / 36 * WIDTH, WIDTH / 2, HEIGHT / 2)
    joints = seen_under(camera, model_dir, people_picture)
    upright = np.tile(np.eye(3, dtype=np.float32), (2, 24, 1, 1))
    upright[:, 0] = np.diag([1, -1, -1])
    surfaces = pose_vertices(load_body(), np.zeros((2, 10), np.float32), upright, joints[:, 0])[0]
    fit = {
        "root_pose": np.zeros((1, 3)),
        "body_pose": np.zeros((23, 3)),
        "betas": np.zeros(11),
        "translation": np.zeros(3),
    }
    (tmp_path / "0.pkl").write_bytes(pickle.dumps(fit))
    row = {
        "imgPath": "ag_validation_bfh_1.png", "camX": 0.0, "camY": 0.0, "camZ": 0.0, "camYaw": 0.0, "X": [0.0] * 2,
        "Y": [0.0] * 2, "Z": [0.0] * 2, "Yaw": [90.0] * 2, "kid": [False, True], "occlusion": [5.0, 35.0],
        "isValid": [True] * 2, "gender": ["male", "female"], "gt_path_smpl": ["0.obj"] * 2,
        "gt_joints_3d": list(joints.astype(float)), "gt_verts": list(surfaces.astype(float)),
    }  # fmt: skip
    table = write_table(tmp_path / "SMPL" / "validation_0_withjv.pkl", {name: [cell] for name, cell in row.items()})
    Image.open(io.BytesIO(people_jpeg)).save(tmp_path / "ag_validation_bfh_1_1280x720.png")
    return ["--dataset", "agora", str(table), "--images", str(tmp_path), "--fits", str(tmp_path)]


def test_agora(agora, model_dir, tmp_path, capsys):
    outputs = ["--json", str(tmp_path / "scores.json"), "--page", str(tmp_path / "page")]

    assert main(["evaluate", "--model-dir", str(model_dir), *agora, *outputs]) == 0

    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["published"]["f1"] == report["kids"]["f1"] == 1 and report["published"]["mve"] < 1
    splits = {name: {row["name"]: row["people"] for row in rows} for name, rows in report["splits"].items()}
    assert splits["kid"] == {"adult": 1, "child": 1} and splits["gender"] == {"female": 1, "male": 1}
    assert splits["occlusion"]["0 to 10 %"] == splits["occlusion"]["30 to 40 %"] == 1
    assert sum(splits["distance"].values()) == sum(splits["height"].values()) == 2
    printed = capsys.readouterr().out
    assert "children   1, F1 1.00" in printed and "by occlusion" in printed
    assert_page(tmp_path / "page", "on agora", "by occlusion: 30 to 40 %", "by kid", "children")
    with Image.open(tmp_path / "page" / "best-0.jpg") as sheet:
        assert sheet.size == (3 * 450 + 300 + 3 * 8, 300)  # three panels of 96 x 64 pixels, and the floor


def assert_page(folder: Path, *words: str) -> None:
    page = (folder / "index.html").read_text()
    pictures = sorted(folder.glob("*.jpg"))
    assert pictures and all(f'src="{picture.name}"' in page for picture in pictures)
    for word in ("best", "median", "worst", *words):
        assert word in page, word


def test_a_missing_picture_is_told(agora, threedpw, model_dir, tmp_path, capsys):
    (tmp_path / "ag_validation_bfh_1_1280x720.png").unlink()
    (tmp_path / "imageFiles" / "cafe" / "image_00000.jpg").unlink()
    points = np.ones((14, 3)).ravel().tolist()
    annotations = {"123456.jpg": [{"kp2d": points, "depth_id": 0}]}
    np.savez(tmp_path / "test_annots.npz", annots=annotations)
    relative_human = ["--dataset", "relative-human", str(tmp_path / "test_annots.npz")]
    for source, complaint in (
        (agora, "cannot find ag_validation_bfh_1.png or ag_validation_bfh_1_1280x720.png under"),
        ([*threedpw, "--regressor", str(tmp_path / "regressor.npy")], "cannot read the picture"),
        (relative_human, "cannot read the picture"),
    ):
        assert main(["evaluate", "--model-dir", str(model_dir), *source]) == 2
        said = capsys.readouterr().err
        assert complaint in said and said.count("\n") == 1


def test_what_cannot_be_written_is_told_before_anything_is_computed(tmp_path, capsys):
    file = tmp_path / "a"
    file.write_text("a file")
    for outputs, complaint in (
        (["--page", str(file)], f"expected a folder for --page, {file} is a file"),
        (["--page", str(file / "page")], f"cannot write into the folder {file / 'page'} of --page: Not a directory"),
        (["--page", "/proc/page"], "cannot write into the folder /proc/page of --page"),
        (["--json", str(tmp_path)], f"expected a file for --json, {tmp_path} is a folder"),
        (["--json", str(file / "scores.json")], f"expected a folder for --json, {file} is a file"),
    ):
        assert main(["evaluate", "--model-dir", "nowhere", *outputs]) == 2
        said = capsys.readouterr().err
        assert complaint in said and said.count("\n") == 1
    assert file.read_text() == "a file"


def test_a_kid_template_needs_smpl(agora, model_dir, tmp_path, capsys):
    np.save(tmp_path / "kid.npy", np.zeros((9, 3)))

    assert main(["evaluate", "--model-dir", str(model_dir), *agora, "--kid-template", str(tmp_path / "kid.npy")]) == 2

    assert "expected --smpl beside it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--dataset", "mupots", "."], "--dataset knows agora, 3dpw, relative-human, got 'mupots'"),
        (["--dataset", "agora", "nowhere"], "there is no data set at nowhere"),
        (["--dataset", "3dpw", "."], "expected --regressor"),
        (["--dataset", "3dpw", ".", "--regressor", "x"], "expected --images with 3DPW's folder imageFiles"),
        (
            ["--dataset", "3dpw", ".", "--regressor", "x", "--images", ".", "--smpl-male", "x"],
            "need both bodies: expected --smpl-male and --smpl-female",
        ),
        (["--dataset", "agora", ".", "--regressor", "x"], "agora has no --regressor; expected --images --fits"),
        (["--dataset", "relative-human", ".", "--every", "2"], "relative-human has no --every; expected --images"),
        (["--dataset", "agora", "docs"], "expected AGORA's camera tables (.pkl) in docs"),
        (["--dataset", "agora", ".", "--photos", "x"], "--dataset stands alone"),
        (["--dataset", "agora", ".", "--every", "0"], "--every must be at least 1, got 0"),
    ],
)
def test_what_is_no_data_set_is_told_in_one_line(arguments, complaint, model_dir, capsys):
    assert main(["evaluate", "--model-dir", str(model_dir), *arguments]) == 2

    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1
