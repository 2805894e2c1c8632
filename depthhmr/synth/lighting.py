"""One sun or lamp, light from above and light from below."""

import numpy as np

LIGHT = np.dtype([("toward", "f4", 3), ("sun", "f4", 3), ("sky", "f4", 3), ("ground", "f4", 3), ("up", "f4", 3)])


def sample_light(rng: np.random.Generator, tilt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The light in the camera frame, and the direction towards the sun in the level frame (y down) for shadows."""
    light = np.zeros((), LIGHT)
    elevation, azimuth = np.radians(rng.uniform(20, 80)), rng.uniform(-np.pi, np.pi)
    toward = np.array([np.cos(elevation) * np.sin(azimuth), -np.sin(elevation), -np.cos(elevation) * np.cos(azimuth)])
    power = rng.uniform(0.1, 0.95)
    warmth = rng.normal(0, 0.05)
    light["toward"] = tilt @ toward
    light["sun"] = power * np.array([1 + warmth, 1, 1 - warmth])
    light["sky"] = rng.uniform(0.45, 0.9) * (1 - 0.35 * power) * np.array([1 - warmth, 1, 1 + warmth])
    light["ground"] = light["sky"] * rng.uniform(0.25, 0.7)
    light["up"] = tilt @ np.array([0, -1.0, 0])
    return light, toward
