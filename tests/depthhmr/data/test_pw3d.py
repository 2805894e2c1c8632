"""3DPW in its public layout."""

import pickle

import numpy as np
import pytest

from bodykit.body import load_body
from bodykit.errors import UserError
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_vertices
from depthhmr.data import pw3d
from depthhmr.data.body_transfer import BodyTransfer, smpl_joints
from depthhmr_cli.main import main

CAMERA = np.array([[120.0, 0, 40], [0, 120, 60], [0, 0, 1]])


@pytest.fixture
def data_set(tmp_path, picture, smpl_like, standing):
    """Two actors over three frames, before a camera that moves; in the second frame one camera pose is not valid."""
    rng = np.random.default_rng(0)
    frames = range(3)
    cameras = np.tile(np.eye(4), (3, 1, 1))
    cameras[:, :3, :3] = axis_angle_to_matrix(rng.normal(0, 0.1, (3, 3)))
    cameras[:, :3, 3] = [0, 0.3, 5]
    poses = [np.stack([standing(10 * actor + frame).ravel() for frame in frames]) for actor in range(2)]
    trans = [rng.normal(0, 0.3, (3, 3)) for _ in range(2)]
    betas = [rng.normal(size=10) for _ in range(2)]
    joints = [
        np.stack(
            [
                smpl_joints(smpl_like, betas[a], axis_angle_to_matrix(poses[a][f].reshape(24, 3)), trans[a][f])
                for f in frames
            ]
        )
        for a in range(2)
    ]
    content = {
        "sequence": "downtown_cafe_00", "betas": [beta[:, None] for beta in betas], "poses": poses, "trans": trans,
        "jointPositions": [joint.reshape(3, 72) for joint in joints], "cam_poses": cameras, "cam_intrinsics": CAMERA,
        "campose_valid": [np.array([1, 1, 1]), np.array([1, 0, 1])], "genders": ["m", "f"], "img_frame_ids": np.arange(3),
    }  # fmt: skip
    path = tmp_path / "sequenceFiles" / "train" / "downtown_cafe_00.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    for frame in frames:
        picture(tmp_path / "imageFiles" / "downtown_cafe_00" / f"image_{frame:05d}.jpg", 80, 120)
    return tmp_path, content, joints


def test_actors_project_where_the_moving_camera_sees_their_joints(data_set, smpl_like):
    folder, content, joints = data_set

    shown = list(pw3d.read(folder / "sequenceFiles", folder / "imageFiles", BodyTransfer(smpl_like)))

    assert [len(picture.people) for picture in shown] == [2, 1, 2]
    assert all(picture.metric and not picture.everyone for picture in shown)
    assert [picture.path.name for picture in shown] == [f"image_{i:05d}.jpg" for i in range(3)]
    camera = content["cam_poses"][2]
    seen = joints[1][2] @ camera[:3, :3].T + camera[:3, 3]
    pixels = seen / seen[:, 2:] @ CAMERA.T
    assert shown[2].people[1].pose is not None
    assert shown[2].people[1].joints_2d == pytest.approx(pixels[:, :2], abs=0.01)


def test_the_command_packs_every_second_frame(data_set, tmp_path, smpl_like, write_body, capsys):
    folder, *_ = data_set
    body = write_body(smpl_like, tmp_path / "smpl.npz")
    command = ["data", "pack", "3dpw", str(folder / "sequenceFiles"), "--images", str(folder / "imageFiles"), "--every",
               "2", "--body", str(body), "--size", "64", "--out", str(tmp_path / "shards")]  # fmt: skip

    assert main(command) == 0

    assert "2 pictures of 64 x 64 pixels with 4 people, 4 of them in 3D" in capsys.readouterr().out


def test_other_files_are_refused(data_set, smpl_like):
    folder, content, _ = data_set
    path, images, transfer = folder / "a.pkl", folder / "imageFiles", BodyTransfer(smpl_like)
    path.write_bytes(pickle.dumps({name: value for name, value in content.items() if name != "jointPositions"}))
    with pytest.raises(UserError, match="is not a sequence of 3DPW: it lacks jointPositions"):
        list(pw3d.read(path, images, transfer))
    path.write_bytes(pickle.dumps({**content, "poses": [np.zeros((3, 66))] * 2}))
    with pytest.raises(UserError, match="is not a sequence of 3DPW"):
        list(pw3d.read(path, images, transfer))
    with pytest.raises(UserError, match="expected 3DPW's sequenceFiles"):
        list(pw3d.read(images, images, transfer))


def test_the_body_of_the_actors_gender_gives_the_true_surface(data_set, smpl_like):
    folder, content, joints = data_set
    source, images, transfer = folder / "sequenceFiles", folder / "imageFiles", BodyTransfer(smpl_like)

    first, *_ = pw3d.read(source, images, transfer, bodies={"male": smpl_like, "female": smpl_like})
    plain, *_ = pw3d.read(source, images, transfer)

    assert [person.about.gender for person in first.people] == ["male", "female"]
    assert first.people[0].pose.vertices.shape == smpl_like.template.shape
    assert plain.people[0].pose.vertices is None
    camera = content["cam_poses"][0]
    seen = joints[0][0] @ camera[:3, :3].T + camera[:3, 3]
    pose = first.people[0].pose
    assert pose.joints_3d == pytest.approx(seen)
    betas = content["betas"][0].reshape(1, 10)
    assert pose.vertices == pytest.approx(
        pose_vertices(smpl_like, betas, pose.rotations[None], seen[:1])[0][0], abs=1e-5
    )


def test_a_body_of_another_gender_and_joints_that_are_not_finite_are_told(data_set, smpl_like):
    folder, content, _ = data_set
    images, transfer, other = folder / "imageFiles", BodyTransfer(smpl_like), load_body()
    with pytest.raises(
        UserError, match=r"the body of actor 0 \(.*\) has its joints \d+ mm off jointPositions, expected 10"
    ):
        list(pw3d.read(folder / "sequenceFiles", images, transfer, bodies={"male": other, "female": other}))
    path = folder / "a.pkl"
    lost = np.full((3, 72), np.nan)
    path.write_bytes(pickle.dumps({**content, "jointPositions": [content["jointPositions"][0], lost]}))
    with pytest.raises(UserError, match="sequence of 3DPW: actor 1 has joints in frame 0 that are not finite"):
        list(pw3d.read(path, images, transfer))
