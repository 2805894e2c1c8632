"""Errors as gRPC statuses with google.rpc details: the field, the reason, and when to retry."""

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from service.errors import RateLimited, ServiceError, Unavailable
from service.telemetry.record import current

DOMAIN = "depthhmr"
CODES: dict[str, grpc.StatusCode] = {code.name: code for code in grpc.StatusCode}
# Details are sent in trailers, which clients limit to 8 KiB in total.
MAX_FIELDS = 10
MAX_TEXT = 2000  # characters


def status_of(error: ServiceError) -> grpc.Status:
    """The status of a call that ends with `error`."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN)]
    if error.errors:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(field=item.field, description=item.message[:300])
            for item in error.errors[:MAX_FIELDS]
        ]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    if isinstance(error, Unavailable):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromSeconds(error.retry_after_s)
        details.append(retry)
    if isinstance(error, RateLimited):
        violation = error_details_pb2.QuotaFailure.Violation(subject="requests", description=error.detail[:300])
        details.append(error_details_pb2.QuotaFailure(violations=[violation]))
    status = status_pb2.Status(code=code_pb2.Code.Value(error.grpc), message=error.detail[:MAX_TEXT])
    status.details.extend(_packed(detail) for detail in details)
    return rpc_status.to_status(status)


async def refuse(context: grpc.aio.ServicerContext, error: ServiceError) -> None:
    """End the call with the status of `error`; raises."""
    current().outcome = error.code
    await context.abort_with_status(status_of(error))


def _packed(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
