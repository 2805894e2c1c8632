"""The truth of a sequence with the errors of a network: jitter, drift, bias, reversed people, misses and ghosts.

The numbers were measured on the shipped network over the validation sequences (docs/tracking.md). The outputs follow the
tensor contract, so that trackers and smoothers can be tested on errors of known kind and size, without a network.
"""

from dataclasses import dataclass
from math import exp, sqrt
from statistics import NormalDist

import numpy as np

from bodykit.rotations import axis_angle_to_matrix
from depthhmr.synth.scene import Sample

# median error of each joint's rotation, degrees; largest at elbows, shoulders and thighs
JOINT_ERROR = np.array([0, 12, 12, 3, 9, 6, 3, 7, 6, 4, 3, 3, 4, 3, 3, 4, 29, 31, 16, 20, 4, 5, 0, 0])
MEDIAN_LENGTH = 1.54  # of a vector of three standard normal numbers
SEEN = (0.0, 0.05, 0.2, 0.45, 0.75, 0.97, 1.0)  # visible share of a person
MISSED = (1.0, 0.99, 0.88, 0.62, 0.34, 0.02, 0.01)  # and the probability of a miss there
TURNED = np.diag([-1.0, 1.0, -1.0]).astype(np.float32)  # half a turn about the body's length


@dataclass(frozen=True)
class Noise:
    """Standard deviations. Jitter changes in every frame, drift within `drift_s`, bias belongs to a person.

    Sideways is radians of the ray, depth is a share of the distance, rotations are radians about each axis.
    """

    sideways_jitter: float = 0.0015
    sideways_drift: float = 0.0035
    sideways_bias: float = 0.003
    depth_jitter: float = 0.015
    depth_drift: float = 0.033
    depth_bias: float = 0.07
    orientation_jitter: float = 0.033
    orientation_drift: float = 0.07
    orientation_bias: float = 0.10
    joint_jitter: float = 0.06  # share of the joint's own error
    joint_drift: float = 0.15
    joint_bias: float = 0.7  # errors along a limb partly cancel in the network, not here
    drift_s: float = 0.4  # time constant of the drift
    outliers: float = 0.02  # share of frames with an error of place this many times the drift:
    outlier_size: float = 5.0
    turned: float = 0.035  # share of frames in which a person is reversed
    turned_s: float = 0.05  # typical duration of a reversal
    ghosts: float = 0.011  # mean number of ghosts per frame
    spell_s: float = 0.2  # typical duration of misses and ghosts


class NoisyNetwork:
    """Reports the people of one sequence, frame after frame."""

    def __init__(self, seed: int, people: int, noise: Noise | None = None) -> None:
        self.noise = noise or Noise()
        self._rng = np.random.Generator(np.random.PCG64([0xE1E, seed]))
        self._time_s: float | None = None
        self._drift = self._rng.standard_normal((people, 3 + 72))
        self._bias = self._rng.standard_normal((people, 3 + 72))
        self._spells = self._rng.standard_normal((people, 2))  # misses, reversals
        self._ghosts: list[tuple[float, int, np.ndarray]] = []  # end time, person, offset
        self._spread = JOINT_ERROR / MEDIAN_LENGTH * np.pi / 180  # [24] radians about each axis

    def look(self, sample: Sample, time_s: float) -> dict[str, np.ndarray]:
        """The tensors of one picture, without batch axis; one query per report."""
        rng, noise, people = self._rng, self.noise, sample.people
        step = 0.0 if self._time_s is None else time_s - self._time_s
        self._time_s = time_s
        self._drift = self._age(self._drift, step, noise.drift_s)
        self._spells[:, 0] = self._age(self._spells[:, 0], step, noise.spell_s)
        self._spells[:, 1] = self._age(self._spells[:, 1], step, noise.turned_s)
        jitter = rng.standard_normal((people, 3 + 72))
        far_out = np.where(rng.random((people, 1)) < noise.outliers, noise.outlier_size, 1.0)
        place = self._places(sample, jitter, far_out)
        rotations = self._rotations(sample, jitter)

        rows, offset = self._reports(sample, step)
        place = place[rows] + offset
        depth = np.exp(place[:, 2:])
        moved = np.tile(offset[:, :2] * sample.intrinsics[:2], 2) + rng.normal(0, 1.0, (len(rows), 4))
        return {
            "scores": np.full(len(rows), 0.9, np.float32),
            "rotations": rotations[rows],
            "betas": np.zeros((len(rows), 10), np.float32),  # the network predicts nearly the same shape for all
            "translation": np.concatenate([place[:, :2] * depth, depth], axis=1).astype(np.float32),
            "boxes": sample.boxes[rows] + moved.astype(np.float32),
        }

    def _places(self, sample: Sample, jitter: np.ndarray, far_out: np.ndarray) -> np.ndarray:
        """Rays x / z, y / z and log depths of the pelvises [P, 3], with errors."""
        noise, translation = self.noise, sample.translation
        place = np.concatenate(
            [translation[:, :2] / translation[:, 2:], np.log(np.maximum(translation[:, 2:], 0.3))], axis=1
        )
        scale = np.array([1, 1, 0])
        place += jitter[:, :3] * (noise.sideways_jitter * scale + noise.depth_jitter * (1 - scale))
        place += far_out * self._drift[:, :3] * (noise.sideways_drift * scale + noise.depth_drift * (1 - scale))
        place += self._bias[:, :3] * (noise.sideways_bias * scale + noise.depth_bias * (1 - scale))
        return place

    def _rotations(self, sample: Sample, jitter: np.ndarray) -> np.ndarray:
        """Rotations [P, 24, 3, 3] with errors; some people are reversed."""
        noise = self.noise
        parts = [part[:, 3:].reshape(sample.people, 24, 3) for part in (jitter, self._drift, self._bias)]
        shares = np.array([noise.joint_jitter, noise.joint_drift, noise.joint_bias])
        turns = sum(share * part for share, part in zip(shares, parts, strict=True)) * self._spread[:, None]
        turns[:, 0] = (
            noise.orientation_jitter * parts[0][:, 0]
            + noise.orientation_drift * parts[1][:, 0]
            + noise.orientation_bias * parts[2][:, 0]
        )
        rotations = sample.rotations @ axis_angle_to_matrix(turns.astype(np.float32))
        turned = self._spells[:, 1] < NormalDist().inv_cdf(noise.turned)
        rotations[turned, 0] = rotations[turned, 0] @ TURNED
        return rotations

    def _reports(self, sample: Sample, step_s: float) -> tuple[np.ndarray, np.ndarray]:
        """The person of each report, int [N], and its offset from them [N, 3], which is 0 for all but ghosts."""
        chance = np.interp(sample.visible, SEEN, MISSED).clip(1e-6, 1 - 1e-6)
        reported = self._spells[:, 0] > np.array([NormalDist().inv_cdf(float(p)) for p in chance])
        reported &= (sample.visible > 0) & (sample.translation[:, 2] > 0.5)
        rows, offsets = [*np.flatnonzero(reported)], [np.zeros(3)] * int(reported.sum())
        for row, offset in self._haunt(sample, step_s):
            rows.append(row)
            offsets.append(offset)
        return np.array(rows, int), np.array(offsets).reshape(-1, 3)

    def _age(self, values: np.ndarray, step_s: float, time_s: float) -> np.ndarray:
        """Normal numbers `step_s` later, with an autocorrelation time of `time_s`."""
        kept = exp(-step_s / time_s)
        return kept * values + sqrt(1 - kept * kept) * self._rng.standard_normal(values.shape)

    def _haunt(self, sample: Sample, step_s: float) -> list[tuple[int, np.ndarray]]:
        """Ghosts: duplicates beside or behind real people."""
        rng, noise, now = self._rng, self.noise, self._time_s or 0.0
        self._ghosts = [ghost for ghost in self._ghosts if ghost[0] > now]
        seen = np.flatnonzero(sample.visible > 0.3)
        if len(seen) and rng.random() < noise.ghosts * step_s / noise.spell_s:
            ends = now + rng.exponential(noise.spell_s)
            self._ghosts.append((ends, int(rng.choice(seen)), rng.normal(0, (0.12, 0.02, 0.25))))
        return [(row, offset) for _, row, offset in self._ghosts]
