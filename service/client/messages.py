"""Converts the client's options and results to and from protobuf messages."""

import grpc
from google.protobuf.duration_pb2 import Duration

from service.client.errors import InvalidUse
from service.client.frames import NumberedFrame
from service.client.options import ImageOptions, StreamOptions
from service.client.parsing import floats, packed_floats
from service.client.results import (
    Camera,
    DepthMap,
    FrameError,
    Info,
    Limits,
    Named,
    Person,
    Reconstruction,
    Summary,
    Timings,
)
from service.rpc.pb import reconstruction_pb2 as pb

SOURCES = {
    pb.CAMERA_SOURCE_GIVEN: "given",
    pb.CAMERA_SOURCE_EXIF: "exif",
    pb.CAMERA_SOURCE_EXIF_FOCAL_PLANE: "exif-focal-plane",
    pb.CAMERA_SOURCE_DEFAULT: "default",
}
UNKNOWN_SOURCE = "unknown"  # a source of a newer service
POLICIES = {"block": pb.OVERLOAD_POLICY_BLOCK, "drop-oldest": pb.OVERLOAD_POLICY_DROP_OLDEST}
OUTPUTS = {"vertices": pb.OUTPUT_VERTICES, "depth": pb.OUTPUT_DEPTH, "glb": pb.OUTPUT_GLB}
STATUS_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


def options_to(options: ImageOptions) -> pb.Options:
    camera = options.get("camera")
    return pb.Options(
        threshold=options.get("threshold"),
        max_people=options.get("max_people"),
        camera=None if camera is None else camera_to(camera),
        fov_degrees=options.get("fov_degrees"),
        outputs=[pb.OUTPUT_JOINTS, *(output for name, output in OUTPUTS.items() if options.get(name))],
    )


def config_to(options: StreamOptions) -> pb.StreamConfig:
    """Raises InvalidUse for an unknown policy, and for options without the one that they need."""
    if (policy := options.get("policy", "block")) not in POLICIES:
        raise InvalidUse(f"expected a policy of {' or '.join(POLICIES)}, got {policy!r}")
    if "max_gap_s" in options and not options.get("track"):
        raise InvalidUse("max_gap_s needs track=True")
    if "strength" in options and not options.get("smooth"):
        raise InvalidUse("strength needs smooth=True")
    tracking = pb.Tracking(max_gap=duration(options["max_gap_s"]) if "max_gap_s" in options else None)
    smoothing = pb.Smoothing(strength=options.get("strength", 0))
    return pb.StreamConfig(
        options=options_to(options),
        overload_policy=POLICIES[policy],
        max_in_flight=options.get("max_in_flight", 0),
        tracking=tracking if options.get("track") else None,
        smoothing=smoothing if options.get("smooth") else None,
    )


def frame_to(frame: NumberedFrame) -> pb.Frame:
    return pb.Frame(
        frame_id=frame.frame_id,
        capture_time=None if frame.capture_time_s is None else duration(frame.capture_time_s),
        image=frame.content,
        camera=None if frame.camera is None else camera_to(frame.camera),
    )


def camera_to(camera: Camera) -> pb.Camera:
    return pb.Camera(fx=camera.fx, fy=camera.fy, cx=camera.cx, cy=camera.cy)


def duration(seconds: float) -> Duration:
    made = Duration()
    made.FromNanoseconds(round(seconds * 1e9))
    return made


def seconds(value: Duration) -> float:
    return value.ToNanoseconds() / 1e9


def reconstruction_from(value: pb.Reconstruction, info: Info, options: ImageOptions, request_id: str) -> Reconstruction:
    camera, timings = value.camera, value.timings
    return Reconstruction(
        width=value.width,
        height=value.height,
        camera=Camera(
            camera.fx,
            camera.fy,
            camera.cx,
            camera.cy,
            SOURCES.get(value.camera_source, UNKNOWN_SOURCE),
            value.camera_note,
        ),
        people=tuple(person_from(person, vertices=bool(options.get("vertices"))) for person in value.people),
        info=info,
        timings=Timings(timings.decode_ms, timings.queue_ms, timings.infer_ms, timings.post_ms),
        depth=depth_from(value.depth) if options.get("depth") else None,
        glb=value.glb if options.get("glb") else None,
        request_id=request_id,
    )


def person_from(person: pb.Person, *, vertices: bool) -> Person:
    return Person(
        id=person.id,
        track_id=person.track_id if person.HasField("track_id") else None,
        score=person.score,
        box=floats(person.box, 4),
        translation=floats(person.translation, 3),
        global_orient=floats(person.global_orient, 3),
        body_pose=floats(person.body_pose, 23, 3),
        betas=floats(person.betas, 10),
        joints_3d=floats(person.joints_3d, 24, 3),
        joints_2d=floats(person.joints_2d, 24, 2),
        height_m=person.height_m,
        vertices=packed_floats(person.vertices, -1, 3) if vertices else None,
    )


def depth_from(depth: pb.DepthMap) -> DepthMap:
    x0, y0, x1, y1 = depth.region
    return DepthMap(packed_floats(depth.values, depth.height, depth.width), (x0, y0, x1, y1))


def info_from(info: pb.Info) -> Info:
    return Info(named_from(info.model), named_from(info.body), info.axes, info.units, tuple(info.joint_names))


def named_from(value: pb.Model | pb.Body) -> Named:
    return Named(value.name, value.version, value.sha256)


def limits_from(limits: pb.Limits) -> Limits:
    return Limits(
        limits.max_image_bytes,
        limits.max_people,
        limits.max_in_flight,
        seconds(limits.stream_idle_timeout),
        seconds(limits.stream_timeout),
    )


def frame_error_from(answer: pb.FrameError) -> FrameError:
    error = answer.error
    retry = seconds(error.retry_after) if error.HasField("retry_after") else None
    code = STATUS_NAMES.get(error.code, str(error.code))
    return FrameError(answer.frame_id, code, error.reason, error.message, retry)


def summary_from(summary: pb.StreamSummary) -> Summary:
    reason = pb.EndReason.Name(summary.end_reason).removeprefix("END_REASON_").lower()
    return Summary(summary.frames, summary.results, summary.errors, summary.dropped, reason)
