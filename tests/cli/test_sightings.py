"""Sightings of people become motions, their first sightings among them."""

import numpy as np
import pytest

from depthhmr_cli.sightings import Sightings
from service.client import Person


def person(place, track: int | None = None, *, betas: float = 0.0) -> Person:
    return Person(
        id=0,
        track_id=track,
        score=0.9,
        box=np.zeros(4),
        translation=np.array(place, np.float32),
        global_orient=np.array([np.pi, 0, 0]),
        body_pose=np.zeros((23, 3)),
        betas=np.full(10, betas),
        joints_3d=np.zeros((24, 3)),
        joints_2d=np.zeros((24, 2)),
        height_m=1.7,
    )


def seen(*results) -> Sightings:
    sightings = Sightings()
    for number, people in enumerate(results):
        sightings.take(people, number / 10)
    return sightings


def test_who_is_confirmed_gets_the_first_sighting_back():
    motions = seen(
        [person([0, 0, 3]), person([1, 0, 3])],
        [person([0.9, 0, 3], 1, betas=1.0), person([0.1, 0, 3], 2)],
    ).motions()

    assert [motion.name for motion in motions] == ["person_01", "person_02"]
    assert [motion.frames.tolist() for motion in motions] == [[0, 1], [0, 1]]
    assert motions[0].translation[:, 0] == pytest.approx([1.0, 0.9])
    assert motions[1].translation[:, 0] == pytest.approx([0.0, 0.1])
    assert motions[0].betas == pytest.approx([0.5] * 10)


def test_somebody_far_away_is_no_first_sighting():
    (motion,) = seen([person([0, 0, 3])], [person([0, 0, 3.8], 1)]).motions()

    assert motion.frames.tolist() == [1]


def test_a_first_sighting_is_given_to_one_person_only():
    motions = seen([person([0, 0, 3])], [person([0.1, 0, 3], 1), person([0.2, 0, 3], 2)]).motions()

    assert [motion.frames.tolist() for motion in motions] == [[0, 1], [1]]


def test_only_the_result_before_counts():
    (motion,) = seen([person([0, 0, 3])], [], [person([0, 0, 3], 1)]).motions()

    assert motion.frames.tolist() == [2]


def test_the_people_of_a_single_result_are_tracks_of_their_own():
    motions = seen([person([0, 0, 3]), person([1, 0, 3])]).motions()

    assert [motion.name for motion in motions] == ["person_00", "person_01"]


def test_who_is_seen_once_among_several_results_has_no_motion():
    assert seen([person([0, 0, 3])], [person([2, 0, 3])]).motions() == []


def test_times_never_stand_still():
    sightings = Sightings()
    for time_s in (0.5, 0.5, 0.1, None):
        sightings.take([], time_s)

    assert sightings.times == pytest.approx([0.5, 0.501, 0.502, 0.503])
