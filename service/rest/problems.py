"""Errors as RFC 9457 problem documents. Every failure leaves the service in this form."""

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
CLIENT_CLOSED_REQUEST = 499  # nobody reads it; the number that proxies write into their logs
log = logging.getLogger("service.rest")


def problem_content(error: ServiceError, scope: Scope) -> dict[str, Any]:
    """`error` as a problem document about the request of `scope`."""
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
    """`error` as the answer to the request of `scope`."""
    current().outcome = error.code
    headers = {"X-Request-ID": request_id_of(scope)}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after_s)
    response = Response(orjson.dumps(problem_content(error, scope)), error.http, headers, MEDIA_TYPE)
    protect(response.headers, scope)  # here too, because faults of ours are answered outside of all middleware
    return response


async def on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    # What a client's own short deadline or a busy moment brings about is told in the metrics, not line by line in the log.
    if error.http >= 500 and not isinstance(error, Unavailable | DeadlineExceeded):
        log.error("request %s: %s: %s", request_id_of(request.scope), error.code, error.detail, exc_info=error)
    return problem_response(error, request.scope)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """What the router itself refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem_response(NotFound(f"there is nothing at {request.url.path[:200]}"), request.scope)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "")
        detail = f"{request.url.path} does not know {request.method}" + (f"; it knows {allowed}" if allowed else "")
        response = problem_response(MethodNotAllowed(detail), request.scope)
        response.headers["Allow"] = allowed
        return response
    return await on_unexpected(request, error)


async def on_unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours. The traceback goes to the log under the request id; the client learns only that id."""
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
