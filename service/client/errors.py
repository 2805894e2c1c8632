"""The errors of the client, the same for REST and gRPC.

ClientError
├── InvalidUse               the arguments or the environment are invalid; nothing was sent
├── RequestRefused           the service refused the request; a retry would be refused, too
│   └── KeyRefused           the API key is missing, wrong or not allowed to do this
├── ServiceUnavailable       the service cannot answer now; `retry_after_s` says when to retry, where the service said so
│   └── ConnectionFailed     no connection, or it broke before a response
├── DeadlineExceeded         the caller's timeout or the service's own limit expired
└── ServiceFailed            the service accepted the request but could not complete it
    └── BadReply             the reply does not have the documented form
"""

from collections.abc import Sequence

from service.errors import FieldError


class ClientError(Exception):
    """Base of every error that this package raises on purpose."""

    def __init__(
        self,
        detail: str,
        *,
        code: str = "",
        reason: str = "",
        request_id: str = "",
        errors: Sequence[FieldError] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code  # the protocol's: "422" over HTTP, "INVALID_ARGUMENT" over gRPC; "" without a response
        self.reason = reason  # the same over both: "invalid-image", "overloaded", ...
        self.request_id = request_id  # appears in the service's log
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s
        self.attempts = 1

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.detail!r}, code={self.code!r}, reason={self.reason!r})"


class InvalidUse(ClientError, ValueError):
    pass


class RequestRefused(ClientError):
    pass


class KeyRefused(RequestRefused):
    pass


class ServiceUnavailable(ClientError):
    pass


class ConnectionFailed(ServiceUnavailable):
    pass


class DeadlineExceeded(ClientError):
    pass


class ServiceFailed(ClientError):
    pass


class BadReply(ServiceFailed):
    pass
