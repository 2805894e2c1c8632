"""Gives every request an id, the client's own if it is valid, and returns it in the response."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry.request_ids import request_id_or_new

HEADER = "X-Request-ID"


class RequestIdMiddleware:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


def request_id_of(scope: Scope) -> str:
    """The id of this request, generated on the first call."""
    state = scope.setdefault("state", {})
    if "request_id" not in state:
        state["request_id"] = request_id_or_new(Headers(scope=scope).get(HEADER, ""))
    return str(state["request_id"])
