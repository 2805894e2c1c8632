"""The composition root: builds engine, core, REST and gRPC servers from the settings, runs them, and shuts them down."""

import asyncio
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from bodykit.body import load_body
from bodykit.errors import UserError
from bodykit.manifest import Manifest
from service import __version__
from service.access.authenticator import FileAuthenticator, open_authenticator, open_limiter
from service.access.tls import Tls, open_tls
from service.decoding.images import ImageLimits
from service.engines import open_engine
from service.formats.kernels import load_kernels
from service.limits.rate_limit import RateLimiter
from service.process.collector import short_collections
from service.process.cpus import usable_cpus
from service.process.heap import release_large_blocks, release_small_blocks
from service.process.shutdown import Shutdown, exit_after
from service.recovery import MeshRecovery
from service.rest.app import create_app
from service.rest.connection import Connection
from service.rpc.limits import RpcLimits
from service.rpc.server import RpcOptions, RpcServer
from service.settings import Settings
from service.telemetry.logs import keep_standard_streams, say, start_logging
from service.telemetry.loop_lag import watch_loop
from service.telemetry.tracing import open_tracer

log = logging.getLogger("service")
WARM_UP_RETRY_S = 1.0
COMPILING_AFTER_S = 3.0  # loading compiled code from a cache takes a third of this
# More connections than images that may wait, so health probes and refusals still get through.
LISTEN_BACKLOG = 512
HARD_STOP_S = 5.0  # after the grace period of running requests, for cleaning up
ENGINE_LOST = 70  # exit status; EX_SOFTWARE of sysexits.h
THREADS = 24  # of gRPC, the log and the event loop
NETWORK_THREADS = (
    3  # per thread of the network: one that runs an image, and fewer than two in the pools of its sessions
)
MIN_WORKERS = 2  # one image can be decoded while another is encoded, even on one processor


def open_core(settings: Settings) -> MeshRecovery:
    """Loads model and body. Raises UserError when one is missing or damaged, or they do not belong together."""
    manifest = Manifest.read(settings.model_dir).choose(settings.model_variant)
    body = load_body(settings.body)
    engine = open_engine(settings, manifest, settings.model_dir)
    return MeshRecovery(
        engine,
        manifest,
        body,
        limits=ImageLimits(settings.max_megapixels, settings.max_side, settings.max_body_bytes),
        max_people=settings.max_people,
        max_concurrency=settings.max_concurrency,
        max_held_bytes=settings.max_held_bytes,
        timeout_s=settings.request_timeout_s,
        workers=settings.workers or max(MIN_WORKERS, usable_cpus()),
        tracer=open_tracer(settings.traces),
    )


def serve(settings: Settings, shutdown: Shutdown) -> int:
    """Runs the service until a shutdown is requested. Returns the exit status. Raises UserError if it cannot start."""
    begin = time.perf_counter()
    keep_standard_streams()
    release_large_blocks()
    cpus = usable_cpus()
    check_threads(THREADS + (settings.workers or cpus) + NETWORK_THREADS * (settings.threads or cpus))
    start_logging(settings.log_level, settings.log_format, access=settings.access_log)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_no_disconnect)
    tls = open_tls(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    authenticator = open_authenticator(settings)
    limiter = open_limiter(settings.rate_limit)  # one for both protocols
    with listen(settings.host, settings.port) as listener:
        with ThreadPoolExecutor(1) as loader:  # signals are handled at once: loading does not block this thread
            core = loader.submit(open_core, settings).result()
        server = _Server(_uvicorn_config(core, settings, authenticator, limiter, tls))
        rpc = _rpc_server(core, settings, authenticator, limiter, tls)
        with short_collections(), asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            service = _Service(server, rpc, core, authenticator, settings, shutdown, begin)
            runner.run(service.run(listener))
    return shutdown.status


def check_threads(count: int) -> None:
    """Raises UserError unless `count` more threads can be started. Without them the service would run but never answer."""
    enough = threading.Event()
    started = []
    try:
        for _ in range(count):
            started.append(threading.Thread(target=enough.wait, daemon=True))
            started[-1].start()
    except RuntimeError as error:
        raise UserError(
            f"the service needs {count} more threads and could start only {len(started) - 1}: the process limit is too low "
            "(ulimit -u, or pids_limit of a container)"
        ) from error
    finally:
        enough.set()


def listen(host: str, port: int, *, flag: str = "--port") -> socket.socket:
    """A listening TCP socket, opened before anything slow is loaded. Raises UserError when the port is not available."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=LISTEN_BACKLOG)
    except OSError as error:
        # asyncio and socket extend strerror; resolver errors have their own, negative numbers.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise UserError(f"cannot listen on {host} port {port}: {reason}; choose another with {flag}") from error


def _is_no_disconnect(record: logging.LogRecord) -> bool:
    """Filters out the traceback that grpc logs when a client disconnects during a response, which is not an error."""
    return not record.getMessage().startswith("ExecuteBatchError raised in core")


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: `Shutdown` has them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _rpc_server(
    core: MeshRecovery,
    settings: Settings,
    authenticator: FileAuthenticator | None,
    limiter: RateLimiter | None,
    tls: Tls | None,
) -> RpcServer:
    limits = RpcLimits(
        max_image_bytes=settings.max_body_bytes,
        max_people=settings.max_people,
        max_streams=settings.max_streams,
        max_in_flight=settings.max_in_flight,
        stream_idle_s=settings.stream_idle_s,
        stream_timeout_s=settings.stream_timeout_s,
    )
    options = RpcOptions(
        reflection=settings.grpc_reflection,
        keepalive_s=settings.grpc_keepalive_s,
        max_connection_age_s=settings.grpc_max_connection_age_s,
    )
    address = f"{_bracketed(settings.host)}:{settings.grpc_port}"
    return RpcServer(core, address, limits, options=options, authenticator=authenticator, limiter=limiter, tls=tls)


def _uvicorn_config(
    core: MeshRecovery,
    settings: Settings,
    authenticator: FileAuthenticator | None,
    limiter: RateLimiter | None,
    tls: Tls | None,
) -> uvicorn.Config:
    app = create_app(
        core,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.request_timeout_s,
        max_batch_images=settings.max_batch_images,
        max_batch_bytes=settings.max_batch_bytes,
        authenticator=authenticator,
        limiter=limiter,
        cors_origins=[origin.strip() for origin in (settings.cors_origins or "").split(",") if origin.strip()],
    )
    app.openapi()  # cached by the application; building it at the first request would block the event loop for 40 ms
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="error",  # it logs a line for every malformed request, which would fill a disk
        access_log=False,
        lifespan="off",
        server_header=False,
        http=Connection,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
    )


@dataclass
class _Service:
    """The two servers of a process and the background tasks beside them."""

    server: _Server
    rpc: RpcServer
    core: MeshRecovery
    authenticator: FileAuthenticator | None
    settings: Settings
    shutdown: Shutdown
    begin: float  # of the process, by time.perf_counter

    async def run(self, listener: socket.socket) -> None:
        """Serve until a shutdown is requested and has finished."""
        self.shutdown.attach()
        work = [watch_loop(self.core.metrics), release_small_blocks(), self._stop_without_engine()]
        if self.authenticator is not None:
            work.append(self.authenticator.watch())
        tasks = [asyncio.create_task(item) for item in work]
        try:
            await self.rpc.start()
            stopping = asyncio.create_task(self._stop_when_requested())
            tasks += [stopping, asyncio.create_task(self._warm_up(listener))]
            await self.server.serve(sockets=[listener])
            await stopping
        finally:
            for task in tasks:
                task.cancel()
            await self.core.aclose()
        say("depthhmr stopped")

    async def _stop_when_requested(self) -> None:
        """Report "not ready", keep serving until load balancers have noticed, then finish the running requests.

        Both protocols go through the same steps at the same time.
        """
        await self.shutdown.requested()
        delay_s = (
            self.settings.drain_delay_s if self.core.ready else 0.0
        )  # an instance that is not ready gets no traffic
        grace_s = self.settings.shutdown_timeout_s
        line = f"depthhmr ends: requests were still running {grace_s} s after the last one was accepted"
        exit_after(delay_s + grace_s + HARD_STOP_S, self.shutdown.status, line)
        self.core.shutting_down = True
        await self.rpc.announce()
        await asyncio.sleep(delay_s)
        self.server.should_exit = True
        await self.rpc.stop(grace_s)

    async def _stop_without_engine(self) -> None:
        """Shut down when only a new process can recover the engine; the supervisor is expected to restart the service."""
        reason = await self.core.engine.lost()
        log.critical("the engine %s is lost, and so the service ends: %s", self.core.engine.name, reason)
        self.shutdown.request(ENGINE_LOST)

    async def _warm_up(self, listener: socket.socket) -> None:
        """Load what requests need, run the network until it answers (a separate server may still be starting), then print
        that the service is ready."""
        core = self.core
        await _load_kernels()
        while not core.warm:
            try:
                await core.warm_up()
            except Exception as error:  # after any error the service stays up, reports "not ready" and retries
                log.warning("the engine %s does not answer yet: %s%s", core.engine.name, error, core.engine.place)
                await asyncio.sleep(WARM_UP_RETRY_S)
        scheme = "https" if self.server.config.is_ssl else "http"
        where = f"{scheme}://{_address(listener)}, gRPC {_bracketed(self.settings.host)}:{self.rpc.port}"
        await asyncio.to_thread(
            say,
            f"depthhmr {__version__} is ready at {where} after {time.perf_counter() - self.begin:.1f} s "
            f"(engine {core.engine.name}, model {core.manifest.name} {core.manifest.version}, {core.manifest.precision})",
        )


async def _load_kernels() -> None:
    """Loads the drawing code before the service is ready, so that the first mesh or overlay does not wait for a compiler."""
    loading = asyncio.create_task(asyncio.to_thread(load_kernels))
    done, _ = await asyncio.wait([loading], timeout=COMPILING_AFTER_S)
    if not done:
        log.info("compiling the drawing code: takes some seconds, once where numba can write a cache")
    try:
        await loading
    except Exception:
        log.exception("cannot draw meshes and overlays here; JSON replies work")


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{_bracketed(host)}:{port}"


def _bracketed(host: str) -> str:
    """An address as written before a port: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
