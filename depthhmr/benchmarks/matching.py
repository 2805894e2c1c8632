"""The greedy matching of AGORA and Relative Human, with its peculiarities, so that figures can be compared.

It differs from `metrics.match_people`, which scores rendered pictures, in five points:

* a pair is rated by the largest singular value of its differences [J, 2], not by their mean length: numpy's matrix norm
  of order 2 is the spectral one;
* boxes are those of whole pixels: a side is max - min + 1;
* every pair that overlaps too little adds to a counter, whether or not its two sides are taken, and the search ends when
  that counter and the found people together reach the number of predictions: people later in the order stay missed even
  if a prediction fits them;
* a true person who does not count is settled by the first pair that has them;
* a prediction on such a person is false.
"""

import numpy as np

from depthhmr.evaluation.metrics import Matching


def match_greedy(
    predicted: np.ndarray, true: np.ndarray, *, floor: float, counts: np.ndarray, labelled: np.ndarray | None = None
) -> Matching:
    """predicted [N, J, 2], true [M, J, 2] in pixels, all finite; pairs with an IoU below `floor` do not match.

    counts: bool[M], the true people that may be found or missed. labelled: bool[M, J], the joints that rate a pair
    (boxes are around all J); all when None.
    """
    pairs = _rate(predicted, true, labelled)
    overlap = pixel_iou(predicted, true)
    taken, settled = np.zeros(len(predicted), dtype=bool), np.zeros(len(true), dtype=bool)
    found: list[tuple[int, int]] = []
    refused = 0
    for flat in np.argsort(pairs, axis=None, kind="stable"):
        if settled.all() or taken.sum() + refused >= len(predicted):
            break
        n, m = divmod(int(flat), len(true))
        if overlap[n, m] < floor:
            refused += 1
            settled[m] |= not counts[m]
        elif not taken[n] and not settled[m]:
            settled[m] = True
            if counts[m]:
                taken[n] = True
                found.append((n, m))
    matched = np.array(found, dtype=int).reshape(-1, 2)
    missed = np.setdiff1d(np.flatnonzero(counts), matched[:, 1])
    return Matching(matched[:, 0], matched[:, 1], missed, np.flatnonzero(~taken))


def pixel_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of the boxes around joints [N, J, 2], [M, J, 2] -> [N, M], both border pixels counted to a box."""
    low = np.maximum(first.min(axis=1)[:, None], second.min(axis=1)[None])
    high = np.minimum(first.max(axis=1)[:, None], second.max(axis=1)[None])
    shared = np.prod(np.clip(high - low + 1, 0, None), axis=-1)
    area = [np.prod(np.ptp(joints, axis=1) + 1, axis=-1) for joints in (first, second)]
    return shared / (area[0][:, None] + area[1][None] - shared)


def _rate(predicted: np.ndarray, true: np.ndarray, labelled: np.ndarray | None) -> np.ndarray:
    """The spectral norm of the differences of every pair [N, M]."""
    difference = predicted[:, None] - true[None]
    if labelled is not None:
        difference = difference * labelled[None, :, :, None]  # rows of zeros do not change a singular value
    return np.linalg.norm(difference, ord=2, axis=(-2, -1)) if difference.size else np.zeros(difference.shape[:2])
