"""Security headers of every response: no MIME sniffing, no framing, no referrer.

Headers that a response sets itself are kept: the page has a content security policy that allows its scripts.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # For responses of the API, which are data: a browser that displays one executes nothing.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",  # no <img> or <script> of other sites; CORS is not affected
    "Cache-Control": "no-store",  # results are about people: no cache may keep them
}
HSTS = "max-age=31536000"  # a year; browsers honour it only over TLS


class SecurityHeadersMiddleware:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                protect(MutableHeaders(scope=message), scope)
            await send(message)

        await self._app(scope, receive, send_protected)


def protect(headers: MutableHeaders, scope: Scope) -> None:
    """Add the missing headers."""
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if scope.get("scheme") == "https":
        headers.setdefault("Strict-Transport-Security", HSTS)
