"""The calls of the gRPC service: parse, ask the core, format."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeAlias, TypeVar

import grpc

from service.errors import (
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidParameter,
    MalformedRequest,
    Overloaded,
    ServiceError,
    TooManyStreams,
)
from service.following.follower import Follower
from service.formats.formats import Job, write_glb
from service.frame_stream import End, FrameStream, Outcome, StreamLimits
from service.limits.held_bytes import Account
from service.options import Options
from service.recovery import MeshRecovery, unfinished
from service.results import Recovery
from service.rpc.messages import error_to, following_from, info_to, little_endian, options_from, reconstruction_to
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceServicer
from service.rpc.statuses import refuse
from service.settings import DEFAULTS
from service.telemetry.frames import FrameSpans
from service.telemetry.record import current, set_request_id

log = logging.getLogger("service.rpc")
Context: TypeAlias = grpc.aio.ServicerContext
Reply = TypeVar("Reply")

DEFAULT_IN_FLIGHT = 4  # enough to decode, infer and write different frames at once
LINGER_S = 1.0  # for a client to see the summary and to stop sending
END_REASONS = {
    End.COMPLETED: pb.END_REASON_COMPLETED,
    End.IDLE: pb.END_REASON_IDLE,
    End.TOO_LONG: pb.END_REASON_TOO_LONG,
    End.DRAINING: pb.END_REASON_DRAINING,
}


@dataclass(frozen=True)
class RpcLimits:
    """What one client may ask of a stream, and all of them together."""

    max_image_bytes: int
    max_people: int
    max_streams: int = DEFAULTS.max_streams
    max_in_flight: int = DEFAULTS.max_in_flight
    stream_idle_s: float = DEFAULTS.stream_idle_s
    stream_timeout_s: float = DEFAULTS.stream_timeout_s


@dataclass(frozen=True, eq=False)
class _Frame:
    frame_id: int
    image: bytes
    options: Options | ServiceError  # the error is this frame's answer
    time_s: float

    @property
    def size(self) -> int:
        """Bytes that are held for it."""
        return len(self.image)


@dataclass(frozen=True, eq=False)
class _Found:
    """A frame's people, before those of earlier frames are known."""

    recovery: Recovery
    time_s: float


def answering(call: Callable[..., Awaitable[Reply]]) -> Callable[..., Awaitable[Reply]]:
    """Turns what a unary call raises into its status. Cancellation is passed on: swallowed, it would leak the call."""

    @wraps(call)
    async def wrapped(self: "ReconstructionServicer", request: Any, context: Context) -> Reply:
        try:
            return await call(self, request, context)
        except Exception as error:
            await _abort(context, error)
            raise  # not reached: abort raises

    return wrapped


class ReconstructionServicer(ReconstructionServiceServicer):
    """See proto/depthhmr/v1/reconstruction.proto."""

    def __init__(self, core: MeshRecovery, limits: RpcLimits) -> None:
        self._core, self._limits = core, limits
        self._info = info_to(core.manifest, core.body)
        self._streams = 0
        self.draining = asyncio.Event()

    @answering
    async def GetInfo(self, request: pb.GetInfoRequest, context: Context) -> pb.GetInfoResponse:
        body = self._core.body
        return pb.GetInfoResponse(
            info=self._info,
            faces=little_endian(body.faces, "<i4") if request.include_faces else b"",
            vertex_count=len(body.template),
            limits=self._limits_message(),
        )

    @answering
    async def Reconstruct(self, request: pb.ReconstructRequest, context: Context) -> pb.ReconstructResponse:
        request_id = set_request_id(request.request_id or _metadata(context, "x-request-id"))
        context.set_trailing_metadata((("x-request-id", request_id),))  # costs no message, and cannot fail
        options = options_from(request.options)
        outputs = frozenset(request.options.outputs)

        def finish(recovery: Recovery) -> pb.ReconstructResponse:
            message = self._message(recovery, outputs, request_id)
            return pb.ReconstructResponse(request_id=request_id, info=self._info, reconstruction=message)

        return await self._core.recover(request.image, _in_time(options, context), finish)

    async def ReconstructStream(
        self, request_iterator: AsyncIterator[pb.ReconstructStreamRequest], context: Context
    ) -> AsyncIterator[pb.ReconstructStreamResponse]:
        try:
            with self._one_more_stream(), self._core.held.account(current().caller) as account:
                # Closed here, and not by the garbage collector some time later: the frames in work are this account's.
                async with aclosing(self._stream(request_iterator, context, account)) as responses:
                    async for response in responses:
                        yield response
        except Exception as error:
            await _abort(context, error)

    async def _stream(
        self, requests: AsyncIterator[pb.ReconstructStreamRequest], context: Context, account: Account
    ) -> AsyncGenerator[pb.ReconstructStreamResponse, None]:
        config = await self._config(requests, context)
        max_in_flight = self._max_in_flight(config)
        options_from(config.options)  # a config that is wrong is refused before the first frame
        request_id = set_request_id(_metadata(context, "x-request-id"))
        spans = FrameSpans(self._core.tracer)
        outputs = frozenset(config.options.outputs)
        follower = self._follower(config)
        yield pb.ReconstructStreamResponse(
            ready=pb.StreamReady(info=self._info, limits=self._limits_message(), max_in_flight=max_in_flight)
        )

        async def work(frame: _Frame) -> Any:
            if isinstance(frame.options, ServiceError):
                raise frame.options
            options = _in_time(frame.options, context)
            with spans.span("frame", frame_id=str(frame.frame_id)):
                if follower is not None:  # only when the frames before are known can the rest be done
                    bare = replace(options, vertices=False)
                    found = await self._core.recover_frame(frame.image, bare, unfinished, stream=account)
                    return _Found(found, frame.time_s)
                return await self._core.recover_frame(
                    frame.image,
                    options,
                    lambda recovery: self._message(recovery, outputs, request_id),
                    stream=account,
                )

        async def settle(found: _Found) -> pb.Reconstruction:
            assert follower is not None
            with spans.span("follow"):
                return await self._core.in_thread(lambda: self._followed(follower, found, outputs, request_id))

        limits = StreamLimits(
            max_in_flight=max_in_flight,
            drop_oldest=config.overload_policy == pb.OVERLOAD_POLICY_DROP_OLDEST,
            idle_s=self._limits.stream_idle_s,
            total_s=self._limits.stream_timeout_s,
        )
        frames = _frames(requests, config, account)
        stream = FrameStream(
            frames, work, limits, account=account, draining=self.draining, settle=settle if follower else None
        )
        current().tally = stream.tally
        async with aclosing(stream.outcomes()) as outcomes:
            async for outcome in outcomes:
                self._core.metrics.frame(_outcome_of(outcome))
                yield _answer(outcome)
        tally = stream.tally
        yield pb.ReconstructStreamResponse(
            summary=pb.StreamSummary(
                frames=tally.frames,
                results=tally.results,
                errors=tally.errors,
                dropped=tally.dropped,
                end_reason=END_REASONS[stream.end],
            )
        )
        await stream.linger(LINGER_S)
        if stream.end is End.DRAINING:
            raise Draining("the service is going down; connect again")
        if stream.end is not End.COMPLETED:
            raise DeadlineExceeded(f"the stream ends: {stream.end.value}")

    async def _config(self, requests: AsyncIterator[pb.ReconstructStreamRequest], context: Context) -> pb.StreamConfig:
        try:
            async with asyncio.timeout(self._limits.stream_idle_s):
                first = await anext(requests)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no config came within {self._limits.stream_idle_s:g} s") from error
        except StopAsyncIteration as error:
            if context.cancelled():
                raise asyncio.CancelledError from error
            raise MalformedRequest("expected a config as the first message, got none") from error
        if first.WhichOneof("message") != "config":
            got = first.WhichOneof("message") or "an empty message"
            raise MalformedRequest(f"expected a config as the first message, got {got}")
        config = first.config
        if config.overload_policy not in pb.OverloadPolicy.values():
            raise InvalidParameter.named("overload_policy", f"there is no policy {config.overload_policy}")
        return config

    def _max_in_flight(self, config: pb.StreamConfig) -> int:
        most = self._limits.max_in_flight
        if config.max_in_flight > most:
            raise InvalidParameter.named("max_in_flight", f"must be at most {most}, got {config.max_in_flight}")
        return config.max_in_flight or min(DEFAULT_IN_FLIGHT, most)

    def _follower(self, config: pb.StreamConfig) -> Follower | None:
        following = following_from(config)
        return None if following is None else Follower(self._core.body, following)

    def _followed(
        self, follower: Follower, found: _Found, outputs: frozenset[int], request_id: str
    ) -> pb.Reconstruction:
        vertices = bool({pb.OUTPUT_VERTICES, pb.OUTPUT_GLB} & outputs)
        recovery, track_ids = follower.follow(found.recovery, found.time_s, vertices=vertices)
        with self._core.encoding():
            return self._message(recovery, outputs, request_id, track_ids)

    def _message(
        self,
        recovery: Recovery,
        outputs: frozenset[int],
        request_id: str,
        track_ids: Mapping[int, int] | None = None,
    ) -> pb.Reconstruction:
        glb = b""
        if pb.OUTPUT_GLB in outputs:
            glb = write_glb(Job(recovery, self._core.manifest, self._core.body, self._core.limits, request_id))
        return reconstruction_to(recovery, outputs, glb=glb, track_ids=track_ids)

    def _limits_message(self) -> pb.Limits:
        limits = self._limits
        message = pb.Limits(
            max_image_bytes=limits.max_image_bytes, max_people=limits.max_people, max_in_flight=limits.max_in_flight
        )
        message.stream_idle_timeout.FromMilliseconds(int(1e3 * limits.stream_idle_s))
        message.stream_timeout.FromMilliseconds(int(1e3 * limits.stream_timeout_s))
        return message

    @contextmanager
    def _one_more_stream(self) -> Iterator[None]:
        if self.draining.is_set():
            raise Draining("the service is going down; connect again")
        if self._streams >= self._limits.max_streams:
            self._core.metrics.refused("streams")
            raise TooManyStreams(f"{self._streams} streams are open already; ask again later", retry_after_s=5)
        self._streams += 1
        try:
            with self._core.metrics.stream():
                yield
        finally:
            self._streams -= 1


async def _frames(
    requests: AsyncIterator[pb.ReconstructStreamRequest], config: pb.StreamConfig, account: Account
) -> AsyncIterator[_Frame]:
    async for request in requests:
        kind = request.WhichOneof("message")
        if kind != "frame":
            raise MalformedRequest(f"expected a frame, got {'another config' if kind else 'an empty message'}")
        frame = request.frame
        timed = frame.HasField("capture_time")
        image, options = frame.image, _options_of(frame, config)
        try:
            account.add_received(len(image))
        except Overloaded as error:
            image, options = b"", error
        yield _Frame(
            frame_id=frame.frame_id,
            image=image,
            options=options,
            time_s=frame.capture_time.ToNanoseconds() / 1e9 if timed else time.monotonic(),
        )


def _options_of(frame: pb.Frame, config: pb.StreamConfig) -> Options | ServiceError:
    try:
        return options_from(config.options, frame.camera if frame.HasField("camera") else None)
    except ServiceError as error:
        return error


def _answer(outcome: Outcome[pb.Reconstruction]) -> pb.ReconstructStreamResponse:
    frame_id = outcome.frame_id
    if outcome.error is not None:
        error = pb.FrameError(frame_id=frame_id, error=error_to(outcome.error))
        return pb.ReconstructStreamResponse(error=error)
    if outcome.result is not None:
        result = pb.FrameResult(frame_id=frame_id, reconstruction=outcome.result)
        return pb.ReconstructStreamResponse(result=result)
    return pb.ReconstructStreamResponse(dropped=pb.FrameDropped(frame_id=frame_id))


def _outcome_of(outcome: Outcome[Any]) -> str:
    if outcome.error is not None:
        return outcome.error.code
    return "dropped" if outcome.result is None else "ok"


def _in_time(options: Options, context: Context) -> Options:
    """The same with the caller's deadline as its timeout."""
    left = context.time_remaining()
    return options if left is None else replace(options, timeout_s=max(left, 1e-3))


def _metadata(context: Context, name: str) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == name and isinstance(value, str):
            return value
    return ""


async def _abort(context: Context, error: Exception) -> None:
    """End the call with the status of `error`; raises."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, ServiceError):
        log.error("a call failed", exc_info=error)
        error = InternalError()
    elif error.http >= 500 and error.grpc == "INTERNAL":
        log.error("%s: %s", error.code, error.detail, exc_info=error)
    await refuse(context, error)
