"""Paths of people over the floor in front of a fixed camera. Level frame, metres.

Paths are sampled on a fine grid of times, so that they do not depend on the frame rate.
"""

from dataclasses import dataclass

import numpy as np

GRID_HZ = 100.0  # at walking speed a path between two grid times is straight to a tenth of a millimetre
NEAREST, FARTHEST = 2.3, 6.0  # metres of the used floor
APART = 0.62  # metres between two pelvises at all times, so that people never intersect
TRIES = 24


@dataclass(frozen=True)
class Way:
    """One person's path on the grid of times [G]."""

    place: np.ndarray  # [G, 2]: x, z of the pelvis
    heading: np.ndarray  # [G] radians, continuous; 0 walks back along the optical axis, to the camera
    speed: np.ndarray  # [G] metres per second
    standing: bool  # never walks


def plan(rng: np.random.Generator, people: int, duration_s: float, half: float) -> list[Way]:
    """Paths of up to `people` people (fewer if no more fit in); the first two cross in front of the camera.

    `half` is half of the picture's width in metres at one metre from the camera.
    """
    times = np.arange(0, duration_s + 1.5 / GRID_HZ, 1 / GRID_HZ)
    for _ in range(TRIES):
        ways = [_stay(times, *first)] if (first := _stands_behind(rng, half)) else []
        pair = _crossing(rng, times, half, ways)
        if _clear(pair):
            break
    ways = pair if _clear(pair) else pair[:1]
    while len(ways) < people:
        for _ in range(TRIES):
            way = _anything(rng, times, half)
            if _clear([*ways, way]):
                ways.append(way)
                break
        else:
            break
    return ways


def _stands_behind(rng: np.random.Generator, half: float) -> tuple[np.ndarray, float] | None:
    """In a quarter of the plans one person stands, and the other walks past in front."""
    if rng.random() > 0.25:
        return None
    z = rng.uniform(3.6, 5.4)
    return np.array([rng.uniform(-0.45, 0.45) * half * z, z]), rng.normal(0, 0.7)


def _crossing(rng: np.random.Generator, times: np.ndarray, half: float, behind: list[Way]) -> list[Way]:
    """Two people, of whom the nearer hides the farther at one moment in the middle third."""
    moment = times[-1] * rng.uniform(0.33, 0.67)
    bearing = rng.uniform(-0.4, 0.4) * half
    near = rng.uniform(NEAREST + 0.2, 3.8)
    first_sign = rng.choice((-1, 1))
    if behind:
        bearing = float(behind[0].place[0, 0] / behind[0].place[0, 1])
        near = min(near, float(behind[0].place[0, 1]) - 0.9)
    walkers = [_passing(rng, times, half, near, bearing, moment, first_sign)]
    if not behind:
        # two of three come from the other side, the others overtake
        sign = -first_sign if rng.random() < 0.67 else first_sign
        far = near + rng.uniform(0.8, 1.8)
        walkers.append(_passing(rng, times, half, far, bearing, moment, sign))
    return [*walkers, *behind]


def _passing(
    rng: np.random.Generator, times: np.ndarray, half: float, z: float, bearing: float, moment: float, sign: int
) -> Way:
    """Across the picture, at `bearing` (x / z) at the time `moment`; mostly from beyond one border to beyond the other."""
    speed = _speed(rng)
    drift = rng.normal(0, 0.12)  # metres nearer or farther per metre across
    before, after = speed * moment + 1.0, speed * (times[-1] - moment) + 1.0
    bow = rng.normal(0, 0.25, 2)
    corners = np.array(
        [
            [bearing * z - sign * before, z - drift * before + bow[0]],
            [bearing * z, z],
            [bearing * z + sign * after, z + drift * after + bow[1]],
        ]
    )
    corners[:, 1] = corners[:, 1].clip(NEAREST - 0.3, FARTHEST + 1)
    line, length = _curve(corners)
    middle = length[len(length) // 2]
    return _travel(times, line, length, middle + speed * (times - moment), np.full(len(times), speed))


def _anything(rng: np.random.Generator, times: np.ndarray, half: float) -> Way:
    """A person who stands, walks around or passes."""
    u = rng.random()
    z = rng.uniform(NEAREST + 0.3, FARTHEST)
    if u < 0.30:
        return _stay(times, np.array([rng.uniform(-0.8, 0.8) * half * z, z]), rng.uniform(-np.pi, np.pi))
    if u < 0.50:
        moment, bearing = times[-1] * rng.uniform(0, 1), rng.uniform(-0.6, 0.6) * half
        return _passing(rng, times, half, z, bearing, moment, rng.choice((-1, 1)))
    return _wander(rng, times, half)


def _wander(rng: np.random.Generator, times: np.ndarray, half: float) -> Way:
    """From point to point inside the picture, in curves, with a stop or two."""
    speed = _speed(rng)
    points: list[np.ndarray] = []
    while len(points) < 12:
        z = rng.uniform(NEAREST + 0.2, FARTHEST)
        point = np.array([rng.uniform(-0.85, 0.85) * half * z, z])
        if not points or 1.0 < np.linalg.norm(point - points[-1]) < 4.0:
            points.append(point)
    line, length = _curve(np.array(points))
    pace = np.ones(len(times))
    for _ in range(rng.integers(0, 3)):
        begin, pause = rng.uniform(0, times[-1]), rng.uniform(0.8, 2.5)
        pace[(times > begin) & (times < begin + pause)] = 0
    pace = smooth(pace, 0.2)  # half a second from standing to walking
    travelled = np.concatenate([[0], np.cumsum(0.5 * (pace[1:] + pace[:-1]))]) * speed / GRID_HZ
    pace[travelled > length[-1]] = 0
    return _travel(times, line, length, np.minimum(travelled, length[-1]), pace * speed)


def _stay(times: np.ndarray, place: np.ndarray, heading: float) -> Way:
    still = np.zeros(len(times))
    return Way(np.tile(place, (len(times), 1)), still + heading, still, True)


def _speed(rng: np.random.Generator) -> float:
    """Metres per second: mostly walking, at times running."""
    return float(np.clip(rng.normal(1.25, 0.25), 0.6, 1.9) if rng.random() < 0.88 else rng.uniform(2.0, 2.8))


def _travel(times: np.ndarray, line: np.ndarray, length: np.ndarray, travelled: np.ndarray, speed: np.ndarray) -> Way:
    """Along a curve [N, 2] with arc lengths [N]: at times [G] after the distance `travelled` [G]."""
    place = np.stack([np.interp(travelled, length, line[:, axis]) for axis in range(2)], axis=1)
    ahead = np.stack([np.interp(travelled + 0.05, length, line[:, axis]) for axis in range(2)], axis=1)
    back = np.stack([np.interp(travelled - 0.05, length, line[:, axis]) for axis in range(2)], axis=1)
    way = ahead - back
    heading = np.unwrap(np.arctan2(way[:, 0], -way[:, 1]))
    return Way(
        np.stack([smooth(place[:, axis], 0.08) for axis in range(2)], axis=1), smooth(heading, 0.15), speed, False
    )


def _curve(corners: np.ndarray, steps: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """A smooth curve (Catmull and Rom's) through corners [C, 2]: points [N, 2] and their arc lengths [N]."""
    padded = np.concatenate([2 * corners[:1] - corners[1:2], corners, 2 * corners[-1:] - corners[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    line = np.concatenate([*pieces, corners[-1:]])
    return line, np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])


def smooth(values: np.ndarray, sigma_s: float) -> np.ndarray:
    """A Gaussian mean over the grid [G]; the curve continues straight beyond its ends."""
    radius = round(3 * sigma_s * GRID_HZ)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / (sigma_s * GRID_HZ)) ** 2)
    steps = np.arange(1, radius + 1)
    before = values[0] - (values[1] - values[0]) * steps[::-1]
    after = values[-1] + (values[-1] - values[-2]) * steps
    return np.convolve(np.concatenate([before, values, after]), kernel / kernel.sum(), mode="valid")


def _clear(ways: list[Way]) -> bool:
    """Whether all people keep their distance."""
    return all(
        np.linalg.norm(a.place - b.place, axis=1).min() > APART for i, a in enumerate(ways) for b in ways[i + 1 :]
    )
