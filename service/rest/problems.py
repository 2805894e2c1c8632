"""Errors as RFC 9457 problem documents, the form of every error response."""

import logging
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Scope

from service.errors import DeadlineExceeded, InternalError, MethodNotAllowed, NotFound, ServiceError, Unavailable
from service.rest.middleware.request_id import request_id_of
from service.rest.middleware.security_headers import protect
from service.telemetry.record import current

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:depthhmr:problem:"
CLIENT_CLOSED_REQUEST = 499  # never read; the status that proxies log for a client that disconnected
log = logging.getLogger("service.rest")


def problem_content(error: ServiceError, scope: Scope) -> dict[str, Any]:
    """`error` as the problem document of a request."""
    content: dict[str, Any] = {
        "type": TYPE_PREFIX + error.code,
        "title": error.title,
        "status": error.http,
        "detail": error.detail,
        "instance": scope["path"],
        "request_id": request_id_of(scope),
    }
    if error.errors:
        content["errors"] = [{"field": item.field, "message": item.message} for item in error.errors]
    if isinstance(error, Unavailable):
        content["retry_after_s"] = error.retry_after_s
    return content


def problem_response(error: ServiceError, scope: Scope) -> Response:
    """`error` as the response to a request."""
    current().outcome = error.code
    headers = {"X-Request-ID": request_id_of(scope)}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after_s)
    response = Response(orjson.dumps(problem_content(error, scope)), error.http, headers, MEDIA_TYPE)
    protect(response.headers, scope)  # here too, because internal errors are answered outside of all middleware
    return response


async def on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    # Overload and short deadlines show in the metrics; a log line each would flood the log.
    if error.http >= 500 and not isinstance(error, Unavailable | DeadlineExceeded):
        log.error("request %s: %s: %s", request_id_of(request.scope), error.code, error.detail, exc_info=error)
    return problem_response(error, request.scope)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Refusals of the router: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem_response(NotFound(f"no such path: {request.url.path[:200]}"), request.scope)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "")
        detail = f"{request.url.path} does not allow {request.method}" + (f"; it allows {allowed}" if allowed else "")
        response = problem_response(MethodNotAllowed(detail), request.scope)
        response.headers["Allow"] = allowed
        return response
    return await on_unexpected(request, error)


async def on_unexpected(request: Request, error: Exception) -> Response:
    """An internal error. The traceback is logged under the request id; the client receives only that id."""
    extra = {"request": request.scope["state"].get("record")}
    log.error("request %s failed", request_id_of(request.scope), exc_info=error, extra=extra)
    return problem_response(InternalError(), request.scope)


async def on_disconnect(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)


HANDLERS: dict[Any, Any] = {
    ServiceError: on_service_error,
    HTTPException: on_http_exception,
    ClientDisconnect: on_disconnect,
    Exception: on_unexpected,
}
