"""People of one picture, true or predicted, as the public evaluations see them."""

from dataclasses import dataclass

import numpy as np

from bodykit.errors import UserError

LABELS = ("gender", "age", "ethnicity")  # "" where nothing is known
ABOUT = np.dtype(
    [
        ("distance", "f8"),  # of the pelvis along z, metres; NaN unknown, as all numbers here
        ("height", "f8"),  # of the box in the picture, share of the picture's longer side
        ("occlusion", "f8"),  # percent
        *((name, "U32") for name in ("kid", *LABELS)),  # kid: "adult", "child"
    ]
)


def nothing_about(count: int) -> np.ndarray:
    """ABOUT records [count] without any known value."""
    about = np.zeros(count, ABOUT)
    about["distance"] = about["height"] = about["occlusion"] = np.nan
    return about


@dataclass(frozen=True, eq=False)
class People:
    """P people of one picture; camera frame, metres, pixels of the picture that the true joints are given in.

    Raises UserError for arrays of other shapes, or with a value that is not finite.
    """

    joints_2d: np.ndarray  # [P, J, 2]
    joints_3d: np.ndarray  # [P, J, 3]
    vertices: np.ndarray  # [P, V, 3]
    posed: np.ndarray | None = None  # bool[P], all when None; joints_3d and vertices of the others have no meaning
    about: np.ndarray | None = None  # ABOUT[P], of true people

    def __post_init__(self) -> None:
        for name, width in (("joints_2d", 2), ("joints_3d", 3), ("vertices", 3)):
            values = getattr(self, name)
            if values.ndim != 3 or values.shape[2] != width or len(values) != len(self.joints_2d):
                raise UserError(f"{name} must have shape [{len(self.joints_2d)}, N, {width}], got {list(values.shape)}")
            if not np.isfinite(values).all():
                raise UserError(f"{name} must be finite, {int((~np.isfinite(values)).any(axis=(1, 2)).sum())} are not")

    def __len__(self) -> int:
        return len(self.joints_2d)

    def is_posed(self, person: int) -> bool:
        return self.posed is None or bool(self.posed[person])
