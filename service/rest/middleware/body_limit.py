"""Refuses bodies over the size limit or beyond the byte budget: by Content-Length before a byte is read, chunk by chunk
without one.

The framework would otherwise collect the whole upload before any route sees it.
"""

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, ServiceError
from service.limits.held_bytes import Account, ByteBudget
from service.rest.problems import problem_response
from service.telemetry.record import current

# A client that is still sending would get a connection reset instead of the response. After the response its data is read
# and discarded for this long.
LINGER_S = 2.0
CHUNK_BYTES = 256 * 1024  # upper bound of what the server reads and buffers at once


class BodyLimitMiddleware:
    """ASGI middleware. Answers 413 to a body over `limit` bytes and 503 to one for which `held` has no room, and closes the
    connection.

    `of_path` holds the limits of individual paths. The bytes are reserved until the request has been answered.
    """

    def __init__(self, app: ASGIApp, held: ByteBudget, limit: int, of_path: Mapping[str, int] | None = None) -> None:
        self._app, self._held, self._limit, self._of_path = app, held, limit, of_path or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._of_path.get(scope["path"], self._limit)
        headers = Headers(scope=scope)
        with self._held.account(current().caller) as account:
            try:
                account.reserve(announced(headers, limit))
            except ServiceError as error:
                await problem_response(error, scope)(scope, receive, _Closing(receive, send))
                return
            counter = _Counter(receive, limit, account if "transfer-encoding" in headers else None)
            closing = _Closing(receive, send)

            async def send_or_close(message: Message) -> None:
                await (closing(message) if counter.refused else send(message))

            await self._app(scope, counter, send_or_close)


def announced(headers: Headers, limit: int) -> int:
    """The Content-Length; 0 without one. Raises BodyTooLarge."""
    text = headers.get("content-length", "")
    count = int(text) if text.isdecimal() else 0
    if count > limit:
        raise BodyTooLarge(f"expected a body of at most {limit} bytes, Content-Length is {count}")
    return count


class _Counter:
    """A `receive` that raises BodyTooLarge after more than `limit` bytes, and Overloaded when `account`, used for bodies
    without Content-Length, has no room for the next chunk.
    """

    def __init__(self, receive: Receive, limit: int, account: Account | None) -> None:
        self._receive, self._limit, self._account, self._count = receive, limit, account, 0
        self._ended = self.refused = False

    async def __call__(self) -> Message:
        try:
            if self._account is not None and not self._ended:
                self._account.reserve(self._count + CHUNK_BYTES - self._account.held)
            message = await self._receive()
            self._count += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
            if self._count > self._limit:
                raise BodyTooLarge(f"expected a body of at most {self._limit} bytes, got more")
        except ServiceError:
            self.refused = True
            raise
        return message


class _Closing:
    """A `send` that responds at once, then drains the request for `LINGER_S` and closes the connection."""

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
