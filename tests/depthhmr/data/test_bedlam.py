"""BEDLAM in its public layout, SMPL edition."""

import numpy as np
import pytest

from bodykit.body import load_body
from bodykit.errors import UserError
from bodykit.rotations import axis_angle_to_matrix
from depthhmr.data import bedlam
from depthhmr.data.body_transfer import BodyTransfer, smpl_joints

SCENE = "20221010_3_1000_batch01hand_6fps"
CAMERA = np.array([[100.0, 0, 64], [0, 100, 36], [0, 0, 1]])


def scene(smpl, standing, *, lying=False) -> dict[str, np.ndarray]:
    """Two pictures, of two people and of one."""
    rng = np.random.default_rng(0)
    rows = {name: [] for name in ("imgname", "pose_cam", "shape", "trans_cam", "cam_ext", "cam_int", "gtkps", "gender")}
    camera = CAMERA[[1, 0, 2]][:, [1, 0, 2]] if lying else CAMERA
    for name, who in (("seq_0/seq_0_0000.png", 0), ("seq_0/seq_0_0000.png", 1), ("seq_0/seq_0_0005.png", 2)):
        angles, betas, place = standing(who), rng.normal(size=11), rng.normal(0, 0.3, 3)
        ext = np.eye(4)
        ext[:3, 3] = [0.2 * who, 0.4, 4]
        joints = smpl_joints(smpl, betas[:10], axis_angle_to_matrix(angles), place + ext[:3, 3])
        pixels = joints / joints[:, 2:] @ camera.T
        pixels = np.concatenate([pixels, np.zeros((21, 3))])
        row = (name, angles.ravel(), betas, place, ext, camera, pixels, "neutral")
        for column, value in zip(rows, row, strict=True):
            rows[column].append(value)
    return {name: np.array(values) for name, values in rows.items()}


@pytest.fixture
def data_set(tmp_path, picture, smpl_like, standing):
    for name in ("seq_0/seq_0_0000.png", "seq_0/seq_0_0005.png"):
        picture(tmp_path / SCENE / "png" / name, 128, 72)
    np.savez(tmp_path / f"{SCENE}.npz", **scene(smpl_like, standing))
    return tmp_path


def test_people_of_a_picture_come_together_and_project_onto_their_labels(data_set, smpl_like, standing):
    rows = scene(smpl_like, standing)

    first, second = bedlam.read(data_set, data_set, BodyTransfer(smpl_like), smpl_like)

    assert (len(first.people), len(second.people)) == (2, 1) and first.everyone and first.metric
    assert first.path == data_set / SCENE / "png" / "seq_0" / "seq_0_0000.png"
    people = [*first.people, *second.people]
    assert all(person.pose is not None for person in people)
    assert np.array([person.joints_2d for person in people]) == pytest.approx(rows["gtkps"][:, :24, :2], abs=0.01)
    assert (first.intrinsics.fx, first.intrinsics.cx, first.intrinsics.cy) == (100, 64, 36)


def test_without_an_smpl_file_the_limbs_are_known_in_the_picture_alone(data_set, smpl_like, standing):
    (first,) = bedlam.read(data_set / f"{SCENE}.npz", data_set, BodyTransfer(load_body()), None, every=2)

    assert [person.pose for person in first.people] == [None, None]
    assert first.people[0].known_2d.sum() == 10
    assert first.people[1].joints_2d == pytest.approx(scene(smpl_like, standing)["gtkps"][1, :24, :2])


def test_an_smpl_file_of_another_person_gives_no_pose(data_set, standing):
    (first, _) = bedlam.read(data_set, data_set, BodyTransfer(load_body()), load_body())

    assert [person.pose for person in first.people] == [None, None]


def test_close_up_pictures_are_turned_upright(tmp_path, picture, smpl_like, standing):
    file = picture(tmp_path / "seq_0" / "seq_0_0000.png", 128, 72)
    picture(tmp_path / "seq_0" / "seq_0_0005.png", 128, 72)
    np.savez(tmp_path / f"{SCENE}.npz", **scene(smpl_like, standing, lying=True))

    (first, _) = bedlam.read(tmp_path, tmp_path, BodyTransfer(smpl_like), smpl_like)

    assert first.path == file and first.quarter_turns == 1
    lying, upright = np.rot90(first.pixels(), 1), first.pixels()
    assert upright.shape == (128, 72, 3)
    assert (upright[0, -1] == lying[0, 0]).all()  # clockwise: top left goes to top right


def test_other_files_are_refused(tmp_path, smpl_like, standing):
    rows = scene(smpl_like, standing)
    transfer = BodyTransfer(smpl_like)

    def complaint(**changed) -> str:
        np.savez(tmp_path / f"{SCENE}.npz", **{**rows, **changed})
        with pytest.raises(UserError) as raised:
            list(bedlam.read(tmp_path, tmp_path, transfer, None))
        return str(raised.value)

    assert "which is SMPL-X; expected [N, 72]" in complaint(pose_cam=np.zeros((3, 165)))
    assert "cam_ext has shape [3, 3, 4], expected [3, 4, 4]" in complaint(cam_ext=np.zeros((3, 3, 4)))
    assert "gtkps has shape [3, 17, 3], expected [3, 24 or more, 2 or 3]" in complaint(gtkps=np.zeros((3, 17, 3)))
    assert "expected seq_0/seq_0_0000.png of" in complaint()
    np.savez(tmp_path / f"{SCENE}.npz", imgname=rows["imgname"])
    with pytest.raises(UserError, match="has no pose_cam"):
        list(bedlam.read(tmp_path, tmp_path, transfer, None))
    (tmp_path / f"{SCENE}.npz").unlink()
    with pytest.raises(UserError, match="expected BEDLAM's processed labels"):
        list(bedlam.read(tmp_path, tmp_path, transfer, None))
