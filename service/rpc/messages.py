"""Converts the core's options and results from and to protobuf messages."""

from collections.abc import Mapping

import numpy as np

from bodykit.body import JOINT_NAMES, Body
from bodykit.camera import Intrinsics
from bodykit.manifest import Manifest
from service.errors import FieldError, InvalidParameter, ServiceError, Unavailable
from service.following.follower import Following
from service.options import Options
from service.results import FRAME, DepthMap, Person, Recovery
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.statuses import CODES

SOURCES = {
    "given": pb.CAMERA_SOURCE_GIVEN,
    "exif": pb.CAMERA_SOURCE_EXIF,
    "exif-focal-plane": pb.CAMERA_SOURCE_EXIF_FOCAL_PLANE,
    "default": pb.CAMERA_SOURCE_DEFAULT,
}


def options_from(message: pb.Options, camera: pb.Camera | None = None) -> Options:
    """The options of the core; the camera of a frame replaces the one in `message`. Raises InvalidParameter."""
    if unknown := [value for value in message.outputs if value not in pb.Output.values()]:
        raise InvalidParameter.named("outputs", f"unknown output {unknown[0]}")
    view = message.WhichOneof("view")
    intrinsics = camera if camera is not None else (message.camera if view == "camera" else None)
    return Options(
        threshold=message.threshold if message.HasField("threshold") else None,
        max_people=message.max_people or None,
        fov_degrees=message.fov_degrees if view == "fov_degrees" and camera is None else None,
        intrinsics=intrinsics_from(intrinsics) if intrinsics is not None else None,
        vertices=bool({pb.OUTPUT_VERTICES, pb.OUTPUT_GLB} & set(message.outputs)),
        depth=pb.OUTPUT_DEPTH in message.outputs,
    )


def following_from(config: pb.StreamConfig) -> Following | None:
    """Tracking and smoothing of a stream; None without them. Raises InvalidParameter."""
    smoothing = config.smoothing.strength or 1.0 if config.HasField("smoothing") else None
    if not config.HasField("tracking"):
        if smoothing is not None:
            raise InvalidParameter.named("smoothing", "needs tracking")
        return None
    tracking = config.tracking
    max_gap_s = tracking.max_gap.ToNanoseconds() / 1e9 if tracking.HasField("max_gap") else None
    return Following(max_gap_s, smoothing)


def intrinsics_from(message: pb.Camera) -> Intrinsics:
    try:
        return Intrinsics(message.fx, message.fy, message.cx, message.cy)
    except ValueError as error:
        raise InvalidParameter(f"camera: {error}", errors=[FieldError("camera", str(error))]) from error


def info_to(manifest: Manifest, body: Body) -> pb.Info:
    return pb.Info(
        model=pb.Model(name=manifest.name, version=manifest.version, sha256=manifest.sha256),
        body=pb.Body(name=body.name, version=body.version, sha256=body.sha256),
        axes=FRAME["axes"],
        units=FRAME["units"],
        joint_names=JOINT_NAMES,
    )


def reconstruction_to(
    recovery: Recovery,
    outputs: frozenset[int],
    *,
    glb: bytes = b"",
    track_ids: Mapping[int, int] | None = None,
) -> pb.Reconstruction:
    """`outputs` are values of pb.Output, empty meaning joints; `track_ids` maps the ids in this image to track ids."""
    camera, timings = recovery.camera.intrinsics, recovery.timings
    joints = not outputs or pb.OUTPUT_JOINTS in outputs
    vertices = recovery.vertices if pb.OUTPUT_VERTICES in outputs else None
    return pb.Reconstruction(
        width=recovery.width,
        height=recovery.height,
        camera=pb.Camera(fx=camera.fx, fy=camera.fy, cx=camera.cx, cy=camera.cy),
        camera_source=SOURCES[recovery.camera.source],
        camera_note=recovery.camera.note,
        people=[
            _person_to(person, joints, None if vertices is None else vertices[k], (track_ids or {}).get(person.id))
            for k, person in enumerate(recovery.people)
        ],
        depth=None if recovery.depth is None else _depth_to(recovery.depth),
        glb=glb,
        timings=pb.Timings(
            decode_ms=timings.decode, queue_ms=timings.queue, infer_ms=timings.infer, post_ms=timings.post
        ),
    )


def error_to(error: ServiceError) -> pb.Error:
    """An error as the answer to a frame."""
    message = pb.Error(code=CODES[error.grpc].value[0], reason=error.code, message=error.detail)
    if isinstance(error, Unavailable):
        message.retry_after.FromSeconds(error.retry_after_s)
    return message


def _person_to(person: Person, joints: bool, vertices: np.ndarray | None, track_id: int | None) -> pb.Person:
    message = pb.Person(
        id=person.id,
        track_id=track_id,
        score=person.score,
        box=person.box.tolist(),
        translation=person.translation.tolist(),
        global_orient=person.axis_angle[0].tolist(),
        body_pose=person.axis_angle[1:].ravel().tolist(),
        betas=person.betas.tolist(),
        height_m=person.height_m,
    )
    if joints:
        message.joints_3d.extend(person.joints_3d.ravel().tolist())
        message.joints_2d.extend(person.joints_2d.ravel().tolist())
    if vertices is not None:
        message.vertices = little_endian(vertices, "<f4")
    return message


def _depth_to(depth: DepthMap) -> pb.DepthMap:
    height, width = depth.values.shape
    return pb.DepthMap(width=width, height=height, values=little_endian(depth.values, "<f4"), region=depth.region)


def little_endian(array: np.ndarray, dtype: str) -> bytes:
    return np.ascontiguousarray(array, dtype).tobytes()
