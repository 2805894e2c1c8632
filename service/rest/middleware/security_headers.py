"""What every response says to browsers: guess no types, show this in no frame, tell nobody where a visitor came from.

A response that says something of its own keeps it: the page has a content security policy that lets its scripts run.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # For answers of the API, which are data: a browser that shows one runs nothing of it.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",  # no <img> or <script> elsewhere; CORS, where it is on, is not touched
    "Cache-Control": "no-store",  # who is in a picture is kept by nobody on the way
}
HSTS = "max-age=31536000"  # a year; only over TLS, where browsers heed it


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
    """Add what is missing."""
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if scope.get("scheme") == "https":
        headers.setdefault("Strict-Transport-Security", HSTS)
