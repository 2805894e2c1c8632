"""What a call can end with instead of a result, the same for REST and gRPC.

ClientError
├── InvalidUse               the call itself makes no sense; nothing was sent
├── RequestRefused           the service will not do this; asking again changes nothing
│   └── KeyRefused           the API key is missing, wrong, or not good for this
├── ServiceUnavailable       not now; `retry_after_s` says when to ask again, if the service said so
│   └── ConnectionFailed     nobody answered at that address, or the connection broke before an answer
├── DeadlineExceeded         the time that the caller gave, or the service's own limit, is over
└── ServiceFailed            the service took the request and could not finish it
    └── BadReply             the answer is not what the contract says
"""

from collections.abc import Sequence

from service.errors import FieldError


class ClientError(Exception):
    """Base of everything that this package raises on purpose. The message is a sentence."""

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
        self.code = (
            code  # as the protocol spells it: "422" over HTTP, "INVALID_ARGUMENT" over gRPC; "" if nobody answered
        )
        self.reason = reason  # the same over both: "invalid-image", "overloaded", ...
        self.request_id = request_id  # stands in the service's log
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s
        self.attempts = 1  # how often the service was asked

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
