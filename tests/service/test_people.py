import numpy as np
import pytest

from bodykit.body import load_body
from bodykit.camera import Intrinsics
from bodykit.letterbox import Letterbox
from bodykit.skinning import pose_vertices
from service.errors import EngineBadOutput
from service.people import depth_map, posed_vertices, select_people, statures

BODY = load_body()
CAMERA = Intrinsics.from_fov(200, 100)
BOX = Letterbox(200, 100, 50)


def tensors(scores=(0.9, 0.2, 0.8), distances=(4.0, 1.0, 2.0)) -> dict[str, np.ndarray]:
    count = len(scores)
    rotations = np.tile(np.eye(3, dtype=np.float32), (count, 24, 1, 1))
    rotations[:, 0] = np.diag([1, -1, -1])
    translation = np.zeros((count, 3), np.float32)
    translation[:, 2] = distances
    return {
        "scores": np.array(scores, np.float32),
        "rotations": rotations,
        "betas": np.zeros((count, 10), np.float32),
        "translation": translation,
        "boxes": np.tile(np.array([10, 15, 30, 35], np.float32), (count, 1)),
    }


def select(raw, threshold=0.5, max_people=10):
    return select_people(raw, body=BODY, camera=CAMERA, box=BOX, threshold=threshold, max_people=max_people)


def test_people_are_sorted_near_to_far_and_numbered_so():
    people = select(tensors())

    assert [person.id for person in people] == [0, 1]
    assert [float(person.translation[2]) for person in people] == [2.0, 4.0]


def test_a_score_equal_to_the_threshold_counts():
    assert len(select(tensors(scores=(0.5, 0.25, 0.125)), threshold=0.125)) == 3


def test_the_surest_stay_when_there_are_too_many():
    (person,) = select(tensors(), max_people=1)

    assert person.score == pytest.approx(0.9)


def test_no_people_are_an_empty_tuple():
    assert select(tensors(scores=(0.0, 0.0, 0.0))) == ()


def test_the_pelvis_is_the_translation_and_projects_into_the_picture():
    (person,) = select(tensors(scores=(0.9, 0, 0)))

    np.testing.assert_allclose(person.joints_3d[0], person.translation, atol=1e-6)
    np.testing.assert_allclose(person.joints_2d[0], (CAMERA.cx, CAMERA.cy), atol=1e-3)


def test_boxes_are_in_pixels_of_the_original():
    (person,) = select(tensors(scores=(0.9, 0, 0)))

    np.testing.assert_allclose(person.box, BOX.to_image(np.array([[10.0, 15.0], [30.0, 35.0]])).ravel())


def test_an_upright_person_is_half_a_turn_about_x():
    (person,) = select(tensors(scores=(0.9, 0, 0)))

    assert np.linalg.norm(person.axis_angle[0]) == pytest.approx(np.pi, abs=1e-5)
    np.testing.assert_allclose(person.axis_angle[1:], 0, atol=1e-6)


def test_the_stature_is_that_of_the_posed_body_standing():
    betas = np.random.default_rng(0).normal(0, 1, (3, 10)).astype(np.float32)
    upright = np.tile(np.eye(3, dtype=np.float32), (3, 24, 1, 1))

    vertices, _ = pose_vertices(BODY, betas, upright, np.zeros((3, 3), np.float32))

    np.testing.assert_allclose(statures(BODY, betas), np.ptp(vertices[..., 1], axis=1), atol=1e-4)


def test_a_person_at_arms_length_has_finite_joints_in_the_picture_plane():
    (person,) = select(tensors(scores=(0.9, 0, 0), distances=(0.05, 1, 1)))

    assert np.isfinite(person.joints_2d).all()


@pytest.mark.parametrize("name", ["scores", "rotations", "betas", "translation", "boxes"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_not_finite_is_thrown_away(name, value):
    raw = tensors()
    raw[name].flat[0] = value

    with pytest.raises(EngineBadOutput, match=f"the engine's {name} are not finite"):
        select(raw)


def test_invalid_values_of_unselected_queries_do_no_harm():
    raw = tensors()
    raw["translation"][1] = np.nan

    assert len(select(raw)) == 2


def test_a_person_behind_the_camera_is_a_bad_output():
    with pytest.raises(EngineBadOutput, match="behind the camera"):
        select(tensors(distances=(-1.0, 1.0, 2.0)))


def test_vertices_of_no_people_have_the_right_shape():
    assert posed_vertices(BODY, ()).shape == (0, len(BODY.template), 3)


def test_vertices_belong_to_the_people_in_their_order():
    people = select(tensors())

    vertices = posed_vertices(BODY, people)

    assert vertices[0, :, 2].mean() < vertices[1, :, 2].mean()


def test_the_depth_map_says_which_part_of_the_image_plane_it_covers():
    depth = depth_map(np.zeros((8, 8), np.float32), BOX)

    assert depth.region == pytest.approx((0.0, -48.0, 200.0, 152.0))


def test_a_depth_map_that_is_not_finite_is_thrown_away():
    with pytest.raises(EngineBadOutput, match="depth is not finite"):
        depth_map(np.full((2, 2), np.nan, np.float32), BOX)
