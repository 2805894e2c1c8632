"""Refuses requests without a valid key or token, and requests over the rate limit, before their body is read."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.authenticator import AccessControl
from service.errors import RateLimited, Unauthenticated
from service.rest.problems import problem_response

# Probes, and what a browser needs to show the page. All are cheap and reveal nothing about other callers.
OPEN = ("/v1/health/", "/static/")
OPEN_PAGES = ("/", "/docs", "/openapi.json", "/metrics")


class AuthenticationMiddleware:
    """ASGI middleware. The key comes in X-API-Key or as a bearer token; never in the URL, which proxies log."""

    def __init__(self, app: ASGIApp, access: AccessControl) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_open(scope["path"]):
            address = (scope.get("client") or ("",))[0]
            try:
                await self._access.admit(Headers(scope=scope), address)
            except (Unauthenticated, RateLimited) as error:
                response = problem_response(error, scope)
                if isinstance(error, Unauthenticated):
                    response.headers["WWW-Authenticate"] = "Bearer"
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_open(path: str) -> bool:
    return path in OPEN_PAGES or path.startswith(OPEN)
