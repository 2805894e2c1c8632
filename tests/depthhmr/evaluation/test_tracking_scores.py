import numpy as np
import pytest

from depthhmr.evaluation.tracking_scores import IdentityScores, ReportedFrame, TrueFrame, identity, lag_ms, motion, pair

FPS = 25
RNG = np.random.default_rng(0)
SHAPE = RNG.normal(0, 0.3, (24, 3))
SHAPE -= SHAPE[0]


def joints(*places) -> tuple[np.ndarray, np.ndarray]:
    """Joints [N, 24, 3] of people at places, and their pixels."""
    body = np.array(places, float).reshape(-1, 1, 3) + SHAPE
    return body, 500 * body[..., :2] / body[..., 2:]


def true_frame(index: int, *places, counts=None) -> TrueFrame:
    return TrueFrame(index / FPS, *joints(*places), np.ones(len(places), bool) if counts is None else np.array(counts))


def said_frame(ids, *places) -> ReportedFrame:
    return ReportedFrame(*joints(*places), tuple(ids))


def scored(true: list[TrueFrame], said: list[ReportedFrame]) -> IdentityScores:
    return identity([pair(report, frame) for report, frame in zip(said, true, strict=True)], said, true)


A, B = (-1, 0, 4), (1, 0, 5)


def test_reports_in_another_order_are_paired_with_their_people() -> None:
    assert pair(said_frame([1, 2], B, A), true_frame(0, A, B)).tolist() == [1, 0]


def test_of_two_people_behind_one_another_depth_tells_who_is_who() -> None:
    near, far = (0, 0, 3), (0.02, 0, 5)

    assert pair(said_frame([1, 2], (0, 0, 5.2), (0.01, 0, 2.8)), true_frame(0, near, far)).tolist() == [1, 0]


def test_a_report_far_from_everybody_is_nobody() -> None:
    assert pair(said_frame([1], (3, 0, 4)), true_frame(0, A)).tolist() == [-1]
    assert pair(said_frame([]), true_frame(0, A)).tolist() == [-1]


def test_perfect_ids_score_one() -> None:
    score = scored([true_frame(i, A, B) for i in range(4)], [said_frame([5, 9], A, B)] * 4)

    assert (score.switches, score.fragments, score.ghosts, score.tracks, score.people) == (0, 0, 0, 2, 2)
    assert score.idf1 == score.mota == 1


def test_swapped_ids_are_two_switches_and_half_the_idf1() -> None:
    score = scored(
        [true_frame(i, A, B) for i in range(4)], [said_frame([1, 2], A, B)] * 2 + [said_frame([2, 1], A, B)] * 2
    )

    assert score.switches == 2
    assert score.idf1 == pytest.approx(0.5)
    assert score.mota == pytest.approx(1 - 2 / 8)


def test_a_gap_is_a_break_and_a_new_id_after_it_a_switch() -> None:
    score = scored(
        [true_frame(i, A) for i in range(4)], [said_frame([1], A), said_frame([]), *[said_frame([2], A)] * 2]
    )

    assert (score.fragments, score.switches, score.found, score.truths) == (1, 1, 3, 4)


def test_a_report_without_an_id_is_not_found_and_not_false() -> None:
    score = scored([true_frame(i, A) for i in range(2)], [said_frame([None, None], A, B), said_frame([1], A)])

    assert (score.found, score.false, score.ghosts) == (1, 0, 0)


def test_who_does_not_count_is_neither_missed_nor_makes_a_report_false() -> None:
    true = [true_frame(i, A, B, counts=[True, False]) for i in range(2)]

    score = scored(true, [said_frame([1, 2], A, B), said_frame([1], A)])

    assert (score.truths, score.found, score.false, score.ghosts, score.people) == (2, 2, 0, 0, 1)


def test_an_id_of_nobody_is_a_ghost() -> None:
    score = scored([true_frame(0, A)], [said_frame([1, 2], A, (3, 0, 4))])

    assert (score.false, score.ghosts) == (1, 1)


def test_scores_of_sequences_add_up() -> None:
    one = scored([true_frame(0, A)], [said_frame([1], A)])

    assert (one + one).truths == 2
    assert (one + one).idf1 == 1


def test_a_constant_error_has_no_jitter_and_one_that_alternates_has_four_times_its_size() -> None:
    def moved(offsets) -> object:
        true = [true_frame(i, A) for i in range(len(offsets))]
        said = [said_frame([1], (A[0] + offset, A[1], A[2])) for offset in offsets]
        pairs = [pair(report, frame) for report, frame in zip(said, true, strict=True)]
        return motion([(pairs, said, true)])

    still, shaky = moved([0.03] * 6), moved([0.01, -0.01] * 3)

    assert still.root_m == pytest.approx(0.03)
    assert still.root_jitter == pytest.approx(0, abs=1e-6)
    assert shaky.root_jitter == pytest.approx(4 * 0.01 * FPS**2)
    assert shaky.mpjpe_mm == pytest.approx(0, abs=1e-6)
    assert shaky.root_depth_m == shaky.depth_jitter == 0


def test_a_delay_of_half_a_frame_is_measured() -> None:
    times = np.arange(100) / FPS

    def way(seconds: float) -> np.ndarray:
        return np.sin(2 * (times - seconds))[:, None]

    assert lag_ms(way(0.02), way(0), 1 / FPS) == pytest.approx(20, abs=1)
    assert lag_ms(way(0), way(0), 1 / FPS) == pytest.approx(0, abs=0.1)
    assert np.isnan(lag_ms(way(0)[:10], way(0)[:10], 1 / FPS))
    assert np.isnan(lag_ms(np.ones((100, 1)), np.ones((100, 1)), 1 / FPS))
