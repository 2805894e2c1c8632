"""Observes REST requests: one span, one log line and one count each."""

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.limits.rate_limit import network_of
from service.rest.middleware.request_id import request_id_of
from service.telemetry.observer import Observer
from service.telemetry.record import NO_ROUTE, Record

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
OTHER_METHOD = "_OTHER"  # OpenTelemetry's name for any other method
QUIET = ("/v1/health/", "/metrics", "/static/")  # requested every few seconds, or with every page: not logged or traced
CLIENT_CLOSED_REQUEST = 499


class ObservationMiddleware:
    """ASGI middleware, the outermost. `paths` are the paths of all routes."""

    def __init__(self, app: ASGIApp, observer: Observer, paths: Iterable[str]) -> None:
        self._app, self._observer, self._paths = app, observer, {path for path in paths if "{" not in path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
        record = Record("rest", method, request_id_of(scope), quiet=scope["path"].startswith(QUIET))
        record.network = network_of((scope.get("client") or ("",))[0])
        scope["state"]["record"] = record  # for errors that are answered outside of all middleware

        async def counting_receive() -> Message:
            message = await receive()
            record.bytes_in += len(message.get("body", b""))
            return message

        async def counting_send(message: Message) -> None:
            record.bytes_out += len(message.get("body", b""))
            if message["type"] == "http.response.start":
                # The route is known once its response starts; a request refused before that has only a path.
                record.route = self._route_of(scope)
                gone = message["status"] == CLIENT_CLOSED_REQUEST
                record.end(str(message["status"]), "cancelled" if gone else record.outcome)
            await send(message)

        headers = Headers(scope=scope)
        with self._observer.request(record, headers):
            try:
                await self._app(scope, counting_receive, counting_send)
            finally:
                record.route = self._route_of(scope)

    def _route_of(self, scope: Scope) -> str:
        found = getattr(scope.get("route"), "path", None)
        if isinstance(found, str) and found:
            return found
        return scope["path"] if scope["path"] in self._paths else NO_ROUTE
