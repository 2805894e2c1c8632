"""The gRPC server: the calls, the standard health and reflection services, and how it goes down."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection

from bodykit.errors import UserError
from service.access.authenticator import AccessControl, Authenticator
from service.access.tls import Tls
from service.errors import BodyTooLarge, MalformedRequest, RateLimited, ServiceError, SlowClient, Unauthenticated
from service.limits.held_bytes import Account, ByteBudget
from service.limits.rate_limit import RateLimiter, address_of_peer
from service.recovery import MeshRecovery
from service.rpc.health import HEALTH, Health
from service.rpc.observed import ObservationInterceptor
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import add_ReconstructionServiceServicer_to_server
from service.rpc.servicer import ReconstructionServicer, RpcLimits
from service.rpc.statuses import refuse
from service.settings import DEFAULTS, MESSAGE_OVERHEAD
from service.telemetry.observer import Observer
from service.telemetry.record import current

SERVICE = pb.DESCRIPTOR.services_by_name["ReconstructionService"].full_name
RECONSTRUCT = f"/{SERVICE}/Reconstruct"
HEALTH_EVERY_S = 0.25  # how soon a change of the engine shows in the health service
MAX_REPLY_BYTES = 64 * 2**20  # 64 people with vertices and GLB are 20 MB
MAX_METADATA_BYTES = 16 * 1024
UNREADABLE = "the bytes that came are no message of this protocol"
# Who asks for health needs no key: its messages, which may be as long as ours, share a sum of their own, in which a caller has
# room for two at once.
HEALTH_MESSAGES = 4
MAX_REFLECTION_BYTES = 64 * 1024  # the name of a file or a symbol; the answer holds it once more
PARSE_ASIDE_BYTES = 2**20  # parsing copies the image: 0.1 ms for a megabyte, but 18 for fifteen, on pages never touched


@dataclass(frozen=True)
class RpcOptions:
    """How the server treats connections."""

    reflection: bool = DEFAULTS.grpc_reflection
    keepalive_s: float = DEFAULTS.grpc_keepalive_s
    max_connection_age_s: float = DEFAULTS.grpc_max_connection_age_s  # 0: never


class RpcServer:
    """A gRPC server on one address. `start`, then `drain` and `stop`, in the same event loop."""

    def __init__(
        self,
        core: MeshRecovery,
        address: str,
        limits: RpcLimits,
        *,
        options: RpcOptions | None = None,
        authenticator: Authenticator | None = None,
        limiter: RateLimiter | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._core, self._address, self._limits = core, address, limits
        self._options, self._access, self._tls = options or RpcOptions(), AccessControl(authenticator, limiter), tls
        self.port = 0  # known after `start`

    async def start(self) -> None:
        """Listen. Raises UserError when the port cannot be had."""
        self._servicer = ReconstructionServicer(self._core, self._limits)
        self._health = Health(SERVICE)
        observed = ObservationInterceptor(Observer(self._core.tracer, self._core.metrics))
        reading = _Reading(self._core, self._limits)
        interceptors = [
            observed,
            *([] if self._access.is_open else [_AuthenticationInterceptor(self._access)]),
            reading,
        ]
        self._server = grpc.aio.server(
            interceptors=interceptors, options=_channel_arguments(self._limits, self._options)
        )
        add_ReconstructionServiceServicer_to_server(self._servicer, self._server)
        self._server.add_generic_rpc_handlers((self._health.handlers(),))
        if self._options.reflection:
            names = (SERVICE, HEALTH, reflection.SERVICE_NAME)
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
        self._health.set(self._core.ready)
        await self._server.start()
        self._watching = asyncio.create_task(self._watch_health())

    async def announce(self) -> None:
        """Say that this service is going down. It goes on answering."""
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        self._health.set(False)

    async def drain(self) -> None:
        """Say so, and let streams end after what they have in work."""
        await self.announce()
        self._servicer.draining.set()

    async def stop(self, grace_s: float) -> None:
        """Take no more calls and wait for those under way, `grace_s` seconds at the most."""
        await self.drain()
        self._health.stop()
        await self._server.stop(grace_s)

    async def _watch_health(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_EVERY_S)
            self._health.set(self._core.ready)


class _AuthenticationInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls without a valid key, and one too many, before their message is parsed. Health checks need none."""

    def __init__(self, access: AccessControl) -> None:
        self._access = access

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        if handler is None or details.method.startswith(f"/{HEALTH}/"):
            return handler
        headers = {key: value for key, value in details.invocation_metadata or () if isinstance(value, str)}

        async def call(requests: Any, context: Any) -> Any:
            try:
                await self._access.admit(headers, address_of_peer(context.peer()))
            except (Unauthenticated, RateLimited) as error:
                await refuse(context, error)
            async with aclosing(handler.stream_stream(requests, context)) as responses:
                async for response in responses:
                    yield response

        return _stream_handler(call, handler.request_deserializer, handler.response_serializer)


class _Reading(grpc.aio.ServerInterceptor):
    """Reads the messages of all calls; the only one of a call when there is room for it and for its image.

    To the library such a call is a stream of one message, because it would read the message before it asks anybody. Bytes
    that are no message are told so; grpc itself would answer with the text of the exception.
    """

    def __init__(self, core: MeshRecovery, limits: RpcLimits) -> None:
        self._core, self._most, self._patience_s = core, _message_bytes(limits), limits.stream_idle_s
        self._of_health = ByteBudget(HEALTH_MESSAGES * self._most)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        if handler is None:
            return None
        budget = self._of_health if details.method.startswith(f"/{HEALTH}/") else self._core.held
        most = MAX_REFLECTION_BYTES if details.method.startswith(f"/{reflection.SERVICE_NAME}/") else self._most

        def read(content: bytes) -> Any:
            if len(content) > most:
                raise BodyTooLarge(f"expected a message of at most {most} bytes, got {len(content)}")
            try:
                return handler.request_deserializer(content)
            except DecodeError as error:
                raise MalformedRequest(UNREADABLE) from error

        async def request_of(context: Any, account: Account) -> Any:
            return await _parsed(await self._message(context, account), read)

        async def one(context: Any) -> Any:
            """Nothing of the message, and no room for it, is held any more when the answer is written."""
            with budget.account(current().caller) as account:
                if details.method == RECONSTRUCT:
                    self._core.check_capacity(timeout_s=context.time_remaining())
                return await handler.unary_unary(await request_of(context, account), context)

        async def call(_: Any, context: Any) -> AsyncIterator[Any]:
            try:
                if handler.request_streaming:
                    several = handler.stream_stream(_Messages(context, read), context)
                elif handler.response_streaming:
                    with budget.account(current().caller) as account:
                        several = handler.unary_stream(await request_of(context, account), context)
                else:
                    yield await one(context)
                    return
                async with aclosing(several) as responses:
                    async for response in responses:
                        yield response
            except ServiceError as error:
                await refuse(context, error)

        return _stream_handler(call, bytes, handler.response_serializer)

    async def _message(self, context: Any, account: Account) -> bytes:
        """The only message. How long it is is known when it has come."""
        try:
            async with asyncio.timeout(self._patience_s):
                await account.wait(self._most)
                content = await context.read()
        except TimeoutError as error:
            raise SlowClient(f"the message did not arrive within {self._patience_s:g} s") from error
        if content is grpc.aio.EOF:
            raise MalformedRequest(UNREADABLE)
        account.release(self._most - len(content))
        return content


class _Messages:
    """The messages of a stream, from their bytes. They are read from the context, because the iterator that comes with a
    call keeps each of them until the next.
    """

    def __init__(self, context: Any, read: Callable[[bytes], Any]) -> None:
        self._context, self._read = context, read

    def __aiter__(self) -> "_Messages":
        return self

    async def __anext__(self) -> Any:
        content = await self._context.read()
        if content is grpc.aio.EOF:
            raise StopAsyncIteration
        return await _parsed(content, self._read)


async def _parsed(content: bytes, read: Callable[[bytes], Any]) -> Any:
    """A large one is parsed in a thread, so that the event loop gets a turn between the copies that are made of it."""
    return read(content) if len(content) < PARSE_ASIDE_BYTES else await asyncio.to_thread(read, content)


def _stream_handler(call: Any, read: Callable[[bytes], Any], write: Callable[[Any], bytes]) -> Any:
    return grpc.stream_stream_rpc_method_handler(call, read, write)


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    client_ca = tls.client_ca.read_bytes() if tls.client_ca else None
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)


def _message_bytes(limits: RpcLimits) -> int:
    return limits.max_image_bytes + MESSAGE_OVERHEAD


def _channel_arguments(limits: RpcLimits, options: RpcOptions) -> list[tuple[str, int]]:
    arguments = [
        ("grpc.max_receive_message_length", _message_bytes(limits)),
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
