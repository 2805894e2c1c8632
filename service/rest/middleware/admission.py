"""Refuses requests before a byte of their body is read when the service is full.

Not in the routes: under overload nine refusals in ten happen here, and routing costs as much as everything else together.
"""

from collections.abc import Collection, Mapping

from starlette.datastructures import QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ServiceError
from service.recovery import MeshRecovery
from service.rest.options import announced_timeout
from service.rest.problems import problem_response


class AdmissionMiddleware:
    """ASGI middleware. `single` are paths of one-image requests; `batches` maps paths to their maximum number of images."""

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
