"""The calls of the gRPC service: parse, ask the core, format."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import wraps
from typing import Any, TypeAlias, TypeVar

import grpc

from service.errors import DeadlineExceeded, Draining, InternalError, ServiceError, TooManyStreams
from service.frame_stream import End, FrameStream, Outcome, StreamLimits
from service.limits.held_bytes import Account
from service.recovery import MeshRecovery
from service.results import Recovery
from service.rpc.frame_processor import FrameProcessor, with_deadline
from service.rpc.limits import RpcLimits
from service.rpc.messages import error_to, info_to, little_endian, options_from
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceServicer
from service.rpc.replies import ReplyWriter
from service.rpc.statuses import refuse
from service.rpc.stream_requests import Requests, read_config, read_frames
from service.telemetry.record import current, set_request_id

log = logging.getLogger("service.rpc")
Context: TypeAlias = grpc.aio.ServicerContext
Reply = TypeVar("Reply")

LINGER_S = 1.0  # for the client to read the summary and stop sending
END_REASONS = {
    End.COMPLETED: pb.END_REASON_COMPLETED,
    End.IDLE: pb.END_REASON_IDLE,
    End.TOO_LONG: pb.END_REASON_TOO_LONG,
    End.DRAINING: pb.END_REASON_DRAINING,
}


def with_status(call: Callable[..., Awaitable[Reply]]) -> Callable[..., Awaitable[Reply]]:
    """Turns the exceptions of a unary call into its status. Cancellation passes through: swallowing it would leak the call."""

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

    @with_status
    async def GetInfo(self, request: pb.GetInfoRequest, context: Context) -> pb.GetInfoResponse:
        body = self._core.body
        return pb.GetInfoResponse(
            info=self._info,
            faces=little_endian(body.faces, "<i4") if request.include_faces else b"",
            vertex_count=len(body.template),
            limits=self._limits.to_message(),
        )

    @with_status
    async def Reconstruct(self, request: pb.ReconstructRequest, context: Context) -> pb.ReconstructResponse:
        request_id = set_request_id(request.request_id or _metadata(context, "x-request-id"))
        context.set_trailing_metadata((("x-request-id", request_id),))  # costs no message and cannot fail
        options = options_from(request.options)
        replies = ReplyWriter(self._core, frozenset(request.options.outputs), request_id)

        def finish(recovery: Recovery) -> pb.ReconstructResponse:
            message = replies.write(recovery)
            return pb.ReconstructResponse(request_id=request_id, info=self._info, reconstruction=message)

        return await self._core.recover(request.image, with_deadline(options, context), finish)

    async def ReconstructStream(
        self, request_iterator: Requests, context: Context
    ) -> AsyncIterator[pb.ReconstructStreamResponse]:
        try:
            with self._open_stream(), self._core.held.account(current().caller) as account:
                # Closed here and not later by the garbage collector: the frames in flight belong to this account.
                async with aclosing(self._stream(request_iterator, context, account)) as responses:
                    async for response in responses:
                        yield response
        except Exception as error:
            await _abort(context, error)

    async def _stream(
        self, requests: Requests, context: Context, account: Account
    ) -> AsyncGenerator[pb.ReconstructStreamResponse, None]:
        config = await read_config(requests, context, self._limits.stream_idle_s)
        limits = self._stream_limits(config)
        options_from(config.options)  # an invalid config is refused before the first frame
        request_id = set_request_id(_metadata(context, "x-request-id"))
        replies = ReplyWriter(self._core, frozenset(config.options.outputs), request_id)
        processor = FrameProcessor(self._core, config, replies, context, account)
        yield self._ready(limits)

        frames = read_frames(requests, config, account)
        settle = processor.follow if processor.follows else None
        stream = FrameStream(frames, processor.recover, limits, account=account, draining=self.draining, settle=settle)
        current().tally = stream.tally
        async with aclosing(stream.outcomes()) as outcomes:
            async for outcome in outcomes:
                self._core.metrics.frame(_outcome_name(outcome))
                yield _response(outcome)
        yield _summary(stream)
        await stream.linger(LINGER_S)
        _check_completed(stream.end)

    def _stream_limits(self, config: pb.StreamConfig) -> StreamLimits:
        return StreamLimits(
            max_in_flight=self._limits.in_flight(config),
            drop_oldest=config.overload_policy == pb.OVERLOAD_POLICY_DROP_OLDEST,
            idle_s=self._limits.stream_idle_s,
            total_s=self._limits.stream_timeout_s,
        )

    def _ready(self, limits: StreamLimits) -> pb.ReconstructStreamResponse:
        ready = pb.StreamReady(info=self._info, limits=self._limits.to_message(), max_in_flight=limits.max_in_flight)
        return pb.ReconstructStreamResponse(ready=ready)

    @contextmanager
    def _open_stream(self) -> Iterator[None]:
        """Count a stream. Raises Draining or TooManyStreams."""
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


def _response(outcome: Outcome[pb.Reconstruction]) -> pb.ReconstructStreamResponse:
    frame_id = outcome.frame_id
    if outcome.error is not None:
        error = pb.FrameError(frame_id=frame_id, error=error_to(outcome.error))
        return pb.ReconstructStreamResponse(error=error)
    if outcome.result is not None:
        result = pb.FrameResult(frame_id=frame_id, reconstruction=outcome.result)
        return pb.ReconstructStreamResponse(result=result)
    return pb.ReconstructStreamResponse(dropped=pb.FrameDropped(frame_id=frame_id))


def _outcome_name(outcome: Outcome[Any]) -> str:
    if outcome.error is not None:
        return outcome.error.code
    return "dropped" if outcome.result is None else "ok"


def _summary(stream: FrameStream[Any, Any]) -> pb.ReconstructStreamResponse:
    tally = stream.tally
    summary = pb.StreamSummary(
        frames=tally.frames,
        results=tally.results,
        errors=tally.errors,
        dropped=tally.dropped,
        end_reason=END_REASONS[stream.end],
    )
    return pb.ReconstructStreamResponse(summary=summary)


def _check_completed(end: End) -> None:
    """Raise Draining or DeadlineExceeded unless the client ended the stream."""
    if end is End.DRAINING:
        raise Draining("the service is going down; connect again")
    if end is not End.COMPLETED:
        raise DeadlineExceeded(f"the stream ends: {end.value}")


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
