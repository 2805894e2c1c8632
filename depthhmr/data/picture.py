"""The common form of all readers: a picture, its camera, its people, and what of them is labelled.

Camera frame: x right, y down, z forward, metres. Pixels are those of the picture turned upright, pixel centres at +0.5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bodykit.body import JOINTS
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.picture_files import UNREADABLE, read_picture

NO_LAYER = -1
ORIENTATION = 0x0112  # EXIF: 5 to 8 are quarter turns


@dataclass(frozen=True, eq=False)
class Pose:
    """A full pose on the body in use; partly known poses are not given."""

    rotations: np.ndarray  # [24, 3, 3], joint 0 into the camera frame, the others relative to their parent
    betas: np.ndarray  # [10]
    joints_3d: np.ndarray  # [24, 3] metres
    vertices: np.ndarray | None = None  # [V, 3] if the data set knows the surface better than betas can describe it


@dataclass(frozen=True)
class About:
    """Other labels of a person, by which scores are split. None if unknown."""

    occlusion: float | None = None  # percent of the person that is hidden; below 0 if unknown
    kid: bool | None = None
    gender: str | None = None
    age: str | None = None
    ethnicity: str | None = None
    scored: bool = True  # the data set's own evaluation counts this person


NOTHING = About()


@dataclass(frozen=True, eq=False)
class Person:
    """One labelled person."""

    joints_2d: np.ndarray  # [24, 2] pixels, NaN without a label
    known_2d: np.ndarray  # bool [24]: the label is this joint itself, not a neighbouring point
    pose: Pose | None = None
    visible: float = 1.0  # share of the person that can be seen
    layer: int = NO_LAYER  # ordinal depth layer, 0 nearest
    about: About = NOTHING

    def __post_init__(self) -> None:
        if self.joints_2d.shape != (JOINTS, 2) or self.known_2d.shape != (JOINTS,):
            shapes = f"{list(self.joints_2d.shape)} and {list(self.known_2d.shape)}"
            raise ValueError(f"expected joints_2d [{JOINTS}, 2] and known_2d [{JOINTS}], got {shapes}")
        if (self.known_2d & ~np.isfinite(self.joints_2d).all(axis=1)).any():
            raise ValueError("expected a finite pixel for every joint in known_2d")


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture and what is known about it."""

    path: Path
    people: tuple[Person, ...] = ()
    intrinsics: Intrinsics | None = None  # None: unknown, the default camera is used
    everyone: bool = False  # all people in the picture are labelled
    metric: bool = False  # joints_3d and depth are true in metres, seen from the camera
    depth: Callable[[], np.ndarray] | None = None  # reads float32 [H, W] metres, people only, 0 elsewhere
    quarter_turns: int = 0  # clockwise, from the file to the upright picture of the labels

    def pixels(self) -> np.ndarray:
        """uint8 [H, W, 3], turned upright. Raises UserError if the file cannot be read."""
        return np.ascontiguousarray(np.rot90(read_picture(self.path), -self.quarter_turns))


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture file turned upright, without decoding it. Raises UserError if it cannot be read."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(ORIENTATION, 1) >= 5
            return image.size[::-1] if turned else image.size
    except UNREADABLE as error:
        raise UserError(f"cannot read the picture {path}: {error}") from error
