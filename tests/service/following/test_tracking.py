import itertools
import math

import numpy as np
import pytest

from bodykit.body import load_body
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_joints
from service.errors import InvalidParameter
from service.following.association import assign
from service.following.tracking import Tracker, TrackingOptions
from service.results import Person

FPS = 25
AT_ONCE = TrackingOptions(confirm_hits=1)


def person(place, heading: float = 0.0) -> Person:
    """A person upright with the pelvis at `place`; heading 0 faces the camera."""
    rotations = np.tile(np.eye(3, dtype=np.float32), (24, 1, 1))
    rotations[0] = axis_angle_to_matrix(np.array([0, heading, 0], np.float32)) @ np.diag([1, -1, -1]).astype(np.float32)
    place, betas = np.array(place, np.float32), np.zeros(10, np.float32)
    joints = pose_joints(load_body(), betas[None], rotations[None], place[None])[0]
    flat = 500 * joints[:, :2] / joints[:, 2:] + 320
    box = np.concatenate([flat.min(axis=0), flat.max(axis=0)])
    return Person(0, 0.9, box, place, rotations, np.zeros((24, 3), np.float32), betas, joints, flat, 1.7)


def frame_times(seconds: float, fps: float = FPS) -> list[float]:
    return [i / fps for i in range(round(seconds * fps))]


def test_ids_begin_at_one_and_stay_with_their_people_in_any_order() -> None:
    tracker, rng = Tracker(AT_ONCE), np.random.default_rng(0)
    places = [(-1, 0, 3), (0.2, 0, 4), (1.2, 0, 5)]

    assert tracker.update([person(place) for place in places], 0.0) == (1, 2, 3)
    for frame in range(1, 30):
        order = rng.permutation(3)
        ids = tracker.update([person(places[i] + rng.normal(0, 0.02, 3)) for i in order], frame / FPS)
        assert ids == tuple(i + 1 for i in order)


def test_two_people_who_cross_keep_their_ids() -> None:
    tracker, seen = Tracker(AT_ONCE), []
    for time_s in frame_times(3):
        right, left = person((-1.8 + 1.2 * time_s, 0, 3), np.pi / 2), person((1.8 - 1.2 * time_s, 0, 4), -np.pi / 2)
        hidden = abs(right.translation[0] / 3 - left.translation[0] / 4) < 0.08
        ids = tracker.update([right] if hidden else [right, left], time_s)
        seen.append(ids)

    assert (1,) in seen
    assert set(seen) == {(1, 2), (1,)}


def test_half_a_second_behind_a_column_is_survived_while_walking() -> None:
    tracker = Tracker(AT_ONCE)
    ids = {
        tracker.update([] if 1.0 < time_s < 1.5 else [person((-1.5 + 1.3 * time_s, 0, 4), np.pi / 2)], time_s)
        for time_s in frame_times(2.5)
    }

    assert ids == {(1,), ()}


def test_a_person_returning_after_the_timeout_gets_a_new_id() -> None:
    tracker = Tracker(TrackingOptions(confirm_hits=1, coast_s=1.0))

    assert tracker.update([person((0, 0, 3))], 0.0) == (1,)
    assert tracker.update([], 0.9) == ()
    assert tracker.alive == {1}
    assert tracker.update([], 1.1) == ()
    assert tracker.alive == frozenset()
    assert tracker.update([person((0, 0, 3))], 1.2) == (2,)


def test_ids_are_never_used_again() -> None:
    tracker, rng, gone, last = (
        Tracker(TrackingOptions(confirm_hits=1, coast_s=0.1)),
        np.random.default_rng(1),
        set(),
        set(),
    )
    for frame in range(200):
        people = [person((x, 0, 4)) for x in np.flatnonzero(rng.random(5) < 0.5) * 1.5 - 3]
        ids = set(tracker.update(people, frame / 10))
        assert not ids & gone
        gone |= last - ids - tracker.alive
        last = ids | tracker.alive

    assert len(gone) > 20


def test_a_newcomer_is_confirmed_in_the_second_frame_and_a_flash_never() -> None:
    tracker = Tracker()

    assert tracker.update([person((0, 0, 3))], 0.0) == (None,)
    assert tracker.update([person((0, 0, 3)), person((2, 0, 5))], 0.04) == (1, None)
    assert tracker.update([person((0, 0, 3))], 0.08) == (1,)
    assert tracker.update([person((0, 0, 3)), person((2, 0, 5))], 0.12) == (1, None)
    assert tracker.update([person((0, 0, 3)), person((2, 0, 5))], 0.16) == (1, 2)


def test_an_error_in_depth_is_forgiven_where_the_same_step_sideways_is_not() -> None:
    in_depth, sideways = Tracker(AT_ONCE), Tracker(AT_ONCE)
    for tracker in (in_depth, sideways):
        for frame in range(5):
            tracker.update([person((0, 0, 4))], frame / FPS)

    assert in_depth.update([person((0, 0, 5.2))], 5 / FPS) == (1,)
    assert sideways.update([person((1.2, 0, 4))], 5 / FPS) == (2,)


def test_irregular_and_missing_frames_do_no_harm() -> None:
    tracker, rng, time_s = Tracker(AT_ONCE), np.random.default_rng(2), 0.0
    for _ in range(60):
        people = [person((-2 + 0.5 * time_s, 0, 4)), person((2 - 0.5 * time_s, 0, 6))]
        assert tracker.update(people, time_s) == (1, 2)
        time_s += float(rng.choice([0.01, 0.04, 0.08, 0.3]))


@pytest.mark.parametrize("time_s", [1.0, 0.5, math.nan, math.inf])
def test_time_that_does_not_rise_is_an_error_that_changes_nothing(time_s: float) -> None:
    tracker = Tracker(AT_ONCE)
    tracker.update([person((0, 0, 3))], 1.0)

    with pytest.raises(InvalidParameter, match="capture_time: expected a"):
        tracker.update([person((0, 0, 3)), person((1, 0, 3))], time_s)

    assert tracker.update([person((0, 0, 3))], 1.04) == (1,)


def test_no_people_are_an_empty_tuple() -> None:
    tracker = Tracker()

    assert tracker.update([], 0.0) == tracker.update((), 1.0) == ()


@pytest.mark.parametrize("count", [16, 64])
def test_a_crowd_that_moves_a_little_keeps_its_ids(count: int) -> None:
    tracker, rng = Tracker(AT_ONCE), np.random.default_rng(3)
    places = np.array([(1.2 * (i % 8) - 4, 0, 3 + 1.5 * (i // 8)) for i in range(count)])
    crowds = [[person(place + rng.normal(0, 0.01, 3)) for place in places] for _ in range(4)]

    for frame, crowd in enumerate(itertools.chain(*[crowds] * 10)):
        assert tracker.update(crowd, frame / FPS) == tuple(range(1, count + 1))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("coast_s", -1, "coast_s must be finite and at least 0, got -1"),
        ("confirm_hits", 0, "confirm_hits must be at least 1, got 0"),
        ("depth_noise", 0, "depth_noise must be finite and above 0, got 0"),
        ("limit", math.inf, "limit must be finite and above 0, got inf"),
    ],
)
def test_impossible_options_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrackingOptions(**{name: value})


def test_the_assignment_is_the_cheapest_of_all() -> None:
    rng = np.random.default_rng(4)
    for _ in range(60):
        rows, columns = rng.integers(1, 5, 2)
        cost = rng.normal(1, 2, (rows, columns))
        cost[rng.random(cost.shape) < 0.2] = np.inf
        limit = 2.0

        found = assign(cost, limit)

        assert cheapest(cost, limit) == pytest.approx(float((cost[found] - limit).sum()), abs=1e-9)


def cheapest(cost: np.ndarray, limit: float) -> float:
    """The least sum of (cost - limit) over all partial one-to-one assignments, by trying them all."""
    best = 0.0
    wide = cost if cost.shape[0] <= cost.shape[1] else cost.T
    for columns in itertools.permutations(range(wide.shape[1]), wide.shape[0]):
        best = min(best, sum(min(0.0, wide[row, column] - limit) for row, column in enumerate(columns)))
    return best


def test_an_empty_side_has_no_pairs() -> None:
    for shape in ((0, 3), (2, 0), (0, 0)):
        assert [len(side) for side in assign(np.zeros(shape), 1.0)] == [0, 0]
