"""Assembles the HTTP application. Independent of the engine."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from service import __version__
from service.access.authenticator import AccessControl, Authenticator
from service.limits.rate_limit import RateLimiter
from service.recovery import MeshRecovery
from service.rest.batch import BATCH_PATH, batch_router
from service.rest.info import health_router, info_router
from service.rest.middleware.admission import AdmissionMiddleware
from service.rest.middleware.authentication import AuthenticationMiddleware
from service.rest.middleware.body_limit import BodyLimitMiddleware
from service.rest.middleware.observation import ObservationMiddleware
from service.rest.middleware.refusal import RefusalMiddleware
from service.rest.middleware.request_id import RequestIdMiddleware
from service.rest.middleware.security_headers import SecurityHeadersMiddleware
from service.rest.middleware.shutdown import ShutdownMiddleware
from service.rest.openapi import document
from service.rest.page import page_router
from service.rest.problems import HANDLERS
from service.rest.reconstruct import RECONSTRUCT_PATHS, reconstruct_router
from service.settings import DEFAULTS
from service.telemetry.observer import Observer

CORS: Any = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": ["Accept", "Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
    "expose_headers": ["Retry-After", "X-People-Count", "X-Request-ID"],
    "max_age": 600,
}
# FastAPI's own telemetry would copy raw paths and queries into its spans, and configures itself from OTEL_* variables.
NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def create_app(
    core: MeshRecovery,
    *,
    max_body_bytes: int,
    body_timeout_s: float = DEFAULTS.request_timeout_s,
    max_batch_images: int = DEFAULTS.max_batch_images,
    max_batch_bytes: int = DEFAULTS.max_batch_bytes,
    authenticator: Authenticator | None = None,
    limiter: RateLimiter | None = None,
    cors_origins: Sequence[str] = (),
) -> FastAPI:
    """The REST service over `core`. The caller opens and closes the core."""
    app = FastAPI(
        title="DepthHMR",
        version=__version__,
        exception_handlers=HANDLERS,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        docs_url=None,  # FastAPI's pages load scripts from a CDN; ours is in service/rest/page
        redoc_url=None,
        telemetry=NO_TELEMETRY,
    )
    routers = (
        reconstruct_router(core, body_timeout_s=body_timeout_s),
        batch_router(core, max_images=max_batch_images, body_timeout_s=body_timeout_s),
        health_router(core),
        info_router(core),
        page_router(max_body_bytes=max_body_bytes, threshold=core.manifest.threshold),
    )
    for router in routers:
        _allow_head(router)
        app.include_router(router)
    api = document(app, requires_key=authenticator is not None)
    app.openapi = lambda: api  # type: ignore[method-assign]
    app.add_middleware(AdmissionMiddleware, core=core, single=RECONSTRUCT_PATHS, batches={BATCH_PATH: max_batch_images})
    # The last one added is the outermost, so that even the refusal of an oversized body has a request id.
    app.add_middleware(BodyLimitMiddleware, held=core.held, limit=max_body_bytes, of_path={BATCH_PATH: max_batch_bytes})
    app.add_middleware(AuthenticationMiddleware, access=AccessControl(authenticator, limiter))
    if cors_origins:
        # Outside the key check, because preflight requests carry no key. Credentials are not allowed.
        app.add_middleware(CORSMiddleware, allow_origins=cors_origins, **CORS)
    app.add_middleware(ShutdownMiddleware, core=core)
    app.add_middleware(RefusalMiddleware)
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(RequestIdMiddleware)
    paths = [route.path for router in routers for route in router.routes if isinstance(route, Route)]
    app.add_middleware(ObservationMiddleware, observer=Observer(core.tracer, core.metrics), paths=paths)
    return app


def _allow_head(router: APIRouter) -> None:
    """Answer HEAD wherever GET is answered (RFC 9110, 9.1)."""
    for route in router.routes:
        if isinstance(route, Route) and route.methods and "GET" in route.methods:
            route.methods.add("HEAD")
