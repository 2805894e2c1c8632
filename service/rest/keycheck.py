"""Refuses requests without a valid API key before their body is read."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Unauthenticated
from service.keys import HEADER, ApiKeys
from service.rest.problems import problem_response
from service.telemetry.record import current

# Probes and what a browser needs to show the page; none of it costs anything or tells anything of others.
OPEN = ("/v1/health/", "/static/")
OPEN_PAGES = ("/", "/docs", "/openapi.json", "/metrics")


class KeyCheck:
    """ASGI middleware. The key stands in the header X-API-Key, or as a bearer token; never in the address, which is logged."""

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_open(scope["path"]):
            try:
                current().client = self._keys.check(_key_of(Headers(scope=scope)))
            except Unauthenticated as error:
                response = problem_response(error, scope)
                response.headers["WWW-Authenticate"] = "Bearer"
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_open(path: str) -> bool:
    return path in OPEN_PAGES or path.startswith(OPEN)


def _key_of(headers: Headers) -> str | None:
    if key := headers.get(HEADER):
        return key
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
