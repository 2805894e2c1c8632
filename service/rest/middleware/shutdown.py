"""What a request is told that was cut off because the service goes down: 503, ask again. The server itself would say 500."""

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
        answering = False

        async def send_noted(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except asyncio.CancelledError:
            if answering or not self._core.shutting_down:
                raise
            error = Draining("the service went down before this was done; ask again")
            await problem_response(error, scope)(scope, receive, send)
