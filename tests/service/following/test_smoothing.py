import math
from dataclasses import replace

import numpy as np
import pytest

from bodykit.body import load_body
from bodykit.camera import Intrinsics
from bodykit.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from bodykit.skinning import pose_joints
from service.errors import InvalidParameter
from service.following.smoothing import Smoother, SmoothingOptions, repose
from service.people import statures
from service.results import Person

BODY = load_body()
CAMERA = Intrinsics.from_fov(640, 480)
FPS = 25


def person(place=(0, 0, 4), turn=0.0, betas=None, joint=18) -> Person:
    """A person upright at `place` with one joint turned about y."""
    rotations = np.tile(np.eye(3, dtype=np.float32), (24, 1, 1))
    rotations[0] = np.diag([1, -1, -1])
    rotations[joint] = axis_angle_to_matrix(np.array([0, turn, 0], np.float32)) @ rotations[joint]
    bare = Person(
        0, 0.9, np.zeros(4, np.float32), np.zeros(3, np.float32), rotations, np.zeros((24, 3), np.float32),
        np.zeros(10, np.float32), np.zeros((24, 3), np.float32), np.zeros((24, 2), np.float32), 0.0,
    )  # fmt: skip
    betas = np.zeros(10, np.float32) if betas is None else np.asarray(betas, np.float32)
    (whole,) = repose(
        [bare], rotations=rotations[None], betas=betas[None], translation=np.array([place], np.float32), body=BODY,
        camera=CAMERA,
    )  # fmt: skip
    return whole


def smooth(people: list[Person], smoother: Smoother | None = None) -> list[Person]:
    """One person's frames, smoothed."""
    smoother = smoother or Smoother(BODY)
    return [smoother.update([one], [7], frame / FPS, camera=CAMERA)[0] for frame, one in enumerate(people)]


def test_the_first_frame_comes_back_as_it_is() -> None:
    one = person((0.3, 0.1, 3), 0.4)

    (said,) = Smoother(BODY).update([one], [1], 0.0, camera=CAMERA)

    np.testing.assert_allclose(said.translation, one.translation, atol=1e-6)
    np.testing.assert_allclose(said.joints_3d, one.joints_3d, atol=1e-6)
    assert said.box is one.box


def test_a_still_persons_jitter_falls_to_a_fifth() -> None:
    rng = np.random.default_rng(0)
    noisy = [
        person(
            (0.012 * rng.normal(), 0.012 * rng.normal(), 4 + 0.1 * rng.normal()), 0.05 * rng.normal(),
            0.3 * rng.normal(size=10),
        )
        for _ in range(100)
    ]  # fmt: skip

    calm = smooth(noisy)

    def jitter(people: list[Person]) -> float:
        return float(np.linalg.norm(np.diff(np.stack([p.joints_3d for p in people[25:]]), n=2, axis=0), axis=-1).mean())

    assert jitter(calm) < jitter(noisy) / 5
    assert np.mean([p.translation for p in calm[25:]], axis=0) == pytest.approx((0, 0, 4), abs=0.03)


@pytest.mark.parametrize(
    ("place", "turn", "most_frames"),
    [
        pytest.param((0.6, 0, 4), 0.0, 5, id="60 cm sideways"),
        pytest.param((0, 0, 4.6), 0.0, 16, id="60 cm in depth"),
        pytest.param((0, 0, 4), 1.0, 6, id="an elbow by 57 degrees"),
    ],
)
def test_nine_tenths_of_a_step_are_reached_within_the_expected_frames(place, turn: float, most_frames: int) -> None:
    before, after = person(), person(place, turn)

    said = smooth([before] * 10 + [after] * 40)

    full = np.linalg.norm(after.joints_3d - before.joints_3d)
    left = [np.linalg.norm(after.joints_3d - one.joints_3d) / full for one in said]
    assert left[10] > 0.1  # a step is not followed at once
    assert left[10 + most_frames] < 0.1
    assert left[-1] < 0.01


def test_walking_lags_less_than_fifty_milliseconds() -> None:
    speed = 1.3
    walk = [person((-1.5 + speed * frame / FPS, 0, 4)) for frame in range(50)]

    said = smooth(walk)

    behind_m = walk[-1].translation[0] - said[-1].translation[0]
    assert 0 < behind_m / speed < 0.05


def test_the_shape_becomes_the_mean_of_all_frames() -> None:
    rng = np.random.default_rng(1)
    shapes = rng.normal(0, 1, (20, 10))

    said = smooth([person(betas=shape) for shape in shapes])

    np.testing.assert_allclose(said[-1].betas, shapes.mean(axis=0), atol=1e-5)
    assert said[-1].height_m == pytest.approx(float(statures(BODY, said[-1].betas[None])[0]))


def test_everything_that_follows_from_the_parameters_follows_from_the_smoothed_ones() -> None:
    rng = np.random.default_rng(2)
    said = smooth([person((0.1 * rng.normal(), 0, 3), rng.normal(), rng.normal(size=10)) for _ in range(8)])[-1]

    joints = pose_joints(BODY, said.betas[None], said.rotations[None], said.translation[None])[0]

    np.testing.assert_allclose(said.joints_3d, joints, atol=1e-6)
    np.testing.assert_allclose(said.joints_2d, CAMERA.project(joints), atol=1e-3)
    np.testing.assert_allclose(said.axis_angle, matrix_to_axis_angle(said.rotations), atol=1e-6)
    np.testing.assert_allclose(
        said.rotations @ np.swapaxes(said.rotations, 1, 2), np.broadcast_to(np.eye(3), (24, 3, 3)), atol=1e-5
    )


def test_a_body_seen_turned_round_for_two_frames_is_not_believed_and_for_good_it_is() -> None:
    front, back = person(), person(turn=np.pi, joint=0)

    said = smooth([front] * 5 + [back] * 2 + [front] * 5 + [back] * 6)

    def facing(one: Person) -> float:
        return float(-one.rotations[0, 2, 2])

    assert min(facing(one) for one in said[:14]) > 0.99
    assert facing(said[-1]) < -0.99


def test_people_without_an_id_are_unchanged_and_order_is_kept() -> None:
    near, far = person((0, 0, 2)), person((1, 0, 5))
    smoother = Smoother(BODY)
    smoother.update([near, far], [1, 2], 0.0, camera=CAMERA)

    moved = replace(far, translation=far.translation + np.float32([0.1, 0, 0]))
    said = smoother.update([person((0.5, 0, 3)), moved, near], [None, 2, 1], 0.04, camera=CAMERA)

    assert said[0].translation[0] == np.float32(0.5)
    assert 1.0 < said[1].translation[0] < 1.1
    np.testing.assert_allclose(said[2].translation, near.translation, atol=1e-6)


def test_after_a_pause_place_and_pose_begin_afresh_but_the_shape_stays() -> None:
    smoother = Smoother(BODY)
    smoother.update([person(betas=np.ones(10))], [1], 0.0, camera=CAMERA)

    (said,) = smoother.update([person((1, 0, 5), betas=np.zeros(10))], [1], 0.8, camera=CAMERA)

    np.testing.assert_allclose(said.translation, (1, 0, 5), atol=1e-5)
    np.testing.assert_allclose(said.betas, np.full(10, 0.5), atol=1e-6)


def test_dead_tracks_are_forgotten() -> None:
    smoother = Smoother(BODY, SmoothingOptions(forget_s=1.0))
    smoother.update([person(), person((1, 0, 4))], [1, 2], 0.0, camera=CAMERA)

    smoother.update([person()], [1], 0.9, camera=CAMERA)
    assert smoother.known == {1, 2}
    smoother.update([], [], 1.1, camera=CAMERA)
    assert smoother.known == {1}


@pytest.mark.parametrize("time_s", [0.0, -1.0, math.nan, math.inf])
def test_time_that_does_not_rise_is_an_error_that_changes_nothing(time_s: float) -> None:
    smoother = Smoother(BODY)
    smoother.update([person()], [1], 0.0, camera=CAMERA)

    with pytest.raises(InvalidParameter, match="capture_time"):
        smoother.update([person()], [1], time_s, camera=CAMERA)

    assert smoother.known == {1}
    smoother.update([person()], [1], 0.04, camera=CAMERA)


def test_wrong_ids_are_a_programmers_error() -> None:
    with pytest.raises(ValueError, match="1 ids for 2 people"):
        Smoother(BODY).update([person(), person()], [1], 0.0, camera=CAMERA)
    with pytest.raises(ValueError, match="every id once"):
        Smoother(BODY).update([person(), person()], [1, 1], 0.0, camera=CAMERA)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(ValueError, match="restart_s <= forget_s"):
        SmoothingOptions(restart_s=3.0, forget_s=2.0)
    with pytest.raises(ValueError, match="doubt_s must be at least 0 seconds, got -1"):
        SmoothingOptions(doubt_s=-1)
