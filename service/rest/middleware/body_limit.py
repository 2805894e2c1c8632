"""Refuses bodies over the limit, or when too many bytes of others are held: by Content-Length before a byte is read, piece
by piece when there is none.

The framework would otherwise collect the whole upload before any of our code sees it.
"""

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, ServiceError
from service.limits.held_bytes import Account, ByteBudget
from service.rest.problems import problem_response
from service.telemetry.record import current

# A client that is still sending would get a connection reset instead of our answer. What it sends after the answer is
# read and thrown away for this long, in seconds.
LINGER_S = 2.0
CHUNK_BYTES = 256 * 1024  # the server reads no more than this and its buffer at once


class BodyLimitMiddleware:
    """ASGI middleware. A body over `limit` bytes is answered with 413, one for which `held` has no room with 503; in both cases
    the connection is closed.

    `of_path` has the limits of paths that differ. The bytes are held until the request has been answered.
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
    """Bytes that the body will have by its own account; 0 where it has none. Raises BodyTooLarge."""
    text = headers.get("content-length", "")
    count = int(text) if text.isdecimal() else 0
    if count > limit:
        raise BodyTooLarge(f"a body may have at most {limit} bytes, {count} were announced")
    return count


class _Counter:
    """A `receive` that raises BodyTooLarge once more than `limit` bytes have come, and Overloaded when `account`, of a body
    that nobody announced, has no room for the next piece.
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
                raise BodyTooLarge(f"a body may have at most {self._limit} bytes, more than that came")
        except ServiceError:
            self.refused = True
            raise
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
