"""Reads the requests of a stream: the config, then frames."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc

from service.errors import DeadlineExceeded, InvalidParameter, MalformedRequest, Overloaded, ServiceError
from service.limits.held_bytes import Account
from service.options import Options
from service.rpc.messages import options_from
from service.rpc.pb import reconstruction_pb2 as pb

Requests = AsyncIterator[pb.ReconstructStreamRequest]


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame with its own options."""

    frame_id: int
    image: bytes
    options: Options | ServiceError  # the error is the answer to this frame
    time_s: float

    @property
    def size(self) -> int:
        """Bytes held for it."""
        return len(self.image)


async def read_config(requests: Requests, context: grpc.aio.ServicerContext, idle_s: float) -> pb.StreamConfig:
    """The first message. Raises DeadlineExceeded, MalformedRequest or InvalidParameter."""
    try:
        async with asyncio.timeout(idle_s):
            first = await anext(requests)
    except TimeoutError as error:
        raise DeadlineExceeded(f"no config came within {idle_s:g} s") from error
    except StopAsyncIteration as error:
        if context.cancelled():
            raise asyncio.CancelledError from error
        raise MalformedRequest("expected a config as the first message, got none") from error
    if first.WhichOneof("message") != "config":
        got = first.WhichOneof("message") or "an empty message"
        raise MalformedRequest(f"expected a config as the first message, got {got}")
    config = first.config
    if config.overload_policy not in pb.OverloadPolicy.values():
        raise InvalidParameter.named("overload_policy", f"unknown policy {config.overload_policy}")
    return config


async def read_frames(requests: Requests, config: pb.StreamConfig, account: Account) -> AsyncIterator[Frame]:
    """The frames that follow. The images count towards `account`."""
    async for request in requests:
        kind = request.WhichOneof("message")
        if kind != "frame":
            raise MalformedRequest(f"expected a frame, got {'another config' if kind else 'an empty message'}")
        frame = request.frame
        has_time = frame.HasField("capture_time")
        image, options = frame.image, _options_of(frame, config)
        try:
            account.add_received(len(image))
        except Overloaded as error:
            image, options = b"", error
        yield Frame(
            frame_id=frame.frame_id,
            image=image,
            options=options,
            time_s=frame.capture_time.ToNanoseconds() / 1e9 if has_time else time.monotonic(),
        )


def _options_of(frame: pb.Frame, config: pb.StreamConfig) -> Options | ServiceError:
    try:
        return options_from(config.options, frame.camera if frame.HasField("camera") else None)
    except ServiceError as error:
        return error
