"""Gives the people in successive frames of a video stream stable ids. Knows no protocol.

A track holds a person's position, velocity, pose and shape. In every frame each track predicts its position, and people are
assigned to tracks by the lowest total cost.

    tracker = Tracker()
    for recovery, time_s in frames:
        ids = tracker.update(recovery.people, time_s)  # one id per person, in their order
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from service.errors import InvalidParameter
from service.following.association import assign
from service.results import Person


@dataclass(frozen=True)
class TrackingOptions:
    """The defaults were tuned on the validation sequences of docs/tracking.md.

    Sideways is across the ray from the camera through the person, depth along it: errors in depth are several times larger
    and proportional to the distance.
    """

    coast_s: float = 1.5  # how long a track survives unseen
    confirm_hits: int = 2  # consecutive frames before a person gets an id
    sideways_noise: float = 0.016  # metres per metre of distance: standard deviation of one frame's error
    depth_noise: float = 0.14  # the same along the ray
    agility: float = 1.5  # m/s in one second: how much walking people change their velocity
    start_speed: float = 1.3  # m/s, standard deviation of the velocity of a new track
    reach_m: float = 0.8  # a person farther than this from the predicted position is never matched,
    reach_m_per_s: float = 1.5  # plus this per second unseen,
    reach_depth: float = 0.6  # plus, along the ray, this share of the distance
    pose_m: float = 0.2  # mean distance of joints, pelvis at the origin, that counts as one standard deviation
    pose_most: float = 9.0  # the largest cost of a pose: the network sometimes confuses front and back
    shape: float = 1.5  # root mean square distance of betas that counts as one standard deviation
    limit: float = 40.0  # a pair with a higher cost (squared standard deviations) starts a new track instead

    def __post_init__(self) -> None:
        if self.confirm_hits < 1:
            raise ValueError(f"confirm_hits must be at least 1, got {self.confirm_hits}")
        for name in (field.name for field in fields(self)):
            value, may_be_0 = getattr(self, name), name.startswith(("coast", "reach"))
            if not math.isfinite(value) or value < 0 or (value == 0 and not may_be_0):
                raise ValueError(f"{name} must be finite and {'at least' if may_be_0 else 'above'} 0, got {value}")


class Tracker:
    """Tracks the people of one stream. Ids start at 1 and are never reused."""

    def __init__(self, options: TrackingOptions | None = None) -> None:
        self.options = options or TrackingOptions()
        self._tracks = _Tracks.none()
        self._time_s = -math.inf
        self._last_id = 0

    @property
    def alive(self) -> frozenset[int]:
        """Ids that may still appear: people in the last frame, and people unseen for less than `coast_s`."""
        return frozenset(self._tracks.id[self._tracks.id > 0].tolist())

    def update(self, people: Sequence[Person], time_s: float) -> tuple[int | None, ...]:
        """The id of each person in a frame, in order; None for a person who is not yet confirmed.

        `time_s` is when the frame was taken, in seconds from any origin. Frames may be irregular or missing, but times must
        increase: raises InvalidParameter otherwise, and changes nothing.
        """
        self._check_time(time_s)
        options, tracks = self.options, self._tracks
        tracks = tracks.keep(time_s - tracks.seen_s <= options.coast_s)
        if math.isfinite(self._time_s):
            tracks.advance(time_s - self._time_s, options)
        seen = _Seen.of(people)
        rows, columns = assign(_cost(tracks, seen, time_s, options), options.limit)
        tracks.correct(rows, seen, columns, time_s, options)
        # an unconfirmed track ends when it misses a frame
        missed = np.setdiff1d(np.arange(len(tracks.id)), rows)
        keep = np.ones(len(tracks.id), bool)
        keep[missed[tracks.id[missed] == 0]] = False
        newcomers = np.setdiff1d(np.arange(len(people)), columns)
        row_of_person = np.full(len(people), -1)
        row_of_person[columns] = (np.cumsum(keep) - 1)[rows]
        row_of_person[newcomers] = keep.sum() + np.arange(len(newcomers))
        tracks = tracks.keep(keep).join(_Tracks.begin(seen, newcomers, time_s, options))
        for row in row_of_person:  # near to far, so nearer people get lower ids
            if tracks.id[row] == 0 and tracks.hits[row] >= options.confirm_hits:
                self._last_id += 1
                tracks.id[row] = self._last_id
        self._tracks, self._time_s = tracks, time_s
        return tuple(int(tracks.id[row]) or None for row in row_of_person)

    def _check_time(self, time_s: float) -> None:
        if not math.isfinite(time_s):
            raise InvalidParameter.named("capture_time", f"expected a finite number of seconds, got {time_s}")
        if time_s <= self._time_s:
            raise InvalidParameter.named(
                "capture_time",
                f"expected a time after that of the previous frame, {self._time_s:g} s, got {time_s:g} s",
            )


@dataclass(frozen=True)
class _Seen:
    """The N people of one frame as arrays. A place is (x / z, y / z, ln z), where the errors are independent."""

    place: np.ndarray  # [N, 3]
    pose: np.ndarray  # [N, 24, 3] joints, pelvis at the origin, metres
    betas: np.ndarray  # [N, 10]

    @classmethod
    def of(cls, people: Sequence[Person]) -> "_Seen":
        if not people:
            return cls(np.zeros((0, 3)), np.zeros((0, 24, 3), np.float32), np.zeros((0, 10)))
        pelvis = np.array([person.translation for person in people], np.float64)
        joints = np.array([person.joints_3d for person in people])
        place = np.concatenate([pelvis[:, :2] / pelvis[:, 2:], np.log(pelvis[:, 2:])], axis=1)
        return cls(place, joints - joints[:, :1], np.array([person.betas for person in people], np.float64))


@dataclass
class _Tracks:
    """N tracks as arrays. Each axis of a place has its own Kalman filter of position and velocity."""

    id: np.ndarray  # [N] 0 while not confirmed
    hits: np.ndarray  # [N] frames in which the person was seen
    seen_s: np.ndarray  # [N] time of the last of them
    place: np.ndarray  # [N, 3] as in `_Seen`
    velocity: np.ndarray  # [N, 3] per second
    covariance: (
        np.ndarray
    )  # [N, 3, 3]: per axis the variance of the place, the covariance, the variance of the velocity
    pose: np.ndarray  # [N, 24, 3] as last seen
    betas: np.ndarray  # [N, 10] mean of all frames

    @classmethod
    def none(cls) -> "_Tracks":
        return cls.begin(_Seen.of(()), np.zeros(0, int), 0.0, TrackingOptions())

    @classmethod
    def begin(cls, seen: _Seen, which: np.ndarray, time_s: float, options: TrackingOptions) -> "_Tracks":
        """A track for each of the people `which`."""
        count = len(which)
        place = seen.place[which]
        covariance = np.zeros((count, 3, 3))
        covariance[:, :, 0] = _noise(options)
        covariance[:, :, 2] = (options.start_speed / np.exp(place[:, 2:])) ** 2
        return cls(
            np.zeros(count, int), np.ones(count, int), np.full(count, time_s), place, np.zeros((count, 3)), covariance,
            seen.pose[which], seen.betas[which],
        )  # fmt: skip

    def keep(self, mask: np.ndarray) -> "_Tracks":
        return _Tracks(**{name: values[mask] for name, values in vars(self).items()})

    def join(self, other: "_Tracks") -> "_Tracks":
        return _Tracks(**{name: np.concatenate([values, getattr(other, name)]) for name, values in vars(self).items()})

    def advance(self, step_s: float, options: TrackingOptions) -> None:
        """Predict all places `step_s` seconds later."""
        c = self.covariance
        push = (options.agility / np.exp(self.place[:, 2:])) ** 2  # [N, 1] white acceleration, angle and log depth
        c[..., 0] += step_s * (2 * c[..., 1] + step_s * c[..., 2]) + push * step_s**3 / 3
        c[..., 1] += step_s * c[..., 2] + push * step_s**2 / 2
        c[..., 2] += push * step_s
        self.place = self.place + self.velocity * step_s

    def correct(
        self, rows: np.ndarray, seen: _Seen, columns: np.ndarray, time_s: float, options: TrackingOptions
    ) -> None:
        """Update the tracks `rows` with the people `columns`."""
        c = self.covariance[rows]
        total = c[..., 0] + _noise(options)
        gain_place, gain_velocity = c[..., 0] / total, c[..., 1] / total
        surprise = seen.place[columns] - self.place[rows]
        self.place[rows] += gain_place * surprise
        self.velocity[rows] += gain_velocity * surprise
        self.covariance[rows] = np.stack(
            [c[..., 0] * (1 - gain_place), c[..., 1] * (1 - gain_place), c[..., 2] - gain_velocity * c[..., 1]], axis=-1
        )
        self.pose[rows] = seen.pose[columns]
        self.hits[rows] += 1
        self.betas[rows] += (seen.betas[columns] - self.betas[rows]) / self.hits[rows, None]
        self.seen_s[rows] = time_s


def _noise(options: TrackingOptions) -> np.ndarray:
    """Variance of one frame's error on the axes of a place, [3]. For angles and log depth it is independent of distance."""
    return np.array([options.sideways_noise, options.sideways_noise, options.depth_noise]) ** 2


def _cost(tracks: _Tracks, seen: _Seen, time_s: float, options: TrackingOptions) -> np.ndarray:
    """The cost of matching each track [N] with each person [M]: squared standard deviations, `inf` beyond reach."""
    noise = _noise(options)
    variance = tracks.covariance[..., 0] + noise  # [N, 3]
    off = seen.place[None] - tracks.place[:, None]  # [N, M, 3]
    cost = (off**2 / variance[:, None]).sum(axis=2)
    # The normalisation of the likelihood: without it, a track unseen for long has a large variance and fits anyone.
    cost += np.log(variance / (2 * noise)).sum(axis=1)[:, None]
    pose = np.linalg.norm(seen.pose[None] - tracks.pose[:, None], axis=3).mean(axis=2)
    cost += np.minimum((pose / options.pose_m) ** 2, options.pose_most)
    shape = np.sqrt(((seen.betas[None] - tracks.betas[:, None]) ** 2).mean(axis=2))
    cost += (shape / options.shape) ** 2
    distance = np.exp(tracks.place[:, 2:])  # [N, 1] metres
    reach = options.reach_m + options.reach_m_per_s * (time_s - tracks.seen_s)[:, None]
    sideways = np.hypot(off[..., 0], off[..., 1]) * distance
    along = np.abs(np.expm1(off[..., 2])) * distance
    cost[(sideways > reach) | (along > reach + options.reach_depth * distance)] = np.inf
    return cost
