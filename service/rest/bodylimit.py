"""Refuses bodies over the limit: by Content-Length before a byte is read, by counting when there is none.

The framework would otherwise collect the whole upload before any of our code sees it.
"""

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge
from service.rest.problems import problem_response

# A client that is still sending would get a connection reset instead of our answer. What it sends after the answer is
# read and thrown away for this long, in seconds.
LINGER_S = 2.0


class BodyLimit:
    """ASGI middleware. A body over `limit` bytes is answered with 413 and the connection is closed.

    `of_path` has the limits of paths that differ.
    """

    def __init__(self, app: ASGIApp, limit: int, of_path: Mapping[str, int] | None = None) -> None:
        self._app, self._limit, self._of_path = app, limit, of_path or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._of_path.get(scope["path"], self._limit)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            error = BodyTooLarge(f"a body may have at most {limit} bytes, {int(announced)} were announced")
            await problem_response(error, scope)(scope, receive, _Closing(receive, send))
            return
        counter = _Counter(receive, limit)
        closing = _Closing(receive, send)

        async def send_or_close(message: Message) -> None:
            await (closing(message) if counter.exceeded else send(message))

        await self._app(scope, counter, send_or_close)


class _Counter:
    """A `receive` that raises BodyTooLarge once more than `limit` bytes have come."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit, self._count = receive, limit, 0

    @property
    def exceeded(self) -> bool:
        return self._count > self._limit

    async def __call__(self) -> Message:
        message = await self._receive()
        self._count += len(message.get("body", b""))
        if self.exceeded:
            raise BodyTooLarge(f"a body may have at most {self._limit} bytes, more than that came")
        return message


class _Closing:
    """A `send` that answers at once, then drains the request for a moment and closes the connection."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        if not message.get("more_body", False):
            await self._drain()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(LINGER_S):
                while (message := await self._receive())["type"] == "http.request" and message.get("more_body"):
                    pass
        except TimeoutError:
            pass
