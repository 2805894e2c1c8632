"""AGORA in its public layout: tables, fits, pictures; people land where its own projection puts them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bodykit.body import load_body
from bodykit.errors import UserError
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_vertices
from depthhmr.data import agora
from depthhmr.data.body_transfer import BodyTransfer, smpl_joints
from depthhmr.data.picture import About
from depthhmr_cli.main import main

WIDTH, HEIGHT = 128, 72
PICTURES = ("ag_trainset_hdri_50mm_00001.png", "ag_trainset_archviz_5_15_cam02_00002.png", "ag_trainset_bfh_00003.png")


def expected(name: str, joints: np.ndarray, yaw: float, place: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Joints of a fit in the camera frame and in pixels, step by step as the evaluation code of AGORA describes them."""
    focal, camera, camera_yaw, pitch, floor = 28, [120.0, -40.0, 30.0], 25.0, 0.0, -1.7
    if "hdri" in name:
        focal, camera, camera_yaw, floor = 50, [0, 0, 170], 0.0, 0.0
    if "cam02" in name:
        focal, camera, camera_yaw, pitch, floor = 18, [-490, 170, 265], -45.0, 30.0, 0.0
    to_y_down = lambda v: np.array([v[1], -v[2], v[0]]) / 100  # noqa: E731
    turn = Rotation.from_euler("y", yaw - 90, degrees=True)
    world = turn.apply(joints * [1, -1, -1]) + to_y_down(place)
    seen = Rotation.from_euler("y", -camera_yaw, degrees=True).apply(world - to_y_down(camera) - [0, floor, 0])
    seen = Rotation.from_euler("x", pitch, degrees=True).apply(seen)
    f = focal / 36 * WIDTH
    return seen, seen[:, :2] / seen[:, 2:] * f + [WIDTH / 2, HEIGHT / 2]


@pytest.fixture
def data_set(tmp_path, picture, smpl_like, standing, write_table):
    """Three pictures of two people each, who stand some metres before their camera."""
    rng = np.random.default_rng(3)
    columns = {name: [] for name in ("imgPath", "camX", "camY", "camZ", "camYaw", "X", "Y", "Z", "Yaw", "kid",
                                     "occlusion", "isValid", "gt_path_smpl", "gt_joints_3d")}  # fmt: skip
    pixels = []
    for number, name in enumerate(PICTURES):
        picture(tmp_path / "train_0" / name.replace(".png", "_1280x720.png"), WIDTH, HEIGHT)
        fits, joints, shown, yaws, places = [], [], [], [], []
        for who in range(2):
            angles = standing(10 * number + who)
            angles[0] = [0, 0, 0.1 * who]  # a fit stands upright, y up
            betas, place = rng.normal(size=10), rng.normal(0, 0.1, 3)
            own = smpl_joints(smpl_like, betas, axis_angle_to_matrix(angles), place)
            fits.append(f"smpl_gt/part/{number}_{who}.obj")
            fit = {"root_pose": angles[None, :1], "body_pose": angles[None, 1:]}
            fit |= {"betas": betas[None], "translation": place[None]}
            if who:
                fit = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in fit.items()}
            path = tmp_path / fits[-1].replace(".obj", ".pkl")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pickle.dumps(fit))
            yaws.append(30.0 * who)
            places.append({0: [500.0, 60.0 * who, 20.0], 1: [-100.0, -220.0, 10.0], 2: [600.0, 160.0, -20.0]}[number])
            seen, pixel = expected(name, own, yaws[-1], places[-1])
            joints.append(np.concatenate([seen, np.zeros((21, 3))]))  # 45 joints, as smplx gives
            shown.append(pixel)
        pixels.append(shown)
        x, y, z = zip(*places, strict=True)
        cells = (name, 120.0, -40.0, 30.0, 25.0, list(x), list(y), list(z), yaws, [False, False], [0.0, 40.0],
                 [True, True], fits, joints)  # fmt: skip
        for column, cell in zip(columns, cells, strict=True):
            columns[column].append(cell)
    write_table(tmp_path / "SMPL" / "train_0_withjv.pkl", columns)
    bare = {name: values for name, values in columns.items() if name != "gt_joints_3d"}
    write_table(tmp_path / "Cam" / "train_0.pkl", bare)
    return tmp_path, pixels


@pytest.mark.parametrize("with_joints", [True, False])
def test_people_are_posed_where_agora_projects_them(data_set, smpl_like, with_joints):
    folder, pixels = data_set
    source, smpl = (folder / "SMPL", None) if with_joints else (folder / "Cam" / "train_0.pkl", smpl_like)

    shown = list(agora.read(source, folder, folder, BodyTransfer(smpl_like), smpl))

    assert [picture.path.name for picture in shown] == [name.replace(".png", "_1280x720.png") for name in PICTURES]
    assert all(picture.everyone and picture.metric for picture in shown)
    for picture, expected_pixels in zip(shown, pixels, strict=True):
        for person, pixel in zip(picture.people, expected_pixels, strict=True):
            assert person.pose is not None and person.known_2d.all()
            assert person.joints_2d == pytest.approx(pixel, abs=0.02)
    assert [person.visible for person in shown[0].people] == [1.0, pytest.approx(0.6)]


def test_the_free_body_takes_their_poses_over(data_set):
    folder, pixels = data_set

    shown = list(agora.read(folder / "SMPL", folder, folder, BodyTransfer(load_body()), None))

    people = [person for picture in shown for person in picture.people]
    assert sum(person.pose is not None for person in people) >= 5
    ankles = np.array([person.joints_2d[[7, 8]] for person in people if person.pose is not None])
    theirs = np.array([p[[7, 8]] for shown in pixels for p in shown])[[p.pose is not None for p in people]]
    assert np.linalg.norm(ankles - theirs, axis=-1).mean() < 1.5


def test_the_command_packs_a_table(data_set, tmp_path, smpl_like, write_body, capsys):
    folder, _ = data_set
    body = write_body(smpl_like, tmp_path / "smpl.npz")
    command = ["data", "pack", "agora", str(folder / "Cam"), "--images", str(folder), "--fits", str(folder), "--smpl",
               str(body), "--body", str(body), "--size", "64", "--out", str(tmp_path / "shards")]  # fmt: skip

    assert main(command) == 0

    assert "3 pictures of 64 x 64 pixels with 6 people, 6 of them in 3D" in capsys.readouterr().out
    assert np.load(tmp_path / "shards" / "0000000000" / "metric.npy").all()


def test_the_command_shapes_children_by_their_template(one_person, smpl_like, tmp_path, write_body, capsys):
    body, template = write_body(smpl_like, tmp_path / "smpl.npz"), tmp_path / "kid.npy"
    np.save(template, 0.6 * smpl_like.template)
    table = one_person(np.zeros(11), kid=[True])
    command = ["data", "pack", "agora", str(table), "--images", str(tmp_path), "--fits", str(tmp_path), "--body", str(body),
               "--size", "64", "--tolerance-mm", "400"]  # fmt: skip

    assert main([*command, "--out", str(tmp_path / "a"), "--smpl", str(body), "--kid-template", str(template)]) == 0
    assert "with 1 people, 1 of them in 3D" in capsys.readouterr().out
    assert main([*command, "--out", str(tmp_path / "b"), "--kid-template", str(template)]) == 2
    assert "--kid-template shapes children of SMPL: expected --smpl beside it" in capsys.readouterr().err


def test_what_is_missing_is_told(data_set, smpl_like, write_table):
    folder, _ = data_set
    transfer = BodyTransfer(smpl_like)
    with pytest.raises(UserError, match="no column gt_joints_3d; expected the tables with joints, or your SMPL"):
        list(agora.read(folder / "Cam", folder, folder, transfer, None))
    with pytest.raises(UserError, match=r"cannot find ag_trainset_hdri_50mm_00001\.png or"):
        list(agora.read(folder / "SMPL", folder / "Cam", folder, transfer, None))
    with pytest.raises(UserError, match=r"cannot read .*0_0\.pkl"):
        list(agora.read(folder / "SMPL", folder, folder / "Cam", transfer, None))
    write_table(folder / "other" / "a.pkl", {"imgPath": ["a.png"], "X": [[1.0]]})
    with pytest.raises(UserError, match="not a camera table of AGORA: it lacks the column Y, Z"):
        list(agora.read(folder / "other", folder, folder, transfer, None))
    with pytest.raises(UserError, match="expected AGORA's camera tables"):
        list(agora.read(folder / "train_0", folder, folder, transfer, None))
    (folder / "smpl_gt" / "part" / "0_0.pkl").write_bytes(pickle.dumps({"betas": np.zeros(10)}))
    with pytest.raises(UserError, match="are not as in AGORA"):
        list(agora.read(folder / "SMPL", folder, folder, transfer, None))


@pytest.fixture
def one_person(tmp_path, picture, standing, write_table):
    """Writes a table of one picture with one person, SMPL's fit of given betas; other columns as given."""

    def write(betas: np.ndarray, **columns) -> Path:
        name = PICTURES[0]
        picture(tmp_path / "images" / name, WIDTH, HEIGHT)
        angles = standing(5)
        angles[0] = 0  # a fit stands upright, y up
        fit = {"root_pose": angles[:1], "body_pose": angles[1:], "betas": betas, "translation": np.zeros(3)}
        (tmp_path / "0.pkl").write_bytes(pickle.dumps(fit))
        row = {"imgPath": name, "camX": 0.0, "camY": 0.0, "camZ": 0.0, "camYaw": 0.0, "X": [500.0], "Y": [0.0],
               "Z": [100.0], "Yaw": [0.0], "occlusion": [25.0], "gt_path_smpl": ["0.obj"], **columns}  # fmt: skip
        return write_table(tmp_path / "one" / "a.pkl", {key: [value] for key, value in row.items()})

    return write


def test_what_the_table_says_of_a_person_is_kept(one_person, smpl_like, tmp_path):
    said = {"kid": [False], "isValid": [False], "gender": ["female"], "age": ["31-50"], "ethnicity": ["asian"]}
    transfer = BodyTransfer(smpl_like)

    [shown] = agora.read(one_person(np.zeros(10), **said), tmp_path, tmp_path, transfer, smpl_like)
    [plain] = agora.read(one_person(np.zeros(10)), tmp_path, tmp_path, transfer, smpl_like)

    assert shown.people[0].about == About(25.0, False, "female", "31-50", "asian", scored=False)
    assert plain.people[0].about == About(25.0) and plain.people[0].about.scored


def test_a_child_is_shaped_by_the_kid_template(one_person, smpl_like, tmp_path):
    table = one_person(np.append(np.zeros(10), 0.4), kid=[True])
    template = 0.6 * (smpl_like.template - smpl_like.template.mean(axis=0)) + 7  # smplx moves its mean to the origin
    transfer = BodyTransfer(smpl_like)

    [shown] = agora.read(table, tmp_path, tmp_path, transfer, smpl_like, kid_template=template, surfaces=True)

    pose = shown.people[0].pose
    adult = smpl_like.template
    mean_shape = adult + 0.4 * (0.6 * (adult - adult.mean(axis=0)) - adult)  # 84 % of the adult, but for a shift
    height = np.ptp(mean_shape[:, 1]) / np.ptp(adult[:, 1])
    assert height == pytest.approx(0.84, abs=0.001)
    upright = pose_vertices(smpl_like, np.zeros((1, 10)), pose.rotations[None], pose.joints_3d[None, 0])[0][0]
    assert np.ptp(pose.vertices[:, 1]) / np.ptp(upright[:, 1]) == pytest.approx(0.84, abs=0.02)
    bone = np.linalg.norm(pose.joints_3d[4] - pose.joints_3d[1])
    rest = np.linalg.norm(smpl_like.joint_template[4] - smpl_like.joint_template[1])
    regressed = smpl_like.joint_regressor.dense(len(adult)) @ mean_shape
    by_hand = smpl_like.joint_template + regressed - smpl_like.joint_regressor.dense(len(adult)) @ adult
    assert bone == pytest.approx(np.linalg.norm(by_hand[4] - by_hand[1]), abs=1e-5) and bone < rest
    assert shown.everyone and shown.people[0].about.kid


def test_a_child_without_joints_is_left_out_of_training_and_an_error_in_an_evaluation(one_person, smpl_like, tmp_path):
    table, transfer = one_person(np.zeros(11), kid=[True]), BodyTransfer(smpl_like)

    [shown] = agora.read(table, tmp_path, tmp_path, transfer, smpl_like)

    assert shown.people == () and not shown.everyone
    with pytest.raises(UserError, match=r"person 0 is a child, .* expected a table with joints, or smpl_kid_template"):
        list(agora.read(table, tmp_path, tmp_path, transfer, smpl_like, surfaces=True))
    short = one_person(np.zeros(10), kid=[True])
    with pytest.raises(UserError, match="person 0 is a child with 10 betas, expected 11"):
        list(agora.read(short, tmp_path, tmp_path, transfer, smpl_like, kid_template=smpl_like.template))
    with pytest.raises(UserError, match=r"expected a kid template of \d+ vertices as smpl-like has, got \[5, 3\]"):
        list(agora.read(table, tmp_path, tmp_path, transfer, smpl_like, kid_template=np.zeros((5, 3))))


def test_true_surfaces_are_kept_for_an_evaluation_alone(one_person, smpl_like, tmp_path):
    joints = np.random.default_rng(0).normal(0, 0.3, (45, 3)) + [0, 0, 5]  # no body has its joints there
    surface = np.full(smpl_like.template.shape, 5.0)
    table = one_person(np.zeros(11), kid=[True], gt_joints_3d=[joints], gt_verts=[surface])

    [scored] = agora.read(table, tmp_path, tmp_path, BodyTransfer(smpl_like), None, surfaces=True)
    [packed] = agora.read(table, tmp_path, tmp_path, BodyTransfer(smpl_like), None)

    assert scored.people[0].pose.vertices == pytest.approx(surface)
    assert scored.people[0].pose.joints_3d == pytest.approx(joints[:24])
    assert packed.people[0].pose is None


@pytest.mark.parametrize(
    ("joints", "got"),
    [
        ([], "got 0"),
        (None, "got 0"),
        (np.zeros((22, 3)), "got 22"),
        (np.full((45, 3), np.nan), "some that are not finite"),
    ],
)
def test_a_person_without_joints_is_told(joints, got, one_person, smpl_like, tmp_path):
    table = one_person(np.zeros(10), gt_joints_3d=[joints])

    with pytest.raises(
        UserError, match=f"hdri.* not as in AGORA: person 0 needs at least 24 points in gt_joints_3d, .*{got}"
    ):
        list(agora.read(table, tmp_path, tmp_path, BodyTransfer(smpl_like), None))
