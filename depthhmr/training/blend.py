"""Weights half-way between a network and the one it was trained on from.

What a fine-tuned network has learned of the new pictures and what it has lost of the old ones lie on one straight line in
its weights, and part of the way keeps more than that part of both (Wortsman et al. 2022, "Robust fine-tuning", sec. 3).
"""

import copy

from bodykit.errors import UserError
from depthhmr.network.model import DepthHMR


def blend(first: DepthHMR, second: DepthHMR, share: float) -> DepthHMR:
    """A network whose weights are (1 - share) of the first's and `share` of the second's; statistics of norms, too.

    Raises UserError when share is not within 0 and 1, or the networks have other parts.
    """
    if not 0 <= share <= 1:
        raise UserError(f"expected a share from 0 to 1, got {share:g}")
    old, new = first.state_dict(), second.state_dict()
    apart = [name for name in new if name not in old or old[name].shape != new[name].shape]
    if apart or len(old) != len(new):
        raise UserError(f"expected two networks of the same parts to blend, {len(apart)} tensors differ: {apart[:3]}")
    blended = copy.deepcopy(second)
    blended.load_state_dict({
        name: old[name].lerp(value, share) if value.is_floating_point() else value for name, value in new.items()
    })  # fmt: skip
    return blended
