"""What a table says of several rounds: medians, and how sure they are."""

from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000


def median_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float, float]:
    """Median of some rounds, and the ends of its bootstrap interval (percentile method, fixed seed)."""
    if not values:
        raise ValueError("expected at least one round, got none")
    rounds = np.asarray(values, float)
    chosen = np.random.default_rng(0).integers(0, len(rounds), (RESAMPLES, len(rounds)))
    low, high = np.quantile(np.median(rounds[chosen], axis=1), ((1 - level) / 2, (1 + level) / 2))
    return float(np.median(rounds)), float(low), float(high)


def ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Round by round: what the machine does beside hits both of a round alike."""
    return [value / other for value, other in zip(values, base, strict=True)]
