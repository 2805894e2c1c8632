"""3DPW's figures with a body whose 17 vertices are its 17 joints."""

import numpy as np
import pytest

from bodykit.errors import UserError
from depthhmr.benchmarks.people import People
from depthhmr.benchmarks.threedpw import H36M, LSP, LSP_OF_H36M, measure_3dpw, threedpw_figures

EYE = np.eye(17)
BODY = np.random.default_rng(0).normal(size=(17, 3))


def scores_of(pictures, regressor, *, pelvis="h36m"):
    return threedpw_figures(measure_3dpw(pictures, regressor, pelvis=pelvis), pelvis)


def people(*bodies: np.ndarray, at: tuple[float, ...] = ()) -> People:
    """People 300 pixels apart, boxes of 100 x 100, unless `at` places them."""
    places = at or tuple(300.0 * i for i in range(len(bodies)))
    corners = np.repeat([[0, 0], [100, 100]], 12, axis=0)
    joints_2d = np.array([corners + [x, 0] for x in places], float).reshape(len(bodies), 24, 2)
    return People(joints_2d, np.zeros((len(bodies), 24, 3)), np.array(bodies, float).reshape(len(bodies), 17, 3))


def shifted(**joints: tuple) -> np.ndarray:
    """The body with some joints moved, metres."""
    body = BODY.copy()
    for name, shift in joints.items():
        body[H36M.index(name)] += shift
    return body


def test_the_fourteen_joints_are_those_of_leeds_sports_poses():
    # the order that the regressor of SPIN is read in
    assert LSP_OF_H36M == [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10]
    assert LSP[:3] == ("right_ankle", "right_knee", "right_hip") and len(LSP) == 14


def test_the_truth_scores_perfectly_wherever_it_stands():
    scores = scores_of([(people(BODY + 3, BODY), people(BODY, BODY))], EYE)

    assert (scores.mpjpe, scores.mve) == pytest.approx((0, 0), abs=1e-9) and scores.pa_mpjpe == pytest.approx(
        0, abs=1e-6
    )
    assert (scores.recall, scores.people, scores.found) == (1, 2, 2)


def test_the_pelvis_is_that_of_the_regressor_or_the_middle_of_the_hips():
    off = shifted(pelvis=(0.017, 0, 0))  # no joint of the fourteen moves, but all are aligned by it
    pair = [(people(off), people(BODY))]

    by_pelvis, by_hips = scores_of(pair, EYE), scores_of(pair, EYE, pelvis="mid_hip")

    assert (by_pelvis.mpjpe, by_pelvis.mve) == pytest.approx((17, 16))  # 16 of 17 vertices are 17 mm off
    assert (by_hips.mpjpe, by_hips.mve) == pytest.approx((0, 1))  # one of 17 vertices
    assert by_pelvis.pa_mpjpe == pytest.approx(0, abs=1e-6) and by_hips.pelvis == "mid_hip"


def test_one_joint_of_fourteen():
    scores = scores_of([(people(shifted(left_wrist=(0, 0.14, 0))), people(BODY))], EYE)

    assert scores.mpjpe == pytest.approx(10) and scores.mve == pytest.approx(140 / 17)


def test_the_24_joints_of_the_challenge_are_aligned_by_the_pelvis_joint():
    who, true = people(BODY), people(BODY)
    true.joints_3d[0] = np.random.default_rng(1).normal(size=(24, 3))
    who.joints_3d[0] = true.joints_3d[0] + 0.7
    who.joints_3d[0, 20] += (0, 0, 0.24)

    one = scores_of([(who, true)], EYE)
    who.joints_3d[0] = true.joints_3d[0] + 0.7
    who.joints_3d[0, 0] += (0.024, 0, 0)  # all others are then 24 mm off
    other = scores_of([(who, true)], EYE)
    who.joints_3d[0] = 2 * true.joints_3d[0] @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])

    assert one.mpjpe_24 == pytest.approx(10) and 0 < one.pa_mpjpe_24 < 30 and one.mpjpe == pytest.approx(0, abs=1e-9)
    assert other.mpjpe_24 == pytest.approx(23) and scores_of([(who, true)], EYE).pa_mpjpe_24 == pytest.approx(
        0, abs=1e-6
    )


def test_pa_mpjpe_of_3dpw_is_that_of_the_fourteen_joints():
    turned = 1.3 * BODY @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]) + 2
    turned[H36M.index("jaw")] += 1  # not one of the fourteen
    square = np.zeros((17, 3))
    square[LSP_OF_H36M[0]], square[LSP_OF_H36M[1]] = (1, 0, 0), (-1, 0, 0)
    square[LSP_OF_H36M[2]], square[LSP_OF_H36M[3]] = (0, 1, 0), (0, -1, 0)
    stretched = square * [1, 3, 1]

    same, other = (scores_of([(people(p), people(t))], EYE).pa_mpjpe for p, t in ((turned, BODY), (stretched, square)))

    # scale = trace / variance = (2 + 6) / (2 + 18) = 0.4: two joints at 0.4 of 1, two at 1.2 of 1, ten at the origin
    assert same == pytest.approx(0, abs=1e-6) and other == pytest.approx(1000 * (2 * 0.6 + 2 * 0.2) / 14)


def test_joints_outside_the_fourteen_count_for_vertices_alone():
    scores = scores_of([(people(shifted(spine=(0, 0.17, 0))), people(BODY))], EYE)

    assert scores.mpjpe == pytest.approx(0, abs=1e-9) and scores.mve == pytest.approx(10)


def test_the_regressor_mixes_vertices():
    regressor = np.zeros((17, 34))
    regressor[:, :17] = regressor[:, 17:] = 0.5 * np.eye(17)
    true = np.concatenate([BODY + 0.1, BODY - 0.1])
    predicted = np.concatenate([BODY + 0.3, BODY - 0.3])  # other vertices, the same joints
    meshes = [People(people(BODY).joints_2d, np.zeros((1, 24, 3)), mesh[None]) for mesh in (predicted, true)]

    scores = scores_of([tuple(meshes)], regressor)

    assert scores.mpjpe == pytest.approx(0, abs=1e-9) and scores.mve == pytest.approx(200 * np.sqrt(3))


def test_missed_and_false_people_change_recall_and_no_error():
    scores = scores_of([(people(BODY, BODY, at=(0, 5000)), people(BODY, BODY, at=(0, 900)))], EYE)

    assert (scores.recall, scores.found, scores.mpjpe) == pytest.approx((0.5, 1, 0), abs=1e-9)


def test_without_anybody_found_errors_are_unknown():
    scores = scores_of([(people(), people(BODY)), (people(), people())], EYE)

    assert scores.recall == 0 and np.isnan([scores.mpjpe, scores.pa_mpjpe, scores.mve]).all()
    assert np.isnan(scores_of([], EYE).recall)


def test_errors_are_means_over_people():
    one, three = shifted(left_wrist=(0, 0.14, 0)), (BODY, BODY, BODY)

    scores = scores_of([(people(one), people(BODY)), (people(*three), people(*three))], EYE)

    assert scores.mpjpe == pytest.approx(10 / 4)


def test_a_mesh_or_a_regressor_of_another_body_is_refused():
    with pytest.raises(UserError, match=r"shape \[17, V\], got \[24, 6890\]"):
        scores_of([], np.zeros((24, 6890)))
    with pytest.raises(UserError, match="the regressor takes 20 vertices, the truth has 17, the prediction 17"):
        scores_of([(people(BODY), people(BODY))], np.zeros((17, 20)))
