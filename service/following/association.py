"""Which person of this frame is which known track: costs in, pairs out. Knows nothing of how tracks are kept.

The assignment itself is Jonker and Volgenant's, by the package `lap`.
"""

import lap
import numpy as np


def assign(cost: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) of the cheapest one-to-one pairs of a cost matrix [N, M]; no pair costs more than `limit`.

    Leaving a row and a column without a partner costs `limit` together, so a pair is made where that is cheaper for
    everybody. `np.inf` forbids a pair; NaN is an error of the caller.
    """
    assert not np.isnan(cost).any(), "a cost is NaN"
    if not cost.size:
        return np.zeros(0, int), np.zeros(0, int)
    # lap wants finite numbers: a forbidden pair costs more than all pairs together could save
    finite = np.where(np.isfinite(cost), cost, limit * (2 * max(cost.shape) + 1))
    low = min(float(finite.min()), 0.0)  # and its limit is meant for costs that are not negative
    _, column_of_row, _ = lap.lapjv(finite - low, extend_cost=True, cost_limit=limit - low)
    rows = np.flatnonzero(column_of_row >= 0)
    columns = column_of_row[rows]
    kept = cost[rows, columns] <= limit
    return rows[kept], columns[kept]
