"""The gRPC server: the calls, the standard health and reflection services, and shutdown."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import grpc

from bodykit.errors import UserError
from service.access.authenticator import AccessControl, Authenticator
from service.access.tls import Tls
from service.limits.rate_limit import RateLimiter
from service.recovery import MeshRecovery
from service.rpc.health import HEALTH, Health
from service.rpc.interceptors.authentication import AuthenticationInterceptor
from service.rpc.interceptors.observation import ObservationInterceptor
from service.rpc.interceptors.requests import RequestInterceptor
from service.rpc.limits import RpcLimits
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import add_ReconstructionServiceServicer_to_server
from service.rpc.reflection import reflection_handlers
from service.rpc.servicer import ReconstructionServicer
from service.settings import DEFAULTS, MESSAGE_OVERHEAD
from service.telemetry.observer import Observer

SERVICE = pb.DESCRIPTOR.services_by_name["ReconstructionService"].full_name
HEALTH_EVERY_S = 0.25  # how soon the health service reports a change of the engine
MAX_REPLY_BYTES = 64 * 2**20  # 64 people with vertices and GLB are 20 MB
MAX_METADATA_BYTES = 16 * 1024


@dataclass(frozen=True)
class RpcOptions:
    """How the server treats connections."""

    reflection: bool = DEFAULTS.grpc_reflection
    keepalive_s: float = DEFAULTS.grpc_keepalive_s
    max_connection_age_s: float = DEFAULTS.grpc_max_connection_age_s  # 0: unlimited


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
        """Listen. Raises UserError when the port is not available."""
        self._servicer = ReconstructionServicer(self._core, self._limits)
        self._health = Health(SERVICE)
        self._server = grpc.aio.server(
            interceptors=self._interceptors(), options=_channel_arguments(self._limits, self._options)
        )
        add_ReconstructionServiceServicer_to_server(self._servicer, self._server)
        self._server.add_generic_rpc_handlers((self._health.handlers(),))
        if self._options.reflection:
            self._server.add_generic_rpc_handlers(reflection_handlers((SERVICE, HEALTH)))
        self.port = self._bind()
        self._health.set(self._core.ready)
        await self._server.start()
        self._watching = asyncio.create_task(self._watch_health())

    async def announce(self) -> None:
        """Report NOT_SERVING. Calls are still answered."""
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        self._health.set(False)

    async def drain(self) -> None:
        """Report NOT_SERVING, and end streams after the frames in flight."""
        await self.announce()
        self._servicer.draining.set()

    async def stop(self, grace_s: float) -> None:
        """Accept no more calls and wait up to `grace_s` seconds for those in progress."""
        await self.drain()
        self._health.stop()
        await self._server.stop(grace_s)

    def _interceptors(self) -> list[grpc.aio.ServerInterceptor]:
        """The outermost first."""
        max_bytes, idle_s = _max_message_bytes(self._limits), self._limits.stream_idle_s
        return [
            ObservationInterceptor(Observer(self._core.tracer, self._core.metrics)),
            *([] if self._access.is_open else [AuthenticationInterceptor(self._access)]),
            RequestInterceptor(self._core, max_message_bytes=max_bytes, idle_s=idle_s),
        ]

    def _bind(self) -> int:
        try:
            if self._tls is None:
                return self._server.add_insecure_port(self._address)
            return self._server.add_secure_port(self._address, _credentials(self._tls))
        except RuntimeError as error:
            if self._tls is not None and self._can_bind_without_tls():
                files = f"{self._tls.certificate}, {self._tls.key}" + (
                    f", {self._tls.client_ca}" if self._tls.client_ca else ""
                )
                raise UserError(
                    f"gRPC cannot use the TLS files {files}; expected PEM files with an RSA or ECDSA key"
                ) from error
            raise UserError(
                f"cannot listen on {self._address} for gRPC; choose another port with --grpc-port"
            ) from error

    def _can_bind_without_tls(self) -> bool:
        """gRPC raises the same error for a port that is taken and for TLS files that it cannot use."""
        try:
            return bool(self._server.add_insecure_port(self._address))
        except RuntimeError:
            return False

    async def _watch_health(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_EVERY_S)
            self._health.set(self._core.ready)


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    key, certificate, client_ca = tls.contents()
    return grpc.ssl_server_credentials([(key, certificate)], client_ca, require_client_auth=client_ca is not None)


def _max_message_bytes(limits: RpcLimits) -> int:
    return limits.max_image_bytes + MESSAGE_OVERHEAD


def _channel_arguments(limits: RpcLimits, options: RpcOptions) -> list[tuple[str, int]]:
    arguments = [
        ("grpc.max_receive_message_length", _max_message_bytes(limits)),
        ("grpc.max_send_message_length", MAX_REPLY_BYTES),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.keepalive_time_ms", int(1e3 * options.keepalive_s)),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Clients may send a keepalive ping every 10 s; one that floods is disconnected.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.max_concurrent_streams", 1000),  # per connection; the servicer counts the streams of all connections
        ("grpc.so_reuseport", 0),  # a second service on the same port must be an error, not a lottery
    ]
    if options.max_connection_age_s:
        arguments.append(("grpc.max_connection_age_ms", int(1e3 * options.max_connection_age_s)))
        arguments.append(("grpc.max_connection_age_grace_ms", int(1e3 * limits.stream_timeout_s)))
    return arguments
