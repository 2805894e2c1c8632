"""Removes jitter from tracked people. Knows no protocol.

A network that sees one picture at a time gives slightly different results for each. Position and rotations pass through a
One-Euro filter, which adds no frame of delay; the shape is the mean of all frames so far. Joints, their pixels, axis-angles
and stature are recomputed from the smoothed parameters, so they stay consistent.

    smoother = Smoother(body)
    people = smoother.update(recovery.people, ids, time_s, camera=recovery.camera.intrinsics)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bodykit.body import Body
from bodykit.camera import Intrinsics
from service.errors import InvalidParameter
from service.following.one_euro import OneEuro, filter_rotations, filter_vectors
from service.people import posed_fields
from service.results import Person

TURNED_ROUND = math.cos(math.radians(100))


@dataclass(frozen=True)
class SmoothingOptions:
    """The defaults were tuned on the validation sequences of docs/tracking.md; `OneEuro` explains the parameters.

    Sideways is across the ray from the camera, where errors are a few pixels; depth is along it.
    """

    sideways: OneEuro = field(default=OneEuro(min_cutoff_hz=2.0, beta=2.0))  # metres
    depth: OneEuro = field(default=OneEuro(min_cutoff_hz=0.5, beta=0.15))  # metres
    orientation: OneEuro = field(default=OneEuro(min_cutoff_hz=1.0, beta=0.3))  # radians, joint 0
    joints: OneEuro = field(default=OneEuro(min_cutoff_hz=1.5, beta=0.7))  # radians, joints 1 to 23
    doubt_s: float = 0.12  # how long a body that flipped from one frame to the next is ignored
    restart_s: float = 0.5  # a person unseen for longer restarts, but keeps their shape
    forget_s: float = 2.0  # a person unseen for longer is forgotten; at least the tracker's `coast_s`

    def __post_init__(self) -> None:
        if not 0 < self.restart_s <= self.forget_s < math.inf:
            raise ValueError(
                f"expected 0 < restart_s <= forget_s, finite seconds, got {self.restart_s} and {self.forget_s}"
            )
        if not 0 <= self.doubt_s < math.inf:
            raise ValueError(f"doubt_s must be at least 0 seconds, got {self.doubt_s}")


@dataclass
class _State:
    """The filter state of one track. A place is (x / z, y / z, ln z), as in the tracker."""

    seen_s: float
    place: np.ndarray  # [3]
    place_speed: np.ndarray  # [3]
    rotations: np.ndarray  # [24, 3, 3] float64
    rotation_speed: np.ndarray  # [24, 3]
    betas: np.ndarray  # [10] mean
    frames: int
    doubted_s: float | None = None  # when the body was first seen flipped

    @classmethod
    def begin(cls, person: Person, time_s: float) -> "_State":
        still, rotations = np.zeros(3), person.rotations.astype(np.float64)
        betas = person.betas.astype(np.float64)
        return cls(time_s, _place(person), still, rotations, np.zeros((len(rotations), 3)), betas, 1)

    def restart(self, person: Person) -> None:
        """Take place and pose as observed; the known ones are too old."""
        self.place, self.place_speed = _place(person), np.zeros(3)
        self.restart_pose(person)

    def restart_pose(self, person: Person) -> None:
        self.rotations = person.rotations.astype(np.float64)
        self.rotation_speed = np.zeros((len(self.rotations), 3))
        self.doubted_s = None

    def accept(self, person: Person, time_s: float, doubt_s: float) -> np.ndarray:
        """The rotations to use as observed, [24, 3, 3]. A flipped body is accepted once it stays flipped.

        No person turns by 100 degrees from one frame to the next. The shipped network confuses front and back in 3.5 % of the
        frames; 88 % of these episodes last at most three frames at 25 frames per second.
        """
        cosine = (np.trace(self.rotations[0].T @ person.rotations[0]) - 1) / 2
        if cosine > TURNED_ROUND:
            self.doubted_s = None
            return person.rotations
        if self.doubted_s is None:
            self.doubted_s = time_s
        if time_s - self.doubted_s < doubt_s:
            return self.rotations
        self.restart_pose(person)
        return person.rotations


class Smoother:
    """The filters of all tracks in one stream."""

    def __init__(self, body: Body, options: SmoothingOptions | None = None) -> None:
        self.body = body
        self.options = options or SmoothingOptions()
        self._states: dict[int, _State] = {}
        self._time_s = -math.inf

    @property
    def known(self) -> frozenset[int]:
        """Ids of the tracks with a filter state."""
        return frozenset(self._states)

    def update(
        self, people: Sequence[Person], ids: Sequence[int | None], time_s: float, *, camera: Intrinsics
    ) -> tuple[Person, ...]:
        """The smoothed people of a frame, in order, given the tracker's ids.

        People without an id are returned unchanged, and boxes are those of the frame. Times must increase, as for the tracker:
        raises InvalidParameter otherwise, and changes nothing.
        """
        if len(ids) != len(people):
            raise ValueError(f"expected one id per person, got {len(ids)} ids for {len(people)} people")
        known = [track for track in ids if track is not None]
        if len(set(known)) < len(known):
            raise ValueError(f"expected every id once, got {list(ids)}")
        if not time_s > self._time_s or not math.isfinite(time_s):
            raise InvalidParameter.named(
                "capture_time",
                f"expected a time after that of the previous frame, {self._time_s:g} s, got {time_s:g} s",
            )
        self._time_s = time_s
        self._states = {
            track: state for track, state in self._states.items() if time_s - state.seen_s <= self.options.forget_s
        }
        tracked = [index for index, track in enumerate(ids) if track is not None]
        if not tracked:
            return tuple(people)
        chosen = [people[index] for index in tracked]
        self._update_states(chosen, known, time_s)
        states = [self._states[track] for track in known]
        places = np.stack([state.place for state in states])
        depth = np.exp(places[:, 2:])
        smooth = repose(
            chosen,
            rotations=np.stack([state.rotations for state in states]),
            betas=np.stack([state.betas for state in states]),
            translation=np.concatenate([places[:, :2] * depth, depth], axis=1),
            body=self.body,
            camera=camera,
        )
        result = list(people)
        for index, person in zip(tracked, smooth, strict=True):
            result[index] = person
        return tuple(result)

    def _update_states(self, people: Sequence[Person], ids: Sequence[int], time_s: float) -> None:
        """Update the states of the tracks with the observed people."""
        continued: list[tuple[_State, Person]] = []
        for person, track in zip(people, ids, strict=True):
            state = self._states.get(track)
            if state is None:
                self._states[track] = _State.begin(person, time_s)
                continue
            state.frames += 1
            state.betas = state.betas + (person.betas - state.betas) / state.frames
            if time_s - state.seen_s <= self.options.restart_s:
                continued.append((state, person))
                continue
            state.restart(person)
            state.seen_s = time_s
        if not continued:
            return
        states, seen = [state for state, _ in continued], [person for _, person in continued]
        steps = np.array([time_s - state.seen_s for state in states])
        place, speed = self._filter_places(states, np.stack([_place(person) for person in seen]), steps)
        accepted = [state.accept(person, time_s, self.options.doubt_s) for state, person in continued]
        rotations, turning = self._filter_rotations(states, np.stack(accepted), steps)
        for i, state in enumerate(states):
            state.place, state.place_speed = place[i], speed[i]
            state.rotations, state.rotation_speed = rotations[i], turning[i]
            state.seen_s = time_s

    def _filter_places(
        self, states: Sequence[_State], place: np.ndarray, steps: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        last = np.stack([state.place for state in states])
        speed = np.stack([state.place_speed for state in states])
        metres = np.exp(last[:, 2])  # one unit of x / z, y / z or ln z at that distance
        parts = [
            filter_vectors(place[:, axes], last[:, axes], speed[:, axes], steps, options, metres)
            for axes, options in ((slice(0, 2), self.options.sideways), (slice(2, 3), self.options.depth))
        ]
        return np.concatenate([part[0] for part in parts], axis=1), np.concatenate([part[1] for part in parts], axis=1)

    def _filter_rotations(
        self, states: Sequence[_State], rotations: np.ndarray, steps: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        last = np.stack([state.rotations for state in states])
        speed = np.stack([state.rotation_speed for state in states])
        parts = [
            filter_rotations(rotations[:, joints], last[:, joints], speed[:, joints], steps, options)
            for joints, options in ((slice(0, 1), self.options.orientation), (slice(1, None), self.options.joints))
        ]
        return np.concatenate([part[0] for part in parts], axis=1), np.concatenate([part[1] for part in parts], axis=1)


def repose(
    people: Sequence[Person],
    *,
    rotations: np.ndarray,
    betas: np.ndarray,
    translation: np.ndarray,
    body: Body,
    camera: Intrinsics,
) -> tuple[Person, ...]:
    """The same people with new parameters [P, ...] and the joints, pixels and stature that follow from them.

    Vertices are not part of a person: compute them with `people.posed_vertices`.
    """
    rotations, betas, translation = (
        np.ascontiguousarray(values, np.float32) for values in (rotations, betas, translation)
    )
    posed = posed_fields(body, camera, rotations=rotations, betas=betas, translation=translation)
    return tuple(replace(person, **fields) for person, fields in zip(people, posed, strict=True))


def _place(person: Person) -> np.ndarray:
    x, y, z = person.translation.astype(np.float64)
    return np.array([x / z, y / z, math.log(z)])
