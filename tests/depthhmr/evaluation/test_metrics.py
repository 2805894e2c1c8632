"""Every measure against a case that can be computed by hand."""

import math

import numpy as np
import pytest

from depthhmr.evaluation import metrics


def square(x: float = 0) -> np.ndarray:
    """A person of four joints, the corners of a square of 10 x 10 pixels that starts at `x`."""
    return np.array([[x, 0], [x + 10, 0], [x, 10], [x + 10, 10]], dtype=float)


def turned(degrees: float, axis: str = "y") -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return np.array(rows[axis])


def test_matching_takes_the_closest_pair_first():
    true = np.stack([square(), square(4)])
    predicted = np.stack([square(3), square(1)])  # both nearest to a person of their own, 1 pixel away

    matching = metrics.match_people(predicted, true)

    assert matching.predicted.tolist() == [1, 0] and matching.true.tolist() == [0, 1]
    assert not len(matching.missed) and not len(matching.false)


def test_a_pair_that_hardly_overlaps_is_no_pair():
    just_enough, too_little = square(8.1), square(8.3)  # IoU 19/181 = 0.105 and 17/183 = 0.093

    assert metrics.match_people(just_enough[None], square()[None]).true.tolist() == [0]
    matching = metrics.match_people(too_little[None], square()[None])
    assert matching.missed.tolist() == [0] and matching.false.tolist() == [0]


def test_a_second_prediction_of_the_same_person_is_false():
    matching = metrics.match_people(np.stack([square(1), square()]), square()[None])

    assert matching.predicted.tolist() == [1] and matching.false.tolist() == [0]


def test_who_does_not_count_is_neither_missed_nor_makes_a_false_person():
    true = np.stack([square(), square(50)])
    counts = np.array([True, False])

    found_both = metrics.match_people(true, true, counts)
    found_one = metrics.match_people(true[:1], true, counts)

    assert found_both.true.tolist() == [0] and not len(found_both.false)
    assert found_one.true.tolist() == [0] and not len(found_one.missed)


@pytest.mark.parametrize(("predictions", "people"), [(0, 2), (2, 0), (0, 0)])
def test_matching_handles_nobody(predictions, people):
    matching = metrics.match_people(np.zeros((predictions, 4, 2)), np.zeros((people, 4, 2)))

    assert len(matching.true) == 0
    assert len(matching.missed) == people and len(matching.false) == predictions


def test_f1_of_eight_found_two_false_and_four_missed():
    precision, recall, f1 = metrics.precision_recall_f1(found=8, false=2, missed=4)

    assert (precision, recall, f1) == pytest.approx((0.8, 8 / 12, 8 / 11))


def test_f1_without_anybody_is_zero():
    assert metrics.precision_recall_f1(0, 0, 0) == (0, 0, 0)


def test_mean_distance_takes_out_the_translation_and_nothing_else():
    true = np.array([[[0, 0, 0], [0, 1, 0]]], dtype=float)
    shift = np.array([5, 6, 7])
    moved = true + shift
    longer = np.array([[[0, 0, 0], [0, 1.5, 0]]]) + shift

    assert metrics.mean_distance(moved, true, moved[:, 0], true[:, 0]) == pytest.approx([0])
    assert metrics.mean_distance(longer, true, longer[:, 0], true[:, 0]) == pytest.approx([0.25])


def test_procrustes_takes_out_rotation_scale_and_translation():
    true = np.random.default_rng(0).normal(size=(3, 24, 3))
    predicted = 1.7 * true @ turned(40).T @ turned(20, "x").T + (1, 2, 3)

    assert metrics.procrustes_distance(predicted, true) == pytest.approx(np.zeros(3), abs=1e-9)


def test_procrustes_does_not_mirror():
    # A chiral tripod: legs 1, 2 and 3 along the axes. Its mirror image cannot be turned into it.
    tripod = np.array([[[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]]], dtype=float)

    assert metrics.procrustes_distance(tripod * (-1, 1, 1), tripod)[0] > 0.1


def test_procrustes_of_a_square_against_a_stretched_one():
    # Corners (+-1, +-1) against (+-2, +-1): the best scale is 1.5, and each corner is then 0.5 off in x and in y.
    corners = np.array([[[1, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0]]], dtype=float)

    assert metrics.procrustes_distance(corners, corners * (2, 1, 1)) == pytest.approx([math.sqrt(0.5)])


def test_root_distance_is_in_metres():
    assert metrics.root_distance(np.array([[0, 3, 9]]), np.array([[0, 0, 5]])) == pytest.approx([5])


@pytest.mark.parametrize("degrees", [0, 0.01, 30, 90, 179.99, 180])
def test_facing_and_rotation_angles_of_a_turn_about_the_vertical(degrees):
    towards_camera = np.diag([1.0, -1.0, -1.0])
    turn = (towards_camera @ turned(degrees))[None]

    assert metrics.facing_angle(turn, towards_camera[None]) == pytest.approx([degrees], abs=1e-6)
    assert metrics.rotation_angle(turn, towards_camera[None]) == pytest.approx([degrees], abs=1e-6)


def test_rolling_about_the_forward_axis_changes_the_orientation_but_not_the_facing():
    upright = np.diag([1.0, -1.0, -1.0])
    rolled = (upright @ turned(70, "z"))[None]

    assert metrics.facing_angle(rolled, upright[None]) == pytest.approx([0], abs=1e-9)
    assert metrics.rotation_angle(rolled, upright[None]) == pytest.approx([70])


@pytest.mark.parametrize(
    ("predicted", "true", "correct"),
    [
        ([2.0, 4.0], [2.0, 4.0], 1),  # in order
        ([4.0, 2.0], [2.0, 4.0], 0),  # the wrong way round
        ([2.0, 2.15], [2.0, 4.0], 0),  # said to stand in one layer, and do not
        ([2.0, 2.15], [3.1, 3.0], 1),  # one layer, and said so
        ([2.0, 2.25], [3.1, 3.0], 0),  # one layer, and said to be apart
        ([2.0, np.nan], [2.0, 4.0], 0),  # missed
    ],
)
def test_depth_order_of_two_people(predicted, true, correct):
    assert metrics.depth_order(np.array(predicted), np.array(true)) == (correct, 1)


def test_depth_order_counts_every_pair_once():
    assert metrics.depth_order(np.array([1, 2, np.nan, 4]), np.array([1.0, 2, 3, 4])) == (3, 6)
    assert metrics.depth_order(np.array([1.0]), np.array([1.0])) == (0, 0)


def test_correct_keypoints_counts_labelled_joints_only():
    true = np.array([[[0, 0], [50, 0], [np.nan, np.nan], [0, 90]]])
    predicted = np.array([[[0, 5], [50, 6], [7, 7], [0, 90]]])  # off by 5, 6 and 0 pixels; the third has no label

    assert metrics.correct_keypoints(predicted, true, np.array([100.0])) == pytest.approx([2 / 3])


def test_correct_keypoints_of_an_unlabelled_person_is_unknown():
    assert np.isnan(metrics.correct_keypoints(np.zeros((1, 2, 2)), np.full((1, 2, 2), np.nan), np.array([10.0])))[0]


def test_boxes_that_only_touch_do_not_overlap():
    boxes = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [5, 0, 15, 10]], dtype=float)

    overlap = metrics.box_iou(boxes, boxes)

    assert np.diag(overlap) == pytest.approx([1, 1, 1])
    assert overlap[0, 1] == 0 and overlap[0, 2] == pytest.approx(1 / 3)
