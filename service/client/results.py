"""Results as frozen values with float32 arrays. Independent of the protocol.

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
    source: str = "given"  # of a reply: given, exif, exif-focal-plane or default
    note: str = ""  # of a reply: why its EXIF may be wrong


@dataclass(frozen=True, eq=False)
class Person:
    """One person."""

    id: int  # number in this image, 0 is the nearest
    track_id: int | None  # with track=True: stable over a stream; None for people who have only just appeared
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
    """Depth of the people."""

    values: np.ndarray  # [h, w] metres, 0 where there is no person
    region: tuple[float, float, float, float]  # x0, y0, x1, y1 of the map, pixels; may reach beyond the image


@dataclass(frozen=True)
class Timings:
    """Milliseconds that the service spent on one image."""

    decode: float
    queue: float
    infer: float
    post: float


@dataclass(frozen=True)
class Named:
    """Name, version and hash of a model or a body."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Info:
    """Valid for every result of a service until it restarts."""

    model: Named
    body: Named  # what betas and vertices mean
    axes: str  # of every 3D number, in words
    units: str
    joint_names: tuple[str, ...]  # the order of every list of joints


@dataclass(frozen=True)
class Limits:
    """Limits of the service."""

    max_image_bytes: int
    max_people: int
    max_in_flight: int  # frames processed at once in one stream
    stream_idle_timeout_s: float
    stream_timeout_s: float


@dataclass(frozen=True, eq=False)
class ServiceInfo:
    """The loaded model and body."""

    info: Info
    vertex_count: int
    faces: np.ndarray | None  # int32 [F, 3], which all people share; with faces=True
    limits: Limits | None  # None over REST, which does not report them


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """The result of one image."""

    width: int  # pixels, after EXIF orientation
    height: int
    camera: Camera
    people: tuple[Person, ...]  # near to far
    info: Info
    timings: Timings
    depth: DepthMap | None = None  # with depth=True
    glb: bytes | None = None  # a binary glTF file, y up; with glb=True
    request_id: str = ""  # "" in a stream, where frame_id identifies it


@dataclass(frozen=True)
class Ready:
    """The first event of a stream: the config was accepted."""

    info: Info
    limits: Limits
    max_in_flight: int  # frames processed at once in this stream


@dataclass(frozen=True, eq=False)
class Result:
    """The people in a frame."""

    frame_id: int
    reconstruction: Reconstruction


@dataclass(frozen=True)
class FrameError:
    """Why a frame has no result. The stream continues."""

    frame_id: int
    code: str  # gRPC status that a unary call with this image would have ended with: INVALID_ARGUMENT, ...
    reason: str  # invalid-image, overloaded, ...
    detail: str
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Dropped:
    """A frame that was dropped in favour of a newer one."""

    frame_id: int


@dataclass(frozen=True)
class Summary:
    """The last event of a stream: the outcome of its frames."""

    frames: int  # accepted; the sum of the next three
    results: int
    errors: int
    dropped: int
    end_reason: str  # completed, idle, too_long or draining


StreamEvent = Ready | Result | FrameError | Dropped | Summary
