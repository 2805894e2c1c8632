"""Assigns the people of a frame to known tracks, from a cost matrix. Knows nothing of tracks.

Uses the Jonker-Volgenant algorithm of the package `lap`.
"""

import lap
import numpy as np


def assign(cost: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) of the cheapest one-to-one pairs of a cost matrix [N, M]; no pair costs more than `limit`.

    Leaving a row and a column unpaired costs `limit`, so pairs are made where that lowers the total. `np.inf` forbids a
    pair; the caller must not pass NaN.
    """
    assert not np.isnan(cost).any(), "a cost is NaN"
    if not cost.size:
        return np.zeros(0, int), np.zeros(0, int)
    # lap needs finite numbers: a forbidden pair costs more than all pairs together could save
    finite = np.where(np.isfinite(cost), cost, limit * (2 * max(cost.shape) + 1))
    low = min(float(finite.min()), 0.0)  # lap's limit assumes non-negative costs
    _, column_of_row, _ = lap.lapjv(finite - low, extend_cost=True, cost_limit=limit - low)
    rows = np.flatnonzero(column_of_row >= 0)
    columns = column_of_row[rows]
    kept = cost[rows, columns] <= limit
    return rows[kept], columns[kept]
