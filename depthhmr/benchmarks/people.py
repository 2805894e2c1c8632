"""People of one picture, true or predicted, as the public evaluations see them."""

from dataclasses import dataclass

import numpy as np

from bodykit.errors import UserError


@dataclass(frozen=True, eq=False)
class People:
    """P people of one picture; camera frame, metres, pixels of the picture that the true joints are given in.

    Raises UserError for arrays of other shapes, or with a value that is not finite: a distance to NaN is none.
    """

    joints_2d: np.ndarray  # [P, J, 2]
    joints_3d: np.ndarray  # [P, J, 3]
    vertices: np.ndarray  # [P, V, 3]

    def __post_init__(self) -> None:
        for name, width in (("joints_2d", 2), ("joints_3d", 3), ("vertices", 3)):
            values = getattr(self, name)
            if values.ndim != 3 or values.shape[2] != width or len(values) != len(self.joints_2d):
                raise UserError(f"{name} must have shape [{len(self.joints_2d)}, N, {width}], got {list(values.shape)}")
            if not np.isfinite(values).all():
                raise UserError(f"{name} must be finite, {int((~np.isfinite(values)).any(axis=(1, 2)).sum())} are not")

    def __len__(self) -> int:
        return len(self.joints_2d)
