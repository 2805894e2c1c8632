"""One bidirectional gRPC stream: sends frames and checks each response against the protocol."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Coroutine
from contextlib import aclosing
from typing import Any

import grpc

from service.client.address import Address
from service.client.errors import BadReply, ClientError
from service.client.frames import FrameSource, numbered_frames
from service.client.messages import (
    frame_error_from,
    frame_to,
    info_from,
    limits_from,
    reconstruction_from,
    summary_from,
)
from service.client.options import ImageOptions
from service.client.parsing import parsing_reply
from service.client.results import Dropped, Info, Ready, Result, StreamEvent, Summary
from service.client.statuses import error_from
from service.rpc.pb import reconstruction_pb2 as pb

FAILED_WRITE = "Internal error from Core"
STATUS_TIMEOUT_S = 2.0  # how long to wait for the service's own status after a failed write


class StreamCall:
    """The state of one stream call."""

    def __init__(self, call: Any, address: Address, options: ImageOptions, request_id: str) -> None:
        self._call, self._address, self._options, self._request_id = call, address, options, request_id
        self._pending: deque[int] = deque()  # frame ids; bounded by gRPC's flow control
        self._source_error: BaseException | None = None
        self._info: Info | None = None
        self._summary_received = False
        self._status: asyncio.Future[grpc.aio.AioRpcError] = asyncio.get_running_loop().create_future()
        call.add_done_callback(self._keep_status)
        # Not `call.read()`: after a failed write it returns nothing more, although responses and status are still due.
        self._answers = aiter(call)

    async def send(self, config: pb.StreamConfig, frames: FrameSource) -> None:
        """Send the config, then every frame as flow control allows. `next_event` raises the errors of this method."""
        try:
            if not await self._completed(self._call.write(pb.ReconstructStreamRequest(config=config))):
                return
            async with aclosing(numbered_frames(frames)) as ready:
                async for frame in ready:
                    self._pending.append(frame.frame_id)
                    if not await self._completed(self._call.write(pb.ReconstructStreamRequest(frame=frame_to(frame)))):
                        return
            await self._completed(self._call.done_writing())
        except BaseException as error:  # raised by the caller's frame source, of any type
            if isinstance(error, asyncio.CancelledError) and _task_cancelled():
                raise
            self._source_error = error
            self._call.cancel()

    async def _completed(self, operation: Awaitable[None]) -> bool:
        """Await an operation of the call. False when the call has ended; its status says why."""
        try:
            await operation
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            return False
        except asyncio.CancelledError:  # either the call or this task was cancelled
            if _task_cancelled():
                raise
            return False
        return True

    async def next_event(self) -> StreamEvent | None:
        """The next event, checked against the protocol; None after the last. Raises ClientError, or the exception that the
        frame source raised.
        """
        try:
            message = await anext(self._answers, grpc.aio.EOF)
        except grpc.aio.AioRpcError as error:
            raise self._call_error(await self._service_status(error)) from error
        except asyncio.CancelledError:
            if self._source_error is None or _task_cancelled():
                raise
            message = grpc.aio.EOF
        if message is not grpc.aio.EOF:
            event = self._parse(message)
            self._summary_received |= isinstance(event, Summary)
            return event
        if self._source_error is not None:
            raise self._source_error
        if not self._summary_received or self._pending:
            raise self._protocol_error(
                "ended with frames unanswered" if self._summary_received else "ended without its summary"
            )
        return None

    async def aclose(self) -> None:
        await self._answers.aclose()

    def _keep_status(self, call: Any) -> None:
        """Keep the status that the service sent. A write that races with the end of a call makes grpc.aio replace that
        status with INTERNAL ("Internal error from Core"), before or after it arrives: in five of six streams that are
        refused early (grpc #36066). This callback sees every status that the call takes.
        """
        code, details, trailers = (_run_sync(part()) for part in (call.code, call.details, call.trailing_metadata))
        if details != FAILED_WRITE and not self._status.done():
            empty = grpc.aio.Metadata()
            self._status.set_result(grpc.aio.AioRpcError(code, empty, trailers or empty, details))

    async def _service_status(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        if error.details() != FAILED_WRITE:
            return error
        await asyncio.wait([self._status], timeout=STATUS_TIMEOUT_S)
        return self._status.result() if self._status.done() else error

    def _parse(self, message: Any) -> StreamEvent:
        if message is None:
            raise self._protocol_error("holds bytes that are not a response message")
        with parsing_reply(self._request_id):
            kind = message.WhichOneof("message")
            if kind == "ready":
                self._info = info_from(message.ready.info)
                return Ready(self._info, limits_from(message.ready.limits), message.ready.max_in_flight)
            if kind == "summary":
                return summary_from(message.summary)
            if kind is None:
                raise self._protocol_error("holds an empty message")
            answer = getattr(message, kind)
            self._check_order(answer.frame_id)
            if kind == "dropped":
                return Dropped(answer.frame_id)
            if kind == "error":
                return frame_error_from(answer)
            if self._info is None:
                raise self._protocol_error("has a result before `ready`")
            return Result(answer.frame_id, reconstruction_from(answer.reconstruction, self._info, self._options, ""))

    def _check_order(self, frame_id: int) -> None:
        """Every frame is answered once, in order."""
        if not self._pending or self._pending[0] != frame_id:
            expected = f"frame {self._pending[0]}" if self._pending else "no frame"
            raise self._protocol_error(f"answers frame {frame_id}, expected {expected}")
        self._pending.popleft()

    def _call_error(self, status: grpc.aio.AioRpcError) -> ClientError:
        error = error_from(status, self._address, self._request_id)
        if self._pending:
            error.detail += f" ({len(self._pending)} frames were sent but not answered)"
            error.args = (error.detail,)
        return error

    def _protocol_error(self, what: str) -> BadReply:
        return BadReply(f"the stream {what}", request_id=self._request_id)


def _task_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _run_sync(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    finally:
        coroutine.close()
    raise AssertionError("the status of a finished call must be available at once")
