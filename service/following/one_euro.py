"""The One-Euro filter: a low-pass filter whose cutoff rises with speed, so slow motion is smoothed and fast motion followed.

After Casiez, Roussel and Vogel, "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive
Systems", CHI 2012 (doi:10.1145/2207676.2208639), algorithm 1. Filters N items at once (leading axis), with irregular time
steps; for rotations, every difference is the relative rotation.
"""

import math
from dataclasses import dataclass

import numpy as np

from bodykit.rotations import axis_angle_to_matrix, matrix_to_axis_angle


@dataclass(frozen=True)
class OneEuro:
    """Parameters for one kind of quantity with the unit u (metres or radians)."""

    min_cutoff_hz: float  # cutoff frequency at rest: lower means less jitter and more lag
    beta: float  # Hz per (u/s), how much the cutoff rises with speed: higher means less lag in motion
    speed_cutoff_hz: float = 1.0  # cutoff frequency of the speed itself; the paper's value

    def __post_init__(self) -> None:
        for name in ("min_cutoff_hz", "speed_cutoff_hz"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be a finite frequency above 0 Hz, got {getattr(self, name)}")
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise ValueError(f"beta must be finite and at least 0, got {self.beta}")


def weight(cutoff_hz: np.ndarray | float, step_s: np.ndarray) -> np.ndarray:
    """The weight of the new value in an exponential mean with this cutoff frequency, after `step_s` seconds."""
    return 1 / (1 + 1 / (2 * math.pi * np.asarray(cutoff_hz) * step_s))


def filter_vectors(
    value: np.ndarray, last: np.ndarray, last_speed: np.ndarray, step_s: np.ndarray, options: OneEuro,
    unit: np.ndarray | float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Filters new values [N, D] after steps [N] in seconds. Returns (filtered value, filtered speed), both [N, D].

    All D components share one cutoff, from the norm of their velocity, so a filtered point moves straight towards the new
    one. `unit` [N] converts the unit of the values to the unit u of the options.
    """
    step = step_s[:, None]
    speed = last_speed + weight(options.speed_cutoff_hz, step) * ((value - last) / step - last_speed)
    fast = np.linalg.norm(speed, axis=1) * unit
    share = weight(options.min_cutoff_hz + options.beta * fast, step_s)[:, None]
    return last + share * (value - last), speed


def filter_rotations(
    value: np.ndarray, last: np.ndarray, last_speed: np.ndarray, step_s: np.ndarray, options: OneEuro
) -> tuple[np.ndarray, np.ndarray]:
    """The same for rotation matrices [N, J, 3, 3], each filtered separately; speeds are [N, J, 3] in radians per second.

    The filtered rotation lies on the shortest path from the last one to the new one, so it is again a rotation.
    """
    step = step_s[:, None, None]
    turn = matrix_to_axis_angle(np.swapaxes(last, -1, -2) @ value)  # [N, J, 3]
    speed = last_speed + weight(options.speed_cutoff_hz, step) * (turn / step - last_speed)
    fast = np.linalg.norm(speed, axis=-1)
    share = weight(options.min_cutoff_hz + options.beta * fast, step_s[:, None])[..., None]
    filtered = last @ axis_angle_to_matrix(share * turn)
    # One Newton step towards the nearest rotation: the products of thousands of frames would drift.
    return 1.5 * filtered - 0.5 * filtered @ np.swapaxes(filtered, -1, -2) @ filtered, speed
