"""The service over gRPC."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import grpc
import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from service.client.address import Address, Tls
from service.client.errors import (
    BadReply,
    ClientError,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidUse,
    KeyRefused,
    RequestRefused,
    ServiceFailed,
    ServiceUnavailable,
)
from service.client.frames import FrameSource, Numbered, numbered
from service.client.options import ImageOptions, StreamOptions
from service.client.reading import floats, packed_floats, understanding
from service.client.results import (
    Camera,
    DepthMap,
    Dropped,
    FrameError,
    Info,
    Limits,
    Named,
    Person,
    Ready,
    Reconstruction,
    Result,
    ServiceInfo,
    StreamEvent,
    Summary,
    Timings,
)
from service.errors import FieldError
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub

# An answer with the meshes of 64 people takes 6 MB, a scene of them 13 MB; gRPC's own limit is 4 MiB.
MAX_ANSWER_BYTES = 128 * 2**20
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", -1),  # how large an image may be is for the service to say
    ("grpc.enable_retries", 0),  # retries share one budget and one reason; gRPC's own would know neither
    # A channel that has failed must be trying again by the time that the next attempt asks; gRPC's own pause grows to 120 s.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A peer that has vanished without a word (no power, no network) is noticed within 80 s while a call is under way.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]
SOURCES = {pb.CAMERA_SOURCE_GIVEN: "given", pb.CAMERA_SOURCE_EXIF: "exif", pb.CAMERA_SOURCE_DEFAULT: "default"}
POLICIES = {"block": pb.OVERLOAD_POLICY_BLOCK, "drop-oldest": pb.OVERLOAD_POLICY_DROP_OLDEST}
OUTPUTS = {"vertices": pb.OUTPUT_VERTICES, "depth": pb.OUTPUT_DEPTH, "glb": pb.OUTPUT_GLB}
STATUS_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
FAILED_WRITE = "Internal error from Core"
STATUS_TIMEOUT_S = 2.0  # for the service's own status to come after a write has failed
DETAILS_KEY = "grpc-status-details-bin"

REFUSALS = (
    "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "OUT_OF_RANGE",
    "UNIMPLEMENTED",
)  # fmt: skip
CLASSES: dict[str, type[ClientError]] = {
    **dict.fromkeys(REFUSALS, RequestRefused),
    "UNAUTHENTICATED": KeyRefused,
    "PERMISSION_DENIED": KeyRefused,
    "UNAVAILABLE": ServiceUnavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
}


class GrpcTransport:
    """One channel to one service."""

    def __init__(self, address: Address, *, tls: Tls, api_key: str | None) -> None:
        self._address = address
        self._metadata = [("x-api-key", api_key)] if api_key is not None else []
        options = [*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0 if address.loopback else 1)]
        if address.secure:
            credentials = grpc.ssl_channel_credentials(*tls.contents())
            self._channel = grpc.aio.secure_channel(address.target, credentials, options)
        else:
            self._channel = grpc.aio.insecure_channel(address.target, options)
        self._stub: Any = ReconstructionServiceStub(self._channel)

    async def reconstruct(
        self, image: bytes, options: ImageOptions, *, timeout_s: float, request_id: str
    ) -> Reconstruction:
        request = pb.ReconstructRequest(image=image, options=options_to(options), request_id=request_id)
        reply = await self._unary(self._stub.Reconstruct, request, timeout_s, request_id)
        with understanding(request_id):
            return reconstruction_from(reply.reconstruction, info_from(reply.info), options, reply.request_id)

    async def reconstruct_batch(
        self, images: Sequence[tuple[str, bytes]], options: ImageOptions, *, timeout_s: float, request_id: str
    ) -> list[Reconstruction | ClientError]:
        raise InvalidUse(f"batches go over REST: connect to http://host:8000 instead of {self._address}, or stream")

    async def stream(
        self, frames: FrameSource, options: StreamOptions, *, request_id: str
    ) -> AsyncGenerator[StreamEvent, None]:
        config = config_to(options)
        metadata = [*self._metadata, ("x-request-id", request_id)]
        call = self._stub.ReconstructStream(timeout=options.get("timeout_s"), metadata=metadata)
        conversation = Conversation(call, self._address, options, request_id)
        sender = asyncio.create_task(conversation.send(config, frames))
        try:
            # No generator within this one: an event loop that ends closes all generators at once, and not from outside in.
            while (event := await conversation.following()) is not None:
                yield event
        finally:
            # Always: a call that nobody cancels stays in flight until its channel is closed (grpc #43462).
            call.cancel()
            sender.cancel()
            await asyncio.wait([sender])
            await conversation.aclose()

    async def info(self, *, faces: bool, timeout_s: float) -> ServiceInfo:
        reply = await self._unary(self._stub.GetInfo, pb.GetInfoRequest(include_faces=faces), timeout_s, "")
        with understanding():
            return ServiceInfo(
                info=info_from(reply.info),
                vertex_count=reply.vertex_count,
                faces=np.frombuffer(reply.faces, "<i4").astype(np.int32).reshape(-1, 3) if faces else None,
                limits=limits_from(reply.limits),
            )

    async def aclose(self) -> None:
        await self._channel.close()

    async def _unary(self, method: Any, request: Any, timeout_s: float, request_id: str) -> Any:
        call = method(request, timeout=timeout_s, metadata=self._metadata)
        try:
            reply = await call
        except grpc.aio.AioRpcError as error:
            raise error_from(error, self._address, request_id) from error
        finally:
            call.cancel()
        if reply is None:  # what grpc.aio returns for bytes that are no such message
            raise BadReply("the answer is not a message of the contract", request_id=request_id)
        return reply


class Conversation:
    """The two directions of one stream, and what each has said so far."""

    def __init__(self, call: Any, address: Address, options: ImageOptions, request_id: str) -> None:
        self._call, self._address, self._options, self._request_id = call, address, options, request_id
        self._unanswered: deque[int] = deque()  # bounded by what gRPC's flow control lets the sender send ahead
        self._source_failed: BaseException | None = None
        self._info: Info | None = None
        self._summed_up = False
        self._status: asyncio.Future[grpc.aio.AioRpcError] = asyncio.get_running_loop().create_future()
        call.add_done_callback(self._keep_status)
        # Not `call.read()`: after a failed write it gives nothing more, although answers and status are still to come.
        self._answers = aiter(call)

    async def send(self, config: pb.StreamConfig, frames: FrameSource) -> None:
        """Config, then every frame, each when gRPC has room for it. What goes wrong here is told by `following`."""
        try:
            await self._call.write(pb.ReconstructStreamRequest(config=config))
            async with aclosing(numbered(frames)) as ready:
                async for frame in ready:
                    self._unanswered.append(frame.frame_id)
                    await self._call.write(pb.ReconstructStreamRequest(frame=frame_to(frame)))
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            pass  # the call has ended; its status says why
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._source_failed = error
            self._call.cancel()

    async def following(self) -> StreamEvent | None:
        """The next answer, checked against the contract; None after the last. Raises ClientError, or what the source of the
        frames has raised.
        """
        try:
            message = await anext(self._answers, grpc.aio.EOF)
        except grpc.aio.AioRpcError as error:
            raise self._ended(await self._true_status(error)) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._source_failed is None or (task is not None and task.cancelling()):
                raise
            message = grpc.aio.EOF
        if message is not grpc.aio.EOF:
            event = self._understood(message)
            self._summed_up |= isinstance(event, Summary)
            return event
        if self._source_failed is not None:
            raise self._source_failed
        if not self._summed_up or self._unanswered:
            raise self._breach("ended before its time" if self._summed_up else "ended without its summary")
        return None

    async def aclose(self) -> None:
        await self._answers.aclose()

    def _keep_status(self, call: Any) -> None:
        """Called with every status that the call takes. A write that meets the end of a call makes grpc.aio put INTERNAL
        ("Internal error from Core") in the place of what the service has sent, before or after that has come: in five of six
        streams that are refused early (grpc #36066).
        """
        code, details, trailers = (_at_once(part()) for part in (call.code, call.details, call.trailing_metadata))
        if details != FAILED_WRITE and not self._status.done():
            empty = grpc.aio.Metadata()
            self._status.set_result(grpc.aio.AioRpcError(code, empty, trailers or empty, details))

    async def _true_status(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        if error.details() != FAILED_WRITE:
            return error
        await asyncio.wait([self._status], timeout=STATUS_TIMEOUT_S)
        return self._status.result() if self._status.done() else error

    def _understood(self, message: Any) -> StreamEvent:
        if message is None:
            raise self._breach("holds something that is not a message of the contract")
        with understanding(self._request_id):
            kind = message.WhichOneof("message")
            if kind == "ready":
                self._info = info_from(message.ready.info)
                return Ready(self._info, limits_from(message.ready.limits), message.ready.max_in_flight)
            if kind == "summary":
                return summary_from(message.summary)
            if kind is None:
                raise self._breach("holds an empty message")
            answer = getattr(message, kind)
            self._check_turn(answer.frame_id)
            if kind == "dropped":
                return Dropped(answer.frame_id)
            if kind == "error":
                return frame_error_from(answer)
            if self._info is None:
                raise self._breach("has a result before `ready`")
            return Result(answer.frame_id, reconstruction_from(answer.reconstruction, self._info, self._options, ""))

    def _check_turn(self, frame_id: int) -> None:
        """Every frame is answered once, in order."""
        if not self._unanswered or self._unanswered[0] != frame_id:
            expected = f"frame {self._unanswered[0]}" if self._unanswered else "no frame"
            raise self._breach(f"answers frame {frame_id} where {expected} is due")
        self._unanswered.popleft()

    def _ended(self, status: grpc.aio.AioRpcError) -> ClientError:
        error = error_from(status, self._address, self._request_id)
        if self._unanswered:
            error.detail += f" ({len(self._unanswered)} frames were sent and not answered)"
            error.args = (error.detail,)
        return error

    def _breach(self, what: str) -> BadReply:
        return BadReply(f"the stream {what}", request_id=self._request_id)


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    finally:
        coroutine.close()
    raise AssertionError("the status of a finished call is not known yet")


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
    """Raises InvalidUse for a policy that there is not, and for what needs something else."""
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


def frame_to(frame: Numbered) -> pb.Frame:
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
        camera=Camera(camera.fx, camera.fy, camera.cx, camera.cy, SOURCES[value.camera_source]),
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


def error_from(status: grpc.aio.AioRpcError, address: Address, request_id: str) -> ClientError:
    """What the status that a call ended with means."""
    code, text = status.code().name, status.details() or ""
    trailers = dict(status.trailing_metadata() or ())
    details = details_of(trailers)
    # A service of ours explains itself; without that it was the connection that spoke.
    if code == "UNAVAILABLE" and not details:
        return ConnectionFailed(f"cannot reach the service at {address}: {text}", code=code, request_id=request_id)
    info = details.get(error_details_pb2.ErrorInfo)
    fields = details.get(error_details_pb2.BadRequest)
    retry = details.get(error_details_pb2.RetryInfo)
    return CLASSES.get(code, ServiceFailed)(
        text or code,
        code=code,
        reason=info.reason if info else "",
        request_id=str(trailers.get("x-request-id", request_id)),
        errors=[FieldError(item.field, item.description) for item in fields.field_violations] if fields else [],
        retry_after_s=seconds(retry.retry_delay) if retry else None,
    )


def details_of(trailers: Mapping[str, Any]) -> dict[Any, Any]:
    """The details of google.rpc.Status that we know, by their type. What cannot be read is not there."""
    found: dict[Any, Any] = {}
    try:
        for packed in status_pb2.Status.FromString(trailers.get(DETAILS_KEY, b"")).details:
            for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
                if packed.Is(kind.DESCRIPTOR):
                    found[kind] = kind.FromString(packed.value)
    except DecodeError:
        pass
    return found
