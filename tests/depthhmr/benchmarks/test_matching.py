"""The matching of the public evaluations: every peculiarity by hand, and all of them against the procedure told as a loop."""

import math

import numpy as np
import pytest

from depthhmr.benchmarks.matching import match_greedy, pixel_iou
from depthhmr.evaluation.metrics import match_people


def stick(x: float, y: float = 0.0, width: float = 10.0, height: float = 10.0) -> np.ndarray:
    """24 joints whose box starts at (x, y): half of them top left, half bottom right."""
    return np.repeat([[x, y], [x + width, y + height]], 12, axis=0).astype(float)


def match(predicted, true, counts=None, floor=0.1):
    counts = np.ones(len(true), bool) if counts is None else np.array(counts)
    shape = (-1, 24, 2)
    return match_greedy(
        np.array(predicted, float).reshape(shape), np.array(true, float).reshape(shape), floor=floor, counts=counts
    )


def outcome(matching) -> tuple[list, list, list]:
    pairs = list(zip(matching.predicted.tolist(), matching.true.tolist(), strict=True))
    return pairs, matching.missed.tolist(), matching.false.tolist()


def test_a_pair_is_rated_by_the_spectral_norm_of_its_differences():
    aside = stick(1.0)  # all 24 joints by (1, 0): norm sqrt(24) = 4.9, mean length 1
    apart = stick(0.0)  # half by (1.2, 0), half by (0, 1.2): both singular values 1.2 * sqrt(12) = 4.2, mean length 1.2
    apart[::2, 0] += 1.2
    apart[1::2, 1] += 1.2

    assert outcome(match([aside, apart], [stick(0)])) == ([(1, 0)], [], [0])
    assert outcome(match_people(np.stack([aside, apart]), stick(0)[None])) == ([(0, 0)], [], [1])


def test_boxes_count_both_border_pixels():
    # 11 x 11 pixels each, 8 apart: 3 x 11 shared of 2 * 121 - 33
    assert pixel_iou(stick(0)[None], stick(8)[None])[0, 0] == pytest.approx(33 / 209)
    assert pixel_iou(stick(0)[None], stick(10)[None])[0, 0] == pytest.approx(11 / 231)  # they touch
    assert pixel_iou(stick(0)[None], stick(11)[None])[0, 0] == 0
    assert pixel_iou(stick(0, width=0, height=0)[None], stick(0, width=0, height=0)[None])[0, 0] == 1  # one pixel


@pytest.mark.parametrize(("predictions", "people"), [(0, 2), (2, 0), (0, 0)])
def test_nobody_matches_nobody(predictions, people):
    result = match([stick(0)] * predictions, [stick(0)] * people)

    assert outcome(result) == ([], list(range(people)), list(range(predictions)))


def test_one_prediction_between_two_people_goes_to_the_nearer():
    assert outcome(match([stick(3)], [stick(0), stick(8)])) == ([(0, 0)], [1], [])


def test_of_two_equally_near_people_the_first_is_found_and_of_two_predictions_the_first_matches():
    assert outcome(match([stick(4)], [stick(0), stick(8)])) == ([(0, 0)], [1], [])
    assert outcome(match([stick(2), stick(-2)], [stick(0)])) == ([(0, 0)], [], [1])


def test_swapped_people_are_found_where_the_predictions_lie():
    assert outcome(match([stick(30), stick(0)], [stick(0), stick(30)])) == ([(0, 1), (1, 0)], [], [])


def test_a_prediction_far_from_everybody_is_false_and_everybody_missed():
    assert outcome(match([stick(500)], [stick(0)])) == ([], [0], [0])


def test_strangers_that_are_looked_at_first_use_up_the_search():
    # Two small people 30 pixels apart, found exactly; a large one whose prediction is 50 pixels off. The pairs of the two
    # small strangers (30 * sqrt(24) = 147) come before the large pair (50 * sqrt(24) = 245), overlap nothing, and end it.
    true = [stick(0), stick(30), stick(1000, width=400, height=400)]
    predicted = [stick(0), stick(30), stick(1050, width=400, height=400)]

    assert outcome(match(predicted, true)) == ([(0, 0), (1, 1)], [2], [2])
    assert len(match_people(np.stack(predicted), np.stack(true)).true) == 3


def test_a_prediction_on_somebody_who_does_not_count_is_false():
    assert outcome(match([stick(0)], [stick(0)], counts=[False])) == ([], [], [0])


def test_a_prediction_that_met_somebody_who_does_not_count_may_still_match_another():
    assert outcome(match([stick(0)], [stick(0), stick(2)], counts=[False, True])) == ([(0, 1)], [], [])


def test_unlabelled_joints_rate_no_pair_but_stretch_the_box():
    true = stick(100)
    true[:4] = -2  # where Relative Human puts joints without a label
    labelled = np.ones((1, 24), bool)
    labelled[0, :4] = False
    near, far = stick(101), stick(103)

    matching = match_greedy(np.stack([far, near]), true[None], floor=0.0, counts=np.ones(1, bool), labelled=labelled)

    assert matching.predicted.tolist() == [1]
    assert pixel_iou(near[None], true[None])[0, 0] == pytest.approx(110 / (113 * 13 + 121 - 110))


def told_as_a_loop(predicted, true, counts, floor):
    """The published procedure, step by step: take the smallest error that is left, until nobody is left to look at."""
    error = np.array([[np.linalg.svd(p - t, compute_uv=False)[0] for t in true] for p in predicted])
    overlap = pixel_iou(predicted, true)
    pairs, taken, settled, refused = [], set(), set(), 0
    while len(settled) < len(true) and len(taken) + refused < len(predicted):
        decided = False
        while not decided:
            n, m = np.unravel_index(np.argmin(error), error.shape)
            assert math.isfinite(error[n, m]), "the procedure would run for ever"
            error[n, m] = np.inf
            if n not in taken and m not in settled and overlap[n, m] >= floor:
                decided = True
                settled.add(m)
                if counts[m]:
                    taken.add(n)
                    pairs.append((int(n), int(m)))
            elif overlap[n, m] < floor:
                decided = True
                refused += 1
                if not counts[m]:
                    settled.add(m)
    seen = {m for _, m in pairs}
    missed = [m for m in range(len(true)) if counts[m] and m not in seen]
    return pairs, missed, [n for n in range(len(predicted)) if n not in taken]


def test_it_is_the_published_procedure_on_hundreds_of_random_crowds():
    rng = np.random.default_rng(0)
    for _ in range(300):
        people, predictions = rng.integers(1, 7, 2)
        true = rng.uniform(0, 60, (people, 1, 2)) + rng.uniform(0, 1, (people, 24, 2)) * rng.uniform(
            5, 60, (people, 1, 1)
        )
        base = true[rng.integers(people, size=predictions)]
        predicted = (
            base + rng.normal(0, rng.choice([1.0, 15.0]), (predictions, 1, 2)) + rng.normal(0, 3, (predictions, 24, 2))
        )
        counts = rng.random(people) < 0.7

        result = match_greedy(predicted, true, floor=0.1, counts=counts)

        assert outcome(result) == told_as_a_loop(predicted, true, counts, 0.1)
