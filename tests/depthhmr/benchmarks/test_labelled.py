"""Pictures of the readers against a network that knows the truth about them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodykit.body import JOINT_NAMES, load_body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.skinning import pose_joints, pose_vertices
from depthhmr.benchmarks.agora import agora_figures, measure_agora
from depthhmr.benchmarks.labelled import (
    LAYER_JOINTS,
    agora_pictures,
    layer_pictures,
    predicted,
    read_points,
    read_regressor,
    read_vertices,
    threedpw_pictures,
    trimmed,
    true_people,
)
from depthhmr.benchmarks.relative_human import layer_figures, measure_layers
from depthhmr.benchmarks.threedpw import measure_3dpw, threedpw_figures
from depthhmr.data.picture import About, Person, Picture, Pose
from depthhmr.evaluation.photos import predict_photos

BODY = load_body()
SIDE, QUERIES = 64, 4
CAMERA = Intrinsics(100.0, 100.0, 60.0, 40.0)  # of pictures of 120 x 80


def person(x: float, z: float, *, layer: int = -1, known: bool = True, **facts) -> Person:
    """Somebody upright who looks into the camera, pelvis at (x, 0, z)."""
    rotations = np.tile(np.eye(3, dtype=np.float32), (24, 1, 1))
    rotations[0] = np.diag([1, -1, -1])
    joints = pose_joints(BODY, np.zeros((1, 10), np.float32), rotations[None], np.float32([[x, 0, z]]))[0]
    pose = Pose(rotations, np.zeros(10), joints) if known else None
    about = About(**{"occlusion": 0.0, **facts})
    return Person(CAMERA.project(joints), np.ones(24, bool), pose, layer=layer, about=about)


@pytest.fixture
def show(tmp_path):
    """Makes pictures of people, and a network that says what is in them, query by query, far people first."""

    def make(*groups: tuple[Person, ...]):
        pictures = []
        for number, people in enumerate(groups):
            path = tmp_path / f"{number}.png"
            Image.new("RGB", (120, 80), (number, 0, 0)).save(path)
            pictures.append(Picture(path, people, CAMERA))

        def predict(images: np.ndarray, intrinsics: np.ndarray) -> dict[str, np.ndarray]:
            rows = []
            for image in images:
                people = groups[int(image[SIDE // 2, SIDE // 2, 0])]
                row = {
                    "scores": np.where(np.arange(QUERIES) < len(people), 0.9, 0.1),
                    "rotations": np.tile(np.eye(3, dtype=np.float32), (QUERIES, 24, 1, 1)),
                    "betas": np.zeros((QUERIES, 10), np.float32),
                    "translation": np.tile(np.float32([0, 0, 5]), (QUERIES, 1)),
                }
                row["rotations"][:, 0] = np.diag([1, -1, -1])
                for query, seen in enumerate(reversed(people)):
                    pixel = seen.joints_2d[0]
                    z = 3.0 if seen.pose is None else seen.pose.joints_3d[0, 2]
                    row["translation"][query] = (pixel[0] - 60) / 100 * z, (pixel[1] - 40) / 100 * z, z
                rows.append(row)
            return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

        return predicted(pictures, lambda group: predict_photos(predict, group, BODY, SIDE), batch=2)

    return make


def test_the_truth_scores_perfectly_on_agora(show):
    predictions = show((person(-0.6, 3), person(0.6, 4)), (person(0, 3),), ())

    scores = agora_figures(measure_agora(agora_pictures(predictions, BODY, 0.5)))

    assert scores.published.f1 == 1 and scores.counts["people"] == 3 and scores.counts["images"] == 3
    assert (scores.exact.mpjpe, scores.exact.mve) == pytest.approx((0, 0), abs=0.01)


@pytest.mark.parametrize(("occlusion", "found"), [(90.0, 1), (90.5, 0)])
def test_people_are_found_up_to_an_occlusion_of_90_percent(show, occlusion, found):
    scores = agora_figures(measure_agora(agora_pictures(show((person(0, 3, occlusion=occlusion),)), BODY, 0.5)))

    assert (scores.counts["people"], scores.counts["found"]) == (1, found)


def test_the_truth_scores_perfectly_on_3dpw(show):
    regressor = np.random.default_rng(0).dirichlet(np.ones(len(BODY.template)), 17)

    scores = threedpw_figures(
        measure_3dpw(threedpw_pictures(show((person(-0.6, 3), person(0.6, 4))), BODY, 0.5), regressor), "h36m"
    )

    assert scores.recall == 1 and (scores.mpjpe, scores.mve) == pytest.approx((0, 0), abs=0.01)


def test_the_true_surface_is_the_one_that_the_data_set_gives(show):
    child = person(0, 3, kid=True, gender="female")
    surface = pose_vertices(BODY, np.zeros((1, 10)), child.pose.rotations[None], child.pose.joints_3d[None, 0])[0][0]
    child = replace(child, pose=replace(child.pose, vertices=surface + [0, 0.05, 0]))

    scores = agora_figures(measure_agora(agora_pictures(show((child, person(1, 3, kid=False))), BODY, 0.5)))

    assert scores.kids.mve == pytest.approx(50, abs=0.1) and scores.kids.mpjpe == pytest.approx(0, abs=0.1)
    assert scores.exact.mve == pytest.approx(25, abs=0.1)
    assert [row.name for row in scores.splits["kid"]] == ["adult", "child"]


def test_distance_and_height_of_true_people(show):
    regressor = np.random.default_rng(0).dirichlet(np.ones(len(BODY.template)), 17)
    pictures = show((person(-0.6, 2.5, gender="male"), person(0.6, 6, gender="female")))

    splits = threedpw_figures(measure_3dpw(threedpw_pictures(pictures, BODY, 0.5), regressor), "h36m").splits

    # 1.7 m at 2.5 m under f = 100 pixels: 68 of 120; at 6 m: 28 of 120
    assert [(row.name, row.people) for row in splits["height"] if row.people] == [("under 0.4", 1), ("0.4 to 0.7", 1)]
    assert [row.name for row in splits["distance"] if row.people] == ["under 3 m", "5 to 8 m"]
    assert [row.name for row in splits["gender"]] == ["female", "male"] and "occlusion" in splits


def test_ages_and_genders_reach_the_scores_of_layers(show):
    predictions = show((person(-0.6, 3, layer=0, age="kid", gender="male"), person(0.6, 4, layer=1, age="adult")))

    scores = layer_figures(measure_layers(layer_pictures(predictions, 0.5)))

    assert scores.pcdr_by_age["kid"] == scores.pcdr_by_age["adult"] == 1 and scores.pcdr_by_age["teen"] is None
    assert scores.splits["gender"][0].people == 1


def test_an_answer_kept_for_later_has_its_people_alone(show):
    [(_, prediction)] = show((person(0, 3),))

    kept = trimmed(prediction, 0.5)

    assert len(kept.joints_2d) == len(kept.outputs["betas"]) == 1 and kept.people(0.5).tolist() == [0]


def test_layers_of_depth_are_judged_by_thirteen_joints(show):
    hidden = person(0.6, 4, layer=1)
    hidden.joints_2d[LAYER_JOINTS[:4]] = np.nan

    scores = layer_figures(measure_layers(layer_pictures(show((person(-0.6, 3, layer=0), hidden)), 0.5)))

    assert (scores.pcdr, scores.found, scores.people) == (1, 2, 2) and scores.mpckh == 1
    assert len(LAYER_JOINTS) == 13 and all(share is None for share in scores.pcdr_by_age.values())
    assert JOINT_NAMES[LAYER_JOINTS[0]] == "left_shoulder" and JOINT_NAMES[LAYER_JOINTS[-1]] == "neck"


def test_people_without_a_pose_can_be_found_and_have_no_error(show):
    scores = agora_figures(
        measure_agora(agora_pictures(show((person(-0.6, 3), person(0.6, 3, known=False, kid=True))), BODY, 0.5))
    )

    assert (scores.published.f1, scores.counts["without_error"]) == (1, 1)
    assert scores.exact.mpjpe == pytest.approx(0, abs=0.01) and np.isnan(scores.kids.mpjpe)


def test_people_without_pose_and_pixels_are_no_true_people():
    behind = Person(np.full((24, 2), np.nan), np.zeros(24, bool))
    picture = Picture(Path("a.png"), (person(0, 3), behind), CAMERA)

    people, labels = true_people(picture, BODY, (120, 80))

    assert len(people) == len(labels) == 1


def test_people_in_3d_without_a_camera_are_refused():
    with pytest.raises(UserError, match=r"a\.png has no camera"):
        true_people(Picture(Path("a.png"), (person(0, 3),)), BODY, (120, 80))


def test_arrays_of_another_form_are_refused(tmp_path):
    numbers, matrix, text = (tmp_path / name for name in ("numbers.npy", "matrix.npy", "text.npy"))
    np.save(numbers, np.arange(5))
    np.save(matrix, np.zeros((17, 9)))
    text.write_text("no array")

    assert read_vertices(numbers).tolist() == [0, 1, 2, 3, 4] and read_regressor(matrix).shape == (17, 9)
    with pytest.raises(UserError, match=r"a list of vertex numbers in .*, got float64 \[17, 9\]"):
        read_vertices(matrix)
    with pytest.raises(UserError, match=r"a matrix of joints by vertices in .*, got int64 \[5\]"):
        read_regressor(numbers)
    with pytest.raises(UserError, match=r"points \[N, 3\] in .*, got int64 \[5\]"):
        read_points(numbers)
    with pytest.raises(UserError, match="cannot read"):
        read_regressor(text)
