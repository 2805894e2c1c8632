"""Composition root: settings -> engine -> core -> REST and gRPC, in one process; and the way down again."""

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

import uvicorn

from bodykit.body import load_body
from bodykit.errors import UserError
from bodykit.manifest import Manifest
from service import __version__
from service.access.authenticator import FileAuthenticator, open_authenticator, open_limiter
from service.access.tls import Tls, open_tls
from service.decoding.images import ImageLimits
from service.engines import open_engine
from service.limits.rate_limit import RateLimiter
from service.process.collector import short_collections
from service.process.cpus import usable_cpus
from service.process.heap import release_large_blocks, release_small_blocks
from service.process.shutdown import Shutdown, exit_after
from service.recovery import MeshRecovery
from service.rest.app import create_app
from service.rest.connection import Connection
from service.rpc.server import RpcOptions, RpcServer
from service.rpc.servicer import RpcLimits
from service.settings import Settings
from service.telemetry.logs import keep_standard_streams, say, start_logging
from service.telemetry.loop_lag import watch_loop
from service.telemetry.tracing import open_tracer

log = logging.getLogger("service")
WARM_UP_RETRY_S = 1.0
# Connections beyond the images that may wait: health probes and refusals must still get through.
LISTEN_BACKLOG = 512
HARD_STOP_S = 5.0  # beyond the time that running requests get: for closing what they leave behind
ENGINE_LOST = 70  # exit status; EX_SOFTWARE of sysexits.h
THREADS = 24  # gRPC's, the log's, the network's and the event loop's own
MIN_WORKERS = 2  # one image is decoded while another is written, even on one processor


def open_core(settings: Settings) -> MeshRecovery:
    """Load model and body and pair them. Raises UserError when something is missing, damaged or does not fit."""
    manifest = Manifest.read(settings.model_dir)
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
    """Run the service until `shutdown`. Returns the exit status; raises UserError when it cannot start."""
    begin = time.perf_counter()
    keep_standard_streams()
    release_large_blocks()
    check_threads(THREADS + (settings.workers or usable_cpus()))
    start_logging(settings.log_level, settings.log_format, access=settings.access_log)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_no_departure)
    tls = open_tls(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    authenticator = open_authenticator(settings)
    limiter = open_limiter(settings.rate_limit)  # one for both protocols
    with listen(settings.host, settings.port) as listener:
        with ThreadPoolExecutor(1) as loader:  # a signal is heard at once, whatever library's code is loading
            core = loader.submit(open_core, settings).result()
        server = _Server(_uvicorn_config(core, settings, authenticator, limiter, tls))
        rpc = _rpc_server(core, settings, authenticator, limiter, tls)
        with short_collections(), asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(_run(server, rpc, core, authenticator, listener, settings, shutdown, begin))
    return shutdown.status


def check_threads(count: int) -> None:
    """Raise UserError where so many threads cannot be had; a service without would be there and never answer."""
    enough = threading.Event()
    started = []
    try:
        for _ in range(count):
            started.append(threading.Thread(target=enough.wait, daemon=True))
            started[-1].start()
    except RuntimeError as error:
        raise UserError(
            f"the service needs {count} more threads, and {len(started) - 1} can be had: the limit on processes is too low "
            "(ulimit -u, or pids_limit of a container)"
        ) from error
    finally:
        enough.set()


def listen(host: str, port: int, *, flag: str = "--port") -> socket.socket:
    """A listening TCP socket, before anything slow is loaded. Raises UserError when the port cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=LISTEN_BACKLOG)
    except OSError as error:
        # asyncio and socket add to strerror; resolver errors have numbers of their own, below 0.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise UserError(f"cannot listen on {host} port {port}: {reason}; choose another with {flag}") from error


def _is_no_departure(record: logging.LogRecord) -> bool:
    """grpc writes a traceback for each client that leaves while an answer is on its way to it. That is no error."""
    return not record.getMessage().startswith("ExecuteBatchError raised in core")


class _Server(uvicorn.Server):
    """Uvicorn that leaves the signals to `Shutdown`."""

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
    address = f"{_shown(settings.host)}:{settings.grpc_port}"
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
    app.openapi()  # kept by the application; whoever asks first would keep the event loop for 40 ms
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="error",  # it has a line for each piece of noise that comes, and those would fill a disk
        access_log=False,
        lifespan="off",
        server_header=False,
        http=Connection,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
    )


async def _run(
    server: _Server,
    rpc: RpcServer,
    core: MeshRecovery,
    authenticator: FileAuthenticator | None,
    listener: socket.socket,
    settings: Settings,
    shutdown: Shutdown,
    begin: float,
) -> None:
    shutdown.attach()
    beside = [watch_loop(core.metrics), release_small_blocks(), _stop_without_engine(core, shutdown)]
    if authenticator is not None:
        beside.append(authenticator.watch())
    tasks = [asyncio.create_task(work) for work in beside]
    try:
        await rpc.start()
        going = asyncio.create_task(_go_down(shutdown, core, server, rpc, settings))
        tasks.append(going)
        scheme = "https" if server.config.is_ssl else "http"
        where = f"{scheme}://{_address(listener)}, gRPC {_shown(settings.host)}:{rpc.port}"
        tasks.append(asyncio.create_task(_warm_up(core, where, begin)))
        await server.serve(sockets=[listener])
        await going
    finally:
        for task in tasks:
            task.cancel()
        await core.aclose()
    say("depthhmr stopped")


async def _go_down(shutdown: Shutdown, core: MeshRecovery, server: _Server, rpc: RpcServer, settings: Settings) -> None:
    """Say "not ready"; serve on until whoever routes to us has heard; take nothing new, finish what is here.

    Both protocols go the same way at the same moments.
    """
    await shutdown.requested()
    delay_s = settings.drain_delay_s if core.ready else 0.0  # who was not ready is sent nothing
    grace_s = settings.shutdown_timeout_s
    line = f"depthhmr ends: something was still in work {grace_s} s after the last request was taken"
    exit_after(delay_s + grace_s + HARD_STOP_S, shutdown.status, line)
    core.shutting_down = True
    await rpc.announce()
    await asyncio.sleep(delay_s)
    server.should_exit = True
    await rpc.stop(grace_s)


async def _stop_without_engine(core: MeshRecovery, shutdown: Shutdown) -> None:
    """A process whose engine only a new process can mend makes room for one: whoever supervises it starts it again."""
    reason = await core.engine.lost()
    log.critical("the engine %s is lost, and so the service ends: %s", core.engine.name, reason)
    shutdown.request(ENGINE_LOST)


async def _warm_up(core: MeshRecovery, where: str, begin: float) -> None:
    """Ask the network until it answers (another process may still be starting), then say so in one line."""
    while not core.warm:
        try:
            await core.warm_up()
        except Exception as error:  # whatever it is, the service stays up, says "not ready" and tries again
            log.warning("the engine %s does not answer yet: %s%s", core.engine.name, error, core.engine.place)
            await asyncio.sleep(WARM_UP_RETRY_S)
    await asyncio.to_thread(
        say,
        f"depthhmr {__version__} is ready at {where} after {time.perf_counter() - begin:.1f} s "
        f"(engine {core.engine.name}, model {core.manifest.name} {core.manifest.version})",
    )


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{_shown(host)}:{port}"


def _shown(host: str) -> str:
    """An address as it stands in front of a port."""
    return f"[{host}]" if ":" in host else host
