"""The results of the application core: people in metres, in camera coordinates."""

from dataclasses import dataclass

import numpy as np

from bodykit.camera import Intrinsics

FRAME = {
    "axes": "right-handed camera coordinates: x right, y down, z forward",
    "units": "metres",
    "translation": "position of the pelvis joint",
}


@dataclass(frozen=True)
class FocalLength:
    """The focal length from a picture's metadata."""

    px: float | None  # None if the metadata cannot be trusted
    source: str  # as in Camera
    note: str = ""  # why the metadata may be wrong


@dataclass(frozen=True)
class Camera:
    """Intrinsics in pixels of the upright image, and where they came from.

    `source` is `given`; `exif`, from the 35 mm equivalent focal length; `exif-focal-plane`, from the focal length and the
    resolution of the sensor; or `default`. `note` says in a sentence why EXIF may be wrong; it is empty otherwise.
    """

    intrinsics: Intrinsics
    source: str
    note: str = ""


@dataclass(frozen=True, eq=False)
class Person:
    """One person. Arrays are float32; 3D is in camera coordinates (x right, y down, z forward), metres."""

    id: int  # 0 is the nearest
    score: float  # [0, 1]
    box: np.ndarray  # [4] x0, y0, x1, y1 in pixels of the upright image; may reach beyond it
    translation: np.ndarray  # [3] the pelvis joint
    rotations: np.ndarray  # [24, 3, 3] global orientation, then each joint relative to its parent
    axis_angle: np.ndarray  # [24, 3] the same, radians
    betas: np.ndarray  # [10]
    joints_3d: np.ndarray  # [24, 3]
    joints_2d: np.ndarray  # [24, 2] pixels of the upright image
    height_m: float  # stature of the shaped body in its rest pose


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Human depth in metres, [h, w] float32, 0 where there is no human.

    `region` is x0, y0, x1, y1: the part of the image plane that the map covers, in pixels of the upright image. It is
    square, so it reaches beyond the shorter side of the image.
    """

    values: np.ndarray
    region: tuple[float, float, float, float]


@dataclass(frozen=True)
class Timings:
    """Milliseconds spent on one image."""

    decode: float
    queue: float  # waiting for the engine
    infer: float
    post: float


@dataclass(frozen=True, eq=False)
class Recovery:
    """The result for one image. Sizes are those after EXIF orientation."""

    content: bytes  # the image file, for overlays
    width: int
    height: int
    camera: Camera
    people: tuple[Person, ...]  # near to far
    depth: DepthMap | None = None
    vertices: np.ndarray | None = None  # [P, V, 3] if requested
    timings: Timings = Timings(0, 0, 0, 0)
