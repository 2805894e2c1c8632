"""What comes back: frozen values with float32 arrays. Knows neither protocol.

3D is in camera coordinates: right-handed, x right, y down, z forward, metres. Pixels are continuous, (0, 0) is the corner
of the upright image (after EXIF orientation). Rotations are axis-angle vectors in radians.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Pinhole intrinsics in pixels of the upright image."""

    fx: float
    fy: float
    cx: float
    cy: float
    source: str = "given"  # of an answer: given, exif, exif-focal-plane or default
    note: str = ""  # of an answer: why its EXIF may be wrong


@dataclass(frozen=True, eq=False)
class Person:
    """One person."""

    id: int  # number in this image, 0 is the nearest
    track_id: (
        int | None
    )  # with track=True: a person's own in all frames of a stream; None for who has only just appeared
    score: float  # probability that this is a person, 0 to 1
    box: np.ndarray  # [4] x0, y0, x1, y1, pixels; may reach beyond the image
    translation: np.ndarray  # [3] the pelvis joint, metres
    global_orient: np.ndarray  # [3] orientation of the pelvis
    body_pose: np.ndarray  # [23, 3] rotations of the other joints relative to their parents
    betas: np.ndarray  # [10] shape coefficients of the body that Info names
    joints_3d: np.ndarray  # [24, 3] metres
    joints_2d: np.ndarray  # [24, 2] pixels
    height_m: float  # stature, standing straight
    vertices: np.ndarray | None = None  # [V, 3] metres; with vertices=True


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Distances of people."""

    values: np.ndarray  # [h, w] metres, 0 where there is nobody
    region: tuple[float, float, float, float]  # x0, y0, x1, y1: what the map covers, pixels; may reach beyond the image


@dataclass(frozen=True)
class Timings:
    """Milliseconds that the service spent on one image."""

    decode: float
    queue: float
    infer: float
    post: float


@dataclass(frozen=True)
class Named:
    """A network or a body."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Info:
    """What holds for every result of a service until it is restarted."""

    model: Named
    body: Named  # what betas and vertices mean
    axes: str  # of every 3D number, in words
    units: str
    joint_names: tuple[str, ...]  # the order of every list of joints


@dataclass(frozen=True)
class Limits:
    """What a service accepts."""

    max_image_bytes: int
    max_people: int
    max_in_flight: int  # frames in work at once in one stream
    stream_idle_timeout_s: float
    stream_timeout_s: float


@dataclass(frozen=True, eq=False)
class ServiceInfo:
    """What is loaded."""

    info: Info
    vertex_count: int
    faces: np.ndarray | None  # int32 [F, 3], which all people share; with faces=True
    limits: Limits | None  # None over REST, which does not tell them


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Everything known about one image."""

    width: int  # pixels, after EXIF orientation
    height: int
    camera: Camera
    people: tuple[Person, ...]  # near to far
    info: Info
    timings: Timings
    depth: DepthMap | None = None  # with depth=True
    glb: bytes | None = None  # a binary glTF file, y up; with glb=True
    request_id: str = ""  # "" in a stream, where the frame's id names it


@dataclass(frozen=True)
class Ready:
    """The first event of a stream: the config was accepted."""

    info: Info
    limits: Limits
    max_in_flight: int  # frames in work at once in this stream


@dataclass(frozen=True, eq=False)
class Result:
    """The people of a frame."""

    frame_id: int
    reconstruction: Reconstruction


@dataclass(frozen=True)
class FrameError:
    """Why a frame has no result. The stream goes on."""

    frame_id: int
    code: str  # of the gRPC status that a call for this image alone would have ended with: INVALID_ARGUMENT, ...
    reason: str  # invalid-image, overloaded, ...
    detail: str
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Dropped:
    """A frame that was given up for a newer one."""

    frame_id: int


@dataclass(frozen=True)
class Summary:
    """The last event of a stream: what became of its frames."""

    frames: int  # accepted; the sum of the next three
    results: int
    errors: int
    dropped: int
    end_reason: str  # completed, idle, too_long or draining


StreamEvent = Ready | Result | FrameError | Dropped | Summary
