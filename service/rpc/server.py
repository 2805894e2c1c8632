"""The gRPC server: the calls, the standard health and reflection services, and how it goes down."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from bodykit.errors import UserError
from service.errors import RateLimited, Unauthenticated
from service.gate import Callers, Door
from service.ratelimit import RateLimiter, address_of_peer
from service.recovery import MeshRecovery
from service.rpc.observed import Observed
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import add_ReconstructionServiceServicer_to_server
from service.rpc.servicer import ReconstructionServicer, RpcLimits
from service.rpc.statuses import status_of
from service.telemetry.observer import Observer
from service.telemetry.record import current
from service.tls import Tls

SERVICE = pb.DESCRIPTOR.services_by_name["ReconstructionService"].full_name
HEALTH_EVERY_S = 0.25  # how soon a change of the engine shows in the health service
MESSAGE_OVERHEAD = 64 * 1024  # what a request may have besides its image
MAX_REPLY_BYTES = 64 * 2**20  # 64 people with vertices and GLB are 20 MB
MAX_METADATA_BYTES = 16 * 1024


@dataclass(frozen=True)
class RpcOptions:
    """How the server treats connections."""

    reflection: bool = True
    keepalive_s: float = 60.0
    max_connection_age_s: float = 0.0  # 0: never


class RpcServer:
    """A gRPC server on one address. `start`, then `drain` and `stop`, in the same event loop."""

    def __init__(
        self,
        core: MeshRecovery,
        address: str,
        limits: RpcLimits,
        *,
        options: RpcOptions | None = None,
        keys: Callers | None = None,
        limiter: RateLimiter | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._core, self._address, self._limits = core, address, limits
        self._options, self._door, self._tls = options or RpcOptions(), Door(keys, limiter), tls
        self.port = 0  # known after `start`

    async def start(self) -> None:
        """Listen. Raises UserError when the port cannot be had."""
        self._servicer = ReconstructionServicer(self._core, self._limits)
        self._health = health.aio.HealthServicer()
        observed = Observed(Observer(self._core.tracer, self._core.metrics))
        interceptors = [observed, *([] if self._door.is_open else [_KeyCheck(self._door)]), _Readable()]
        self._server = grpc.aio.server(
            interceptors=interceptors, options=_channel_arguments(self._limits, self._options)
        )
        add_ReconstructionServiceServicer_to_server(self._servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if self._options.reflection:
            names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        try:
            if self._tls is None:
                self.port = self._server.add_insecure_port(self._address)
            else:
                self.port = self._server.add_secure_port(self._address, _credentials(self._tls))
        except RuntimeError as error:
            raise UserError(
                f"cannot listen on {self._address} for gRPC; choose another port with --grpc-port"
            ) from error
        await self._tell_health()
        await self._server.start()
        self._watching = asyncio.create_task(self._watch_health())

    async def announce(self) -> None:
        """Say that this service is going down. It goes on answering."""
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        await self._health.enter_graceful_shutdown()

    async def drain(self) -> None:
        """Say so, and let streams end after what they have in work."""
        await self.announce()
        self._servicer.draining.set()

    async def stop(self, grace_s: float) -> None:
        """Take no more calls and wait for those under way, `grace_s` seconds at the most."""
        await self.drain()
        await self._server.stop(grace_s)

    async def _watch_health(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_EVERY_S)
            await self._tell_health()

    async def _tell_health(self) -> None:
        status = health_pb2.HealthCheckResponse
        for name in ("", SERVICE):
            await self._health.set(name, status.SERVING if self._core.ready else status.NOT_SERVING)


class _KeyCheck(grpc.aio.ServerInterceptor):
    """Refuses calls without a valid key, and one too many, before their message is parsed. Health checks need none."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        if handler is None or details.method.startswith(f"/{health.SERVICE_NAME}/"):
            return handler
        headers = {key: value for key, value in details.invocation_metadata or () if isinstance(value, str)}

        async def admit(context: Any) -> None:
            try:
                await self._door.admit(headers, address_of_peer(context.peer()))
            except (Unauthenticated, RateLimited) as error:
                current().outcome = error.code
                await context.abort_with_status(status_of(error))

        return _behind(admit, handler)


class _Readable(grpc.aio.ServerInterceptor):
    """Hands None to our calls for bytes that are no message; grpc itself would answer with the text of the exception."""

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        if handler is None or not details.method.startswith(f"/{SERVICE}/"):
            return handler

        def read(content: bytes) -> Any:
            try:
                return handler.request_deserializer(content)
            except DecodeError:
                return None

        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(handler.stream_stream, read, handler.response_serializer)
        return grpc.unary_unary_rpc_method_handler(handler.unary_unary, read, handler.response_serializer)


def _behind(admit: Callable[[Any], Awaitable[None]], handler: Any) -> Any:
    """A handler of the same kind that asks `admit` first: only there is the caller's address known."""
    kind = f"{'stream' if handler.request_streaming else 'unary'}_{'stream' if handler.response_streaming else 'unary'}"
    behaviour = getattr(handler, kind)
    read = handler.request_deserializer

    async def call(request: Any, context: Any) -> Any:
        await admit(context)
        return await behaviour(request if handler.request_streaming else read(request), context)

    async def call_streaming(request: Any, context: Any) -> Any:
        await admit(context)
        async with aclosing(behaviour(request if handler.request_streaming else read(request), context)) as responses:
            async for response in responses:
                yield response

    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        call_streaming if handler.response_streaming else call,
        read if handler.request_streaming else bytes,  # bytes() of bytes is the same object
        handler.response_serializer,
    )


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    client_ca = tls.client_ca.read_bytes() if tls.client_ca else None
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)


def _channel_arguments(limits: RpcLimits, options: RpcOptions) -> list[tuple[str, int]]:
    arguments = [
        ("grpc.max_receive_message_length", limits.max_image_bytes + MESSAGE_OVERHEAD),
        ("grpc.max_send_message_length", MAX_REPLY_BYTES),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.keepalive_time_ms", int(1e3 * options.keepalive_s)),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A client may ask as often as every 10 s whether we live; one that floods is cut off.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.max_concurrent_streams", 1000),  # per connection; how many may be open in all is counted elsewhere
        ("grpc.so_reuseport", 0),  # a second service on the same port must be an error, not a lottery
    ]
    if options.max_connection_age_s:
        arguments.append(("grpc.max_connection_age_ms", int(1e3 * options.max_connection_age_s)))
        arguments.append(("grpc.max_connection_age_grace_ms", int(1e3 * limits.stream_timeout_s)))
    return arguments
