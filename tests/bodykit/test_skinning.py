"""Skinning: simple facts first, then the same numbers as smplx."""

import io

import numpy as np
import pytest

from bodykit.body import JOINT_NAMES, JOINTS, PARENTS, POSE_FEATURES, load_body
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_joints, pose_vertices

BODY = load_body()


def standing(people: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rotations = np.tile(np.eye(3, dtype=np.float32), (people, JOINTS, 1, 1))
    return np.zeros((people, 10), np.float32), rotations, np.zeros((people, 3), np.float32)


def random_people(people: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    betas = rng.normal(size=(people, 10)).astype(np.float32)
    pose = rng.normal(0, 0.4, (people, JOINTS, 3)).astype(np.float32)
    translation = rng.normal(0, 2, (people, 3)).astype(np.float32)
    return betas, axis_angle_to_matrix(pose), translation


def test_without_rotations_the_template_stands_on_its_pelvis() -> None:
    vertices, joints = pose_vertices(BODY, *standing(1))

    np.testing.assert_allclose(vertices[0], BODY.template - BODY.joint_template[0], atol=1e-6)
    np.testing.assert_allclose(joints[0], BODY.joint_template - BODY.joint_template[0], atol=1e-6)


def test_the_pelvis_lands_exactly_on_the_translation() -> None:
    betas, rotations, translation = random_people(4)

    _, joints = pose_vertices(BODY, betas, rotations, translation)

    np.testing.assert_array_equal(joints[:, 0], translation)


def test_joints_without_a_mesh_are_the_joints_with_one() -> None:
    people = random_people(5)

    np.testing.assert_array_equal(pose_joints(BODY, *people), pose_vertices(BODY, *people)[1])


def test_each_person_is_posed_on_their_own() -> None:
    betas, rotations, translation = random_people(3)

    together, _ = pose_vertices(BODY, betas, rotations, translation)
    alone, _ = pose_vertices(BODY, betas[1:2], rotations[1:2], translation[1:2])

    np.testing.assert_allclose(alone[0], together[1], atol=2e-6)


def test_nobody_gives_nothing() -> None:
    vertices, joints = pose_vertices(BODY, *standing(0))

    assert vertices.shape == (0, len(BODY.template), 3)
    assert joints.shape == (0, JOINTS, 3)


def test_turning_the_whole_body_turns_every_vertex() -> None:
    betas, rotations, translation = random_people(1)
    translation[:] = 0
    turn = axis_angle_to_matrix(np.float32([0.3, -2.0, 0.5]))
    turned = rotations.copy()
    turned[:, 0] = turn @ rotations[:, 0]

    before, _ = pose_vertices(BODY, betas, rotations, translation)
    after, _ = pose_vertices(BODY, betas, turned, translation)

    np.testing.assert_allclose(after, before @ turn.T, atol=3e-6)


def test_bones_keep_their_length() -> None:
    betas, rotations, translation = random_people(6)
    _, straight, _ = standing(6)

    posed = pose_joints(BODY, betas, rotations, translation)
    rest = pose_joints(BODY, betas, straight, translation)

    parents = list(PARENTS[1:])
    lengths = [np.linalg.norm(joints[:, 1:] - joints[:, parents], axis=-1) for joints in (posed, rest)]
    np.testing.assert_allclose(*lengths, atol=2e-6)


def test_bending_an_elbow_moves_the_hand_and_spares_the_legs() -> None:
    betas, rotations, translation = standing(1)
    still, _ = pose_vertices(BODY, betas, rotations, translation)
    rotations[0, JOINT_NAMES.index("left_elbow")] = axis_angle_to_matrix(np.float32([0, -np.pi / 2, 0]))

    bent, joints = pose_vertices(BODY, betas, rotations, translation)

    wrist, elbow = (joints[0, JOINT_NAMES.index(f"left_{part}")] for part in ("wrist", "elbow"))
    assert (wrist - elbow)[2] > 0.2, "the forearm points forward"
    legs = BODY.template[:, 1] < -0.1
    np.testing.assert_allclose(bent[0, legs], still[0, legs], atol=1e-7)


def test_wrong_shapes_are_named() -> None:
    betas, rotations, translation = standing(2)

    with pytest.raises(ValueError, match=r"rotations must have shape \[2, 24, 3, 3\], got \[2, 23, 3, 3\]"):
        pose_joints(BODY, betas, rotations[:, 1:], translation)
    with pytest.raises(ValueError, match=r"betas must have shape \[2, 10\], got \[2, 16\]"):
        pose_vertices(BODY, np.zeros((2, 16), np.float32), rotations, translation)


@pytest.mark.filterwarnings("ignore")
def test_smplx_poses_our_body_alike_to_a_tenth_of_a_millimetre() -> None:
    torch = pytest.importorskip("torch", reason="the reference needs torch")
    smplx = pytest.importorskip(
        "smplx", reason="the reference, smplx (extra smpl, non-commercial licence), is not there"
    )
    from smplx.utils import Struct

    betas, rotations, translation = random_people(3)
    weights = np.zeros((len(BODY.template), JOINTS), np.float32)
    np.put_along_axis(weights, BODY.weight_index, BODY.weight_value, axis=1)
    model = Struct(
        v_template=BODY.template,
        shapedirs=BODY.shapedirs,
        posedirs=np.swapaxes(BODY.posedirs.dense(POSE_FEATURES), 1, 2),
        J_regressor=BODY.joint_regressor.dense(len(BODY.template)),
        weights=weights,
        kintree_table=np.array([[2**32 - 1, *PARENTS[1:]], range(JOINTS)], np.uint32),
        f=BODY.faces.astype(np.uint32),
    )
    layer = smplx.SMPLLayer(io.BytesIO(), data_struct=model, vertex_ids=dict(BODY.vertex_ids))
    reference = layer(
        betas=torch.from_numpy(betas),
        global_orient=torch.from_numpy(rotations[:, :1]),
        body_pose=torch.from_numpy(rotations[:, 1:]),
    )
    shift = torch.from_numpy(translation)[:, None] - reference.joints[:, :1]

    vertices, joints = pose_vertices(BODY, betas, rotations, translation)

    np.testing.assert_allclose(vertices, (reference.vertices + shift).detach().numpy(), atol=1e-4)
    np.testing.assert_allclose(joints, (reference.joints[:, :JOINTS] + shift).detach().numpy(), atol=1e-4)
