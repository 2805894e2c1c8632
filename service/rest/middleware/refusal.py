"""Answers requests that the HTTP connection refuses, so that they have a request id and appear in log and metrics."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.rest.problems import problem_response


class RefusalMiddleware:
    """ASGI middleware. The connection leaves the ServiceError in the state of the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = scope.get("state", {}).get("refusal")
        if error is None:
            await self._app(scope, receive, send)
            return
        response = problem_response(error, scope)
        response.headers["Connection"] = "close"
        await response(scope, receive, send)
