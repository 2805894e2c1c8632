"""The service over gRPC."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import grpc
import numpy as np

from service.client.address import Address, Tls
from service.client.errors import BadReply, ClientError, InvalidUse
from service.client.frames import FrameSource
from service.client.messages import config_to, info_from, limits_from, options_to, reconstruction_from
from service.client.options import ImageOptions, StreamOptions
from service.client.parsing import parsing_reply
from service.client.results import Reconstruction, ServiceInfo, StreamEvent
from service.client.statuses import error_from
from service.client.stream_call import StreamCall
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub

# A reply with the meshes of 64 people takes 6 MB, their scene 13 MB; gRPC's default limit is 4 MiB.
MAX_REPLY_BYTES = 128 * 2**20
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
    ("grpc.max_send_message_length", -1),  # the service limits the size of images
    ("grpc.enable_retries", 0),  # `with_retries` retries; gRPC's own retries do not know its time limit
    # A failed channel must be reconnecting by the next attempt; gRPC's default backoff grows to 120 s.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Detects a peer that vanished silently (no power, no network) within 80 s while a call is in progress.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]


class _Forks:
    """gRPC does not survive a fork while a channel is open: calls in the child would hang, or crash it."""

    def __init__(self) -> None:
        self.open_channels = 0
        self.broken = False
        os.register_at_fork(after_in_child=self._after_in_child)

    def _after_in_child(self) -> None:
        self.broken = self.broken or self.open_channels > 0


_forks = _Forks()


class GrpcTransport:
    """A channel to one service."""

    def __init__(self, address: Address, *, tls: Tls, api_key: str | None) -> None:
        if _forks.broken:
            raise InvalidUse(
                "this process was forked while a gRPC client was open, and gRPC does not work in it; close the client before "
                "the fork, start processes by `spawn`, or connect to http://"
            )
        self._address = address
        self._metadata = [("x-api-key", api_key)] if api_key is not None else []
        options = [*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0 if address.loopback else 1)]
        if address.secure:
            credentials = grpc.ssl_channel_credentials(*tls.contents())
            self._channel = grpc.aio.secure_channel(address.target, credentials, options)
        else:
            self._channel = grpc.aio.insecure_channel(address.target, options)
        self._stub: Any = ReconstructionServiceStub(self._channel)
        _forks.open_channels += 1

    async def reconstruct(
        self, image: bytes, options: ImageOptions, *, timeout_s: float, request_id: str
    ) -> Reconstruction:
        request = pb.ReconstructRequest(image=image, options=options_to(options), request_id=request_id)
        reply = await self._unary(self._stub.Reconstruct, request, timeout_s, request_id)
        with parsing_reply(request_id):
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
        stream = StreamCall(call, self._address, options, request_id)
        sender = asyncio.create_task(stream.send(config, frames))
        try:
            # Not nested generators: an event loop that ends closes all generators at once instead of from the outside in.
            while (event := await stream.next_event()) is not None:
                yield event
        finally:
            # Always: a call that is not cancelled stays in flight until its channel is closed (grpc #43462).
            call.cancel()
            sender.cancel()
            await asyncio.wait([sender])
            await stream.aclose()

    async def info(self, *, faces: bool, timeout_s: float) -> ServiceInfo:
        reply = await self._unary(self._stub.GetInfo, pb.GetInfoRequest(include_faces=faces), timeout_s, "")
        with parsing_reply():
            return ServiceInfo(
                info=info_from(reply.info),
                vertex_count=reply.vertex_count,
                faces=np.frombuffer(reply.faces, "<i4").astype(np.int32).reshape(-1, 3) if faces else None,
                limits=limits_from(reply.limits),
            )

    async def aclose(self) -> None:
        await self._channel.close()
        _forks.open_channels -= 1

    async def _unary(self, method: Any, request: Any, timeout_s: float, request_id: str) -> Any:
        call = method(request, timeout=timeout_s, metadata=self._metadata)
        try:
            reply = await call
        except grpc.aio.AioRpcError as error:
            raise error_from(error, self._address, request_id) from error
        finally:
            call.cancel()
        if reply is None:  # grpc.aio returns None for bytes that do not parse
            raise BadReply("the reply cannot be parsed as the expected message", request_id=request_id)
        return reply
