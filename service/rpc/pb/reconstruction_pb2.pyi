import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OverloadPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OVERLOAD_POLICY_UNSPECIFIED: _ClassVar[OverloadPolicy]
    OVERLOAD_POLICY_BLOCK: _ClassVar[OverloadPolicy]
    OVERLOAD_POLICY_DROP_OLDEST: _ClassVar[OverloadPolicy]

class EndReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    END_REASON_UNSPECIFIED: _ClassVar[EndReason]
    END_REASON_COMPLETED: _ClassVar[EndReason]
    END_REASON_IDLE: _ClassVar[EndReason]
    END_REASON_TOO_LONG: _ClassVar[EndReason]
    END_REASON_DRAINING: _ClassVar[EndReason]

class Output(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTPUT_UNSPECIFIED: _ClassVar[Output]
    OUTPUT_PARAMETERS: _ClassVar[Output]
    OUTPUT_JOINTS: _ClassVar[Output]
    OUTPUT_VERTICES: _ClassVar[Output]
    OUTPUT_DEPTH: _ClassVar[Output]
    OUTPUT_GLB: _ClassVar[Output]

class CameraSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAMERA_SOURCE_UNSPECIFIED: _ClassVar[CameraSource]
    CAMERA_SOURCE_GIVEN: _ClassVar[CameraSource]
    CAMERA_SOURCE_EXIF: _ClassVar[CameraSource]
    CAMERA_SOURCE_DEFAULT: _ClassVar[CameraSource]
    CAMERA_SOURCE_EXIF_FOCAL_PLANE: _ClassVar[CameraSource]
OVERLOAD_POLICY_UNSPECIFIED: OverloadPolicy
OVERLOAD_POLICY_BLOCK: OverloadPolicy
OVERLOAD_POLICY_DROP_OLDEST: OverloadPolicy
END_REASON_UNSPECIFIED: EndReason
END_REASON_COMPLETED: EndReason
END_REASON_IDLE: EndReason
END_REASON_TOO_LONG: EndReason
END_REASON_DRAINING: EndReason
OUTPUT_UNSPECIFIED: Output
OUTPUT_PARAMETERS: Output
OUTPUT_JOINTS: Output
OUTPUT_VERTICES: Output
OUTPUT_DEPTH: Output
OUTPUT_GLB: Output
CAMERA_SOURCE_UNSPECIFIED: CameraSource
CAMERA_SOURCE_GIVEN: CameraSource
CAMERA_SOURCE_EXIF: CameraSource
CAMERA_SOURCE_DEFAULT: CameraSource
CAMERA_SOURCE_EXIF_FOCAL_PLANE: CameraSource

class GetInfoRequest(_message.Message):
    __slots__ = ("include_faces",)
    INCLUDE_FACES_FIELD_NUMBER: _ClassVar[int]
    include_faces: bool
    def __init__(self, include_faces: _Optional[bool] = ...) -> None: ...

class GetInfoResponse(_message.Message):
    __slots__ = ("info", "faces", "vertex_count", "limits")
    INFO_FIELD_NUMBER: _ClassVar[int]
    FACES_FIELD_NUMBER: _ClassVar[int]
    VERTEX_COUNT_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    info: Info
    faces: bytes
    vertex_count: int
    limits: Limits
    def __init__(self, info: _Optional[_Union[Info, _Mapping]] = ..., faces: _Optional[bytes] = ..., vertex_count: _Optional[int] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...

class ReconstructRequest(_message.Message):
    __slots__ = ("image", "options", "request_id")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    options: Options
    request_id: str
    def __init__(self, image: _Optional[bytes] = ..., options: _Optional[_Union[Options, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReconstructResponse(_message.Message):
    __slots__ = ("request_id", "info", "reconstruction")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    RECONSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    info: Info
    reconstruction: Reconstruction
    def __init__(self, request_id: _Optional[str] = ..., info: _Optional[_Union[Info, _Mapping]] = ..., reconstruction: _Optional[_Union[Reconstruction, _Mapping]] = ...) -> None: ...

class ReconstructStreamRequest(_message.Message):
    __slots__ = ("config", "frame")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    config: StreamConfig
    frame: Frame
    def __init__(self, config: _Optional[_Union[StreamConfig, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ...) -> None: ...

class ReconstructStreamResponse(_message.Message):
    __slots__ = ("ready", "result", "error", "dropped", "summary")
    READY_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    ready: StreamReady
    result: FrameResult
    error: FrameError
    dropped: FrameDropped
    summary: StreamSummary
    def __init__(self, ready: _Optional[_Union[StreamReady, _Mapping]] = ..., result: _Optional[_Union[FrameResult, _Mapping]] = ..., error: _Optional[_Union[FrameError, _Mapping]] = ..., dropped: _Optional[_Union[FrameDropped, _Mapping]] = ..., summary: _Optional[_Union[StreamSummary, _Mapping]] = ...) -> None: ...

class StreamConfig(_message.Message):
    __slots__ = ("options", "overload_policy", "max_in_flight", "tracking", "smoothing")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    OVERLOAD_POLICY_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    TRACKING_FIELD_NUMBER: _ClassVar[int]
    SMOOTHING_FIELD_NUMBER: _ClassVar[int]
    options: Options
    overload_policy: OverloadPolicy
    max_in_flight: int
    tracking: Tracking
    smoothing: Smoothing
    def __init__(self, options: _Optional[_Union[Options, _Mapping]] = ..., overload_policy: _Optional[_Union[OverloadPolicy, str]] = ..., max_in_flight: _Optional[int] = ..., tracking: _Optional[_Union[Tracking, _Mapping]] = ..., smoothing: _Optional[_Union[Smoothing, _Mapping]] = ...) -> None: ...

class Tracking(_message.Message):
    __slots__ = ("max_gap",)
    MAX_GAP_FIELD_NUMBER: _ClassVar[int]
    max_gap: _duration_pb2.Duration
    def __init__(self, max_gap: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Smoothing(_message.Message):
    __slots__ = ("strength",)
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    strength: float
    def __init__(self, strength: _Optional[float] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("frame_id", "capture_time", "image", "camera")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_TIME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    capture_time: _duration_pb2.Duration
    image: bytes
    camera: Camera
    def __init__(self, frame_id: _Optional[int] = ..., capture_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., image: _Optional[bytes] = ..., camera: _Optional[_Union[Camera, _Mapping]] = ...) -> None: ...

class StreamReady(_message.Message):
    __slots__ = ("info", "limits", "max_in_flight")
    INFO_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    info: Info
    limits: Limits
    max_in_flight: int
    def __init__(self, info: _Optional[_Union[Info, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., max_in_flight: _Optional[int] = ...) -> None: ...

class FrameResult(_message.Message):
    __slots__ = ("frame_id", "reconstruction")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    RECONSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    reconstruction: Reconstruction
    def __init__(self, frame_id: _Optional[int] = ..., reconstruction: _Optional[_Union[Reconstruction, _Mapping]] = ...) -> None: ...

class FrameError(_message.Message):
    __slots__ = ("frame_id", "error")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    error: Error
    def __init__(self, frame_id: _Optional[int] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class FrameDropped(_message.Message):
    __slots__ = ("frame_id",)
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    def __init__(self, frame_id: _Optional[int] = ...) -> None: ...

class StreamSummary(_message.Message):
    __slots__ = ("frames", "results", "errors", "dropped", "end_reason")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    END_REASON_FIELD_NUMBER: _ClassVar[int]
    frames: int
    results: int
    errors: int
    dropped: int
    end_reason: EndReason
    def __init__(self, frames: _Optional[int] = ..., results: _Optional[int] = ..., errors: _Optional[int] = ..., dropped: _Optional[int] = ..., end_reason: _Optional[_Union[EndReason, str]] = ...) -> None: ...

class Options(_message.Message):
    __slots__ = ("threshold", "max_people", "camera", "fov_degrees", "outputs")
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MAX_PEOPLE_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    FOV_DEGREES_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    threshold: float
    max_people: int
    camera: Camera
    fov_degrees: float
    outputs: _containers.RepeatedScalarFieldContainer[Output]
    def __init__(self, threshold: _Optional[float] = ..., max_people: _Optional[int] = ..., camera: _Optional[_Union[Camera, _Mapping]] = ..., fov_degrees: _Optional[float] = ..., outputs: _Optional[_Iterable[_Union[Output, str]]] = ...) -> None: ...

class Camera(_message.Message):
    __slots__ = ("fx", "fy", "cx", "cy")
    FX_FIELD_NUMBER: _ClassVar[int]
    FY_FIELD_NUMBER: _ClassVar[int]
    CX_FIELD_NUMBER: _ClassVar[int]
    CY_FIELD_NUMBER: _ClassVar[int]
    fx: float
    fy: float
    cx: float
    cy: float
    def __init__(self, fx: _Optional[float] = ..., fy: _Optional[float] = ..., cx: _Optional[float] = ..., cy: _Optional[float] = ...) -> None: ...

class Info(_message.Message):
    __slots__ = ("model", "body", "axes", "units", "joint_names")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    JOINT_NAMES_FIELD_NUMBER: _ClassVar[int]
    model: Model
    body: Body
    axes: str
    units: str
    joint_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., body: _Optional[_Union[Body, _Mapping]] = ..., axes: _Optional[str] = ..., units: _Optional[str] = ..., joint_names: _Optional[_Iterable[str]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "version", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    sha256: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class Body(_message.Message):
    __slots__ = ("name", "version", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    sha256: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_image_bytes", "max_people", "max_in_flight", "stream_idle_timeout", "stream_timeout")
    MAX_IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PEOPLE_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    STREAM_IDLE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    STREAM_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    max_image_bytes: int
    max_people: int
    max_in_flight: int
    stream_idle_timeout: _duration_pb2.Duration
    stream_timeout: _duration_pb2.Duration
    def __init__(self, max_image_bytes: _Optional[int] = ..., max_people: _Optional[int] = ..., max_in_flight: _Optional[int] = ..., stream_idle_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., stream_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Reconstruction(_message.Message):
    __slots__ = ("width", "height", "camera", "camera_source", "people", "depth", "glb", "timings", "camera_note")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    CAMERA_SOURCE_FIELD_NUMBER: _ClassVar[int]
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    GLB_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    CAMERA_NOTE_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    camera: Camera
    camera_source: CameraSource
    people: _containers.RepeatedCompositeFieldContainer[Person]
    depth: DepthMap
    glb: bytes
    timings: Timings
    camera_note: str
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., camera: _Optional[_Union[Camera, _Mapping]] = ..., camera_source: _Optional[_Union[CameraSource, str]] = ..., people: _Optional[_Iterable[_Union[Person, _Mapping]]] = ..., depth: _Optional[_Union[DepthMap, _Mapping]] = ..., glb: _Optional[bytes] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., camera_note: _Optional[str] = ...) -> None: ...

class Person(_message.Message):
    __slots__ = ("id", "track_id", "score", "box", "translation", "global_orient", "body_pose", "betas", "joints_3d", "joints_2d", "height_m", "vertices")
    ID_FIELD_NUMBER: _ClassVar[int]
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    TRANSLATION_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_ORIENT_FIELD_NUMBER: _ClassVar[int]
    BODY_POSE_FIELD_NUMBER: _ClassVar[int]
    BETAS_FIELD_NUMBER: _ClassVar[int]
    JOINTS_3D_FIELD_NUMBER: _ClassVar[int]
    JOINTS_2D_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_M_FIELD_NUMBER: _ClassVar[int]
    VERTICES_FIELD_NUMBER: _ClassVar[int]
    id: int
    track_id: int
    score: float
    box: _containers.RepeatedScalarFieldContainer[float]
    translation: _containers.RepeatedScalarFieldContainer[float]
    global_orient: _containers.RepeatedScalarFieldContainer[float]
    body_pose: _containers.RepeatedScalarFieldContainer[float]
    betas: _containers.RepeatedScalarFieldContainer[float]
    joints_3d: _containers.RepeatedScalarFieldContainer[float]
    joints_2d: _containers.RepeatedScalarFieldContainer[float]
    height_m: float
    vertices: bytes
    def __init__(self, id: _Optional[int] = ..., track_id: _Optional[int] = ..., score: _Optional[float] = ..., box: _Optional[_Iterable[float]] = ..., translation: _Optional[_Iterable[float]] = ..., global_orient: _Optional[_Iterable[float]] = ..., body_pose: _Optional[_Iterable[float]] = ..., betas: _Optional[_Iterable[float]] = ..., joints_3d: _Optional[_Iterable[float]] = ..., joints_2d: _Optional[_Iterable[float]] = ..., height_m: _Optional[float] = ..., vertices: _Optional[bytes] = ...) -> None: ...

class DepthMap(_message.Message):
    __slots__ = ("width", "height", "values", "region")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    values: bytes
    region: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., values: _Optional[bytes] = ..., region: _Optional[_Iterable[float]] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("decode_ms", "queue_ms", "infer_ms", "post_ms")
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    INFER_MS_FIELD_NUMBER: _ClassVar[int]
    POST_MS_FIELD_NUMBER: _ClassVar[int]
    decode_ms: float
    queue_ms: float
    infer_ms: float
    post_ms: float
    def __init__(self, decode_ms: _Optional[float] = ..., queue_ms: _Optional[float] = ..., infer_ms: _Optional[float] = ..., post_ms: _Optional[float] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "reason", "message", "retry_after")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    message: str
    retry_after: _duration_pb2.Duration
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
