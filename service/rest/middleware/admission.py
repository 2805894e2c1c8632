"""Refuses, before a byte of their body is read, requests for which a full service has no room.

Here and not in the routes: nine refusals in ten come this way when too much is asked for, and routing costs as much as all else.
"""

from collections.abc import Collection, Mapping

from starlette.datastructures import QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ServiceError
from service.recovery import MeshRecovery
from service.rest.options import announced_timeout
from service.rest.problems import problem_response


class AdmissionMiddleware:
    """ASGI middleware. `single` are the paths of requests with one image, `batches` those of bulk work with its most images."""

    def __init__(self, app: ASGIApp, core: MeshRecovery, single: Collection[str], batches: Mapping[str, int]) -> None:
        self._app, self._core, self._single, self._batches = app, core, single, batches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            try:
                self._check(scope["path"], QueryParams(scope["query_string"]))
            except ServiceError as error:
                await problem_response(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, path: str, query: Mapping[str, str]) -> None:
        if path in self._single:
            self._core.check_capacity(timeout_s=announced_timeout(query))
        elif path in self._batches:
            self._core.check_capacity(self._batches[path], timeout_s=announced_timeout(query), bulk=True)
