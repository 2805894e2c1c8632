"""The SMPL file, posed again by smplx from its own numbers alone."""

import io
import json

import numpy as np
import pytest

from bodykit.body import JOINTS
from bodykit.meshio import smpl_npz
from bodykit.meshio.even import evenly
from bodykit.meshio.zup import CAMERA_TO_Z_UP
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_vertices


@pytest.fixture
def moved(motion):
    return motion(range(3), seed=2, bend=0.5)


def read(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return dict(file)


def test_it_has_the_keys_and_shapes_of_amass(body, moved):
    file = read(smpl_npz.write(body, evenly(moved, np.arange(5) / 24), moved.betas))

    assert file["poses"].shape == (5, 72) and file["trans"].shape == (5, 3) and file["betas"].shape == (10,)
    assert file["gender"].item() == "neutral"
    assert file["mocap_frame_rate"] == file["mocap_framerate"] == pytest.approx(24)
    assert file["seen"].tolist() == [True, True, True, False, False]
    assert "z up" in file["axes"].item() and "metres" in file["axes"].item()
    assert json.loads(file["body"].item())["sha256"] == body.sha256


def test_smplx_poses_the_same_people_in_a_world_with_z_up(body, moved):
    torch = pytest.importorskip("torch", reason="torch is not installed (extra `smpl`)")
    lbs = pytest.importorskip("smplx.lbs", reason="smplx is not installed (extra `smpl`)").lbs
    file = read(smpl_npz.write(body, evenly(moved, np.arange(3) / 24), moved.betas))
    weights = np.zeros((len(body.template), JOINTS), np.float32)
    np.add.at(weights, (np.arange(len(weights))[:, None], body.weight_index), body.weight_value)

    def tensor(values):
        return torch.as_tensor(np.asarray(values, np.float32))

    vertices, joints = lbs(
        tensor(np.tile(file["betas"], (3, 1))),
        tensor(file["poses"]),
        tensor(body.template[None]),
        tensor(body.shapedirs),
        tensor(body.posedirs.dense(207).transpose(1, 0, 2).reshape(207, -1)),
        tensor(body.joint_regressor.dense(len(body.template))),
        torch.tensor(body.parents),
        tensor(weights),
    )
    world = vertices.numpy() + file["trans"][:, None]

    betas = np.tile(np.float32(moved.betas), (3, 1))
    rotations = np.float32(axis_angle_to_matrix(moved.axis_angle))
    ours, ours_joints = pose_vertices(body, betas, rotations, np.float32(moved.translation))
    assert np.abs(world - ours @ CAMERA_TO_Z_UP.T).max() < 1e-4
    head = joints.numpy()[:, 15] + file["trans"]
    assert np.abs(head - ours_joints[:, 15] @ CAMERA_TO_Z_UP.T).max() < 1e-4
    assert (head[:, 2] > world[:, :, 2].min(axis=1) + 1).all()  # the head is above the feet: z is up
