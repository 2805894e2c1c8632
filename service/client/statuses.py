"""Turns the status of a gRPC call, with its google.rpc details, into a ClientError."""

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from service.client.address import Address
from service.client.errors import (
    ClientError,
    ConnectionFailed,
    DeadlineExceeded,
    KeyRefused,
    RequestRefused,
    ServiceFailed,
    ServiceUnavailable,
)
from service.client.messages import seconds
from service.errors import FieldError

DETAILS_KEY = "grpc-status-details-bin"

REFUSALS = (
    "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "OUT_OF_RANGE",
    "UNIMPLEMENTED",
)  # fmt: skip
CLASSES: dict[str, type[ClientError]] = {
    **dict.fromkeys(REFUSALS, RequestRefused),
    "UNAUTHENTICATED": KeyRefused,
    "PERMISSION_DENIED": KeyRefused,
    "UNAVAILABLE": ServiceUnavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
}


def error_from(status: grpc.aio.AioRpcError, address: Address, request_id: str) -> ClientError:
    """The error for the status that a call ended with."""
    code, text = status.code().name, status.details() or ""
    trailers = dict(status.trailing_metadata() or ())
    details = details_of(trailers)
    # The service always sends details; without them the status comes from the connection.
    if code == "UNAVAILABLE" and not details:
        return ConnectionFailed(f"cannot reach the service at {address}: {text}", code=code, request_id=request_id)
    info = details.get(error_details_pb2.ErrorInfo)
    fields = details.get(error_details_pb2.BadRequest)
    retry = details.get(error_details_pb2.RetryInfo)
    kind = CLASSES.get(code, ServiceFailed)
    if code == "RESOURCE_EXHAUSTED" and retry is not None:  # full or rate limited, unlike an image that is too large
        kind = ServiceUnavailable
    return kind(
        text or code,
        code=code,
        reason=info.reason if info else "",
        request_id=str(trailers.get("x-request-id", request_id)),
        errors=[FieldError(item.field, item.description) for item in fields.field_violations] if fields else [],
        retry_after_s=seconds(retry.retry_delay) if retry else None,
    )


def details_of(trailers: Mapping[str, Any]) -> dict[Any, Any]:
    """The known details of google.rpc.Status, by type. Unreadable ones are left out."""
    found: dict[Any, Any] = {}
    try:
        for packed in status_pb2.Status.FromString(trailers.get(DETAILS_KEY, b"")).details:
            for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
                if packed.Is(kind.DESCRIPTOR):
                    found[kind] = kind.FromString(packed.value)
    except DecodeError:
        pass
    return found
