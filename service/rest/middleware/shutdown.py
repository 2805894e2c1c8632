"""Answers 503 with Retry-After to requests that shutdown cancels. The server itself would answer 500."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import Draining
from service.recovery import MeshRecovery
from service.rest.problems import problem_response


class ShutdownMiddleware:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, core: MeshRecovery) -> None:
        self._app, self._core = app, core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def tracking_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, tracking_send)
        except asyncio.CancelledError:
            if started or not self._core.shutting_down:
                raise
            error = Draining("the service shut down before the request was done; ask again")
            await problem_response(error, scope)(scope, receive, send)
