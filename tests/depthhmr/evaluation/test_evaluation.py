"""A predictor that knows the truth scores perfectly; each flaw put into it shows in its own measure."""

import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from bodykit.body import load_body
from bodykit.camera import Intrinsics
from bodykit.skinning import pose_vertices
from depthhmr.evaluation import evaluation
from depthhmr.evaluation.person_scores import measure_people, picture_errors
from depthhmr.evaluation.predictions import collect

SIDE, QUERIES = 128, 5
BODY = load_body()
CAMERA = Intrinsics.from_fov(SIDE, SIDE)
TO_CAMERA = np.diag([1, -1, -1]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class FakeSample:
    """What evaluation reads of a rendered sample."""

    rgb: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    rotations: np.ndarray
    betas: np.ndarray
    translation: np.ndarray
    joints_2d: np.ndarray
    boxes: np.ndarray
    visible: np.ndarray


def picture(*places: tuple[float, float, float], visible: float = 1.0) -> FakeSample:
    """People in the rest pose who look into the camera, their pelvis at these places in metres."""
    people = len(places)
    rotations = np.tile(np.eye(3, dtype=np.float32), (people, 24, 1, 1))
    rotations[:, 0] = TO_CAMERA
    betas, translation = np.zeros((people, 10), np.float32), np.array(places, np.float32).reshape(-1, 3)
    vertices, joints = pose_vertices(BODY, betas, rotations, translation)
    pixels = CAMERA.project(vertices)
    depth = np.zeros((SIDE, SIDE), np.float32)
    depth[32:64] = 4.0
    return FakeSample(
        rgb=np.zeros((SIDE, SIDE, 3), np.uint8),
        depth=depth,
        intrinsics=CAMERA.array(),
        rotations=rotations,
        betas=betas,
        translation=translation,
        joints_2d=CAMERA.project(joints),
        boxes=np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1),
        visible=np.full(people, visible, np.float32),
    )


class Oracle:
    """Says the truth about the pictures in their order, changed by `flaw(outputs of one picture)`."""

    def __init__(self, pictures: list[FakeSample], flaw=lambda outputs: None) -> None:
        self.truths = iter(pictures)
        self.flaw = flaw

    def __call__(self, images: np.ndarray, intrinsics: np.ndarray) -> dict[str, np.ndarray]:
        assert images.shape[1:] == (SIDE, SIDE, 3) and intrinsics.shape == (len(images), 4)
        rows = [self._outputs(next(self.truths)) for _ in images]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def _outputs(self, truth: FakeSample) -> dict[str, np.ndarray]:
        people = len(truth.betas)
        outputs = {
            "scores": np.where(np.arange(QUERIES) < people, 0.9, 0.1),
            "rotations": np.tile(np.eye(3, dtype=np.float32), (QUERIES, 24, 1, 1)),
            "betas": np.zeros((QUERIES, 10), np.float32),
            "translation": np.tile(np.float32([0, 0, 5]), (QUERIES, 1)),
            "boxes": np.zeros((QUERIES, 4), np.float32),
            "depth": truth.depth[::8, ::8].copy(),
        }
        for name in ("rotations", "betas", "translation"):
            outputs[name][:people] = getattr(truth, name)
        self.flaw(outputs)
        return outputs


def evaluate(pictures, flaw=lambda outputs: None, threshold=0.5) -> evaluation.Scores:
    return evaluation.evaluate(Oracle(pictures, flaw), pictures, BODY, threshold, batch=2)


PAIR = picture((-0.7, 0, 3), (0.7, 0, 4))


def test_the_truth_scores_perfectly():
    scores = evaluate([PAIR, picture((0, 0, 3)), picture()])

    assert (scores.f1, scores.precision, scores.recall, scores.pcdr, scores.pck) == (1, 1, 1, 1, 1)
    assert (scores.mve, scores.mpjpe, scores.root_mean, scores.facing_median) == pytest.approx((0, 0, 0, 0), abs=1e-4)
    assert scores.pa_mpjpe == pytest.approx(0, abs=1e-2)
    assert (scores.depth_error, scores.depth_iou) == (0, 1)
    assert scores.counts == {
        "images": 3, "people": 3, "ignored": 0, "found": 3, "missed": 0, "false": 0, "pairs": 1,
    }  # fmt: skip


def test_a_shift_of_the_pelvis_costs_root_error_only():
    def farther(outputs):
        outputs["translation"] += np.float32([0, 0, 0.3])

    scores = evaluate([PAIR], farther)

    assert (scores.root_mean, scores.root_median) == pytest.approx((0.3, 0.3), abs=1e-5)
    assert scores.mve == pytest.approx(0, abs=1e-3) and scores.pcdr == 1


def test_a_body_that_looks_away_costs_facing_and_vertices_but_not_the_aligned_pose():
    def turn_round(outputs):
        outputs["rotations"][:, 0] = outputs["rotations"][:, 0] @ np.diag([-1, 1, -1]).astype(np.float32)

    scores = evaluate([PAIR], turn_round)

    assert (scores.facing_mean, scores.orientation_median, scores.facing_flipped) == pytest.approx((180, 180, 1))
    assert scores.mve > 200 and scores.pa_mpjpe == pytest.approx(0, abs=1e-2)


def test_a_missed_person_costs_recall_and_her_pairs():
    def miss_second(outputs):
        outputs["scores"][1] = 0.1

    scores = evaluate([PAIR], miss_second)

    assert (scores.precision, scores.recall, scores.f1) == pytest.approx((1, 0.5, 2 / 3))
    assert scores.pcdr == 0 and scores.nmve == pytest.approx(1.5 * scores.mve)


def test_a_second_query_on_one_person_is_a_false_one():
    def twice(outputs):
        outputs["scores"][4] = 0.9
        outputs["rotations"][4], outputs["translation"][4] = outputs["rotations"][0], outputs["translation"][0]

    scores = evaluate([PAIR], twice)

    assert (scores.precision, scores.recall) == pytest.approx((2 / 3, 1))


def test_small_and_hidden_people_are_neither_missed_nor_false():
    small, hidden = picture((0, 0, 12)), picture((0, 0, 3), visible=0.2)

    found, silent = evaluate([small, hidden]), evaluate([small, hidden], threshold=0.95)

    for scores in (found, silent):
        assert scores.counts["ignored"] == 2
        assert scores.counts["people"] == scores.counts["false"] == scores.counts["missed"] == 0
        assert np.isnan(scores.mve)
    assert evaluation.evaluate(Oracle([small]), [small], BODY, 0.5, min_height=0.01).counts["found"] == 1


def test_a_wrong_depth_map_costs_its_own_measures():
    def wrong(outputs):
        outputs["depth"][:4] = 2.0  # rows 0-3 of 16 are called human, 4-7 are: said 4 m, is 4 m
        outputs["depth"][4:6] = 5.0  # half of the human cells are 1 m too far

    scores = evaluate([PAIR], wrong)

    assert scores.depth_iou == pytest.approx(0.5)
    assert scores.depth_error == pytest.approx(0.125)


def test_splits_count_every_person_once():
    scores = evaluate([PAIR, picture((0, 0, 6))])

    for rows in scores.splits.values():
        assert sum(row.people for row in rows) == 3
    assert {row.name: row.people for row in scores.splits["facing"]} == {"away": 0, "sideways": 0, "to the camera": 3}
    assert [row.people for row in scores.splits["distance"]] == [0, 2, 1, 0]


def test_the_best_threshold_keeps_people_and_drops_ghosts():
    def ghost(outputs):
        outputs["scores"][:] = 0.05, 0.05, 0.3, 0.05, 0.05  # a ghost at 0.3
        outputs["scores"][:2] = 0.9, 0.6

    predictions = list(collect(Oracle([PAIR], ghost), [PAIR], BODY))

    threshold, rows = evaluation.best_threshold(predictions, thresholds=[0.1, 0.5, 0.8])

    assert threshold == 0.5
    assert [round(f1, 3) for *_, f1 in rows] == [0.8, 1.0, 0.667]


def test_pictures_are_ranked_by_what_is_wrong_in_them():
    pictures = [PAIR, picture(), picture((0, 0, 3))]
    predictions = list(collect(Oracle(pictures), pictures, BODY))

    perfect = picture_errors(measure_people(predictions, BODY, 0.5))
    silent = picture_errors(measure_people(predictions, BODY, 0.95))

    assert perfect[[0, 2]] == pytest.approx([0, 0], abs=1e-4) and np.isnan(perfect[1])
    assert silent[[0, 2]] == pytest.approx([0.4, 0.4])


def test_intervals_hold_the_figures_and_narrow_to_a_point_without_variation():
    steps = iter(range(20))

    def worse_and_worse(outputs):
        outputs["translation"] += np.float32([0, 0, 0.02 * next(steps)])

    scores = evaluate([picture((0, 0, 3))] * 20, worse_and_worse)

    low, high = scores.intervals["root_mean"]
    assert 0.12 < low < scores.root_mean < high < 0.26  # 0.19 +- 2 x 0.115 / sqrt(20)
    assert scores.intervals["f1"] == (1, 1)


def test_a_judgement_of_picked_pictures_repeats_their_people():
    pictures = [PAIR, picture(), picture((0, 0, 3))]
    whole = measure_people(list(collect(Oracle(pictures), pictures, BODY)), BODY, 0.5)

    picked = whole.pick(np.array([2, 0, 0]))

    assert picked.people["image"].tolist() == [2, 0, 0, 0, 0]
    assert picked.pairs.tolist() == [0, 1, 1]


def test_scores_without_anybody_are_plain_json():
    scores = evaluate([picture()])

    text = json.dumps(scores.to_json(), allow_nan=False)

    assert json.loads(text)["mve"] is None and json.loads(text)["f1"] == 0


def test_evaluation_imports_without_torch_and_without_the_service():
    code = "import sys; sys.modules['torch'] = None; import depthhmr.evaluation; sys.exit('service' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_pictures_of_a_class_are_ranked_by_its_own_people_alone():
    pictures = [PAIR, picture((0, 0, 3)), picture()]

    def shift_the_far_one(outputs):
        outputs["betas"][1] += 1.0  # only a second person has this query

    scored = measure_people(list(collect(Oracle(pictures, shift_the_far_one), pictures, BODY)), BODY, 0.5)
    near = scored.people["distance"] < 3.5

    by_near, by_far = picture_errors(scored, near), picture_errors(scored, ~near)

    assert by_near[:2] == pytest.approx([0, 0], abs=1e-4) and np.isnan(by_near[2])
    assert by_far[0] > 0.001 and np.isnan(by_far[1:]).all()
