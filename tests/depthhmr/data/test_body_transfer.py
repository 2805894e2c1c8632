"""SMPL's people on the body in use."""

from dataclasses import replace

import numpy as np
import pytest

from bodykit.body import JOINT_NAMES, load_body
from bodykit.camera import Intrinsics
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_joints
from depthhmr.data.body_transfer import COMPARED, LIMBS, BodyTransfer, SmplPerson, rms, shortest_turn, smpl_joints
from depthhmr.data.joints import SAME

CAMERA = Intrinsics(500, 500, 320, 240)


def person(body, standing, seed=0, place=(0.3, 0.2, 5.0)) -> SmplPerson:
    rotations = axis_angle_to_matrix(standing(seed))
    betas = np.random.default_rng(seed).normal(size=10)
    joints = smpl_joints(body, betas, rotations, np.array(place))
    return SmplPerson(rotations, betas, joints)


def test_the_same_body_takes_the_parameters_as_they_are(smpl_like, standing):
    smpl = person(smpl_like, standing)

    pose = BodyTransfer(smpl_like).pose(smpl)

    assert (pose.rotations == smpl.rotations).all() and (pose.betas == smpl.betas).all()
    assert pose.joints_3d == pytest.approx(smpl.joints, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_another_body_gets_limbs_of_the_same_direction_in_the_same_place(smpl_like, standing, seed):
    smpl = person(smpl_like, standing, seed)

    pose = BodyTransfer(load_body()).pose(smpl)

    assert rms((pose.joints_3d - smpl.joints)[COMPARED]) < 0.035
    again = pose_joints(load_body(), pose.betas[None], pose.rotations[None], pose.joints_3d[None, 0])[0]
    assert again == pytest.approx(pose.joints_3d, abs=1e-4)
    for joint, end in LIMBS.items():
        ours = pose.joints_3d[end] - pose.joints_3d[joint]
        theirs = smpl.joints[end] - smpl.joints[joint]
        cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
        assert np.degrees(np.arccos(min(cosine, 1))) < 4, JOINT_NAMES[joint]  # betas bend the rest pose a little
    assert np.abs(pose.rotations @ pose.rotations.transpose(0, 2, 1) - np.eye(3)).max() < 1e-5


def test_who_does_not_fit_keeps_the_joints_of_the_limbs_as_pixels(smpl_like, standing):
    smpl = person(smpl_like, standing)
    child = replace(smpl, joints=smpl.joints[0] + 0.5 * (smpl.joints - smpl.joints[0]))

    found = BodyTransfer(load_body()).person(child, CAMERA, visible=0.4)

    assert found.pose is None and found.visible == 0.4
    assert {JOINT_NAMES[i] for i in np.flatnonzero(found.known_2d)} == {
        f"{side}_{name}" for side in ("left", "right") for name in SAME
    }
    assert found.joints_2d == pytest.approx(CAMERA.project(child.joints))


def test_joints_behind_the_camera_have_no_pixels(smpl_like, standing):
    found = BodyTransfer(smpl_like).person(person(smpl_like, standing, place=(0, 0.35, 0.02)), CAMERA)

    behind = found.pose.joints_3d[:, 2] <= 0.05
    assert behind.any() and not behind.all()
    assert np.isnan(found.joints_2d[behind]).all() and (found.known_2d == ~behind).all()


@pytest.mark.parametrize("end", [[0, 1, 0], [0, 0, -2], [0, 0, 3], [0.3, -0.4, 0.1]])
def test_the_shortest_turn_is_a_rotation_onto_the_other_direction(end):
    turn = shortest_turn(np.array([0, 0, 1.0]), np.array(end, float))

    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-12) and np.linalg.det(turn) == pytest.approx(1)
    assert turn @ [0, 0, 1] == pytest.approx(np.array(end) / np.linalg.norm(end), abs=1e-9)
