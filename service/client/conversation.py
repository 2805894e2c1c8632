"""The two directions of one gRPC stream: frames there, answers back, each held against the contract."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Coroutine
from contextlib import aclosing
from typing import Any

import grpc

from service.client.address import Address
from service.client.errors import BadReply, ClientError
from service.client.frames import FrameSource, numbered
from service.client.messages import (
    frame_error_from,
    frame_to,
    info_from,
    limits_from,
    reconstruction_from,
    summary_from,
)
from service.client.options import ImageOptions
from service.client.reading import understanding
from service.client.results import Dropped, Info, Ready, Result, StreamEvent, Summary
from service.client.statuses import error_from
from service.rpc.pb import reconstruction_pb2 as pb

FAILED_WRITE = "Internal error from Core"
STATUS_TIMEOUT_S = 2.0  # for the service's own status to come after a write has failed


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
            if not await self._goes_on(self._call.write(pb.ReconstructStreamRequest(config=config))):
                return
            async with aclosing(numbered(frames)) as ready:
                async for frame in ready:
                    self._unanswered.append(frame.frame_id)
                    if not await self._goes_on(self._call.write(pb.ReconstructStreamRequest(frame=frame_to(frame)))):
                        return
            await self._goes_on(self._call.done_writing())
        except BaseException as error:  # the source's own, whatever its type
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise
            self._source_failed = error
            self._call.cancel()

    async def _goes_on(self, operation: Awaitable[None]) -> bool:
        """Do this to the call. False when the call has ended: its status says why."""
        try:
            await operation
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            return False
        except asyncio.CancelledError:  # the call's, or this task's
            if _is_being_cancelled():
                raise
            return False
        return True

    async def following(self) -> StreamEvent | None:
        """The next answer, checked against the contract; None after the last. Raises ClientError, or what the source of the
        frames has raised.
        """
        try:
            message = await anext(self._answers, grpc.aio.EOF)
        except grpc.aio.AioRpcError as error:
            raise self._ended(await self._true_status(error)) from error
        except asyncio.CancelledError:
            if self._source_failed is None or _is_being_cancelled():
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


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    finally:
        coroutine.close()
    raise AssertionError("the status of a finished call is not known yet")
