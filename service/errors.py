"""All errors that a client can receive.

    ServiceError
    ├── RequestError                 the caller's fault
    │   ├── MalformedRequest         the message itself is broken
    │   ├── HeadTooLarge             too many bytes of headers
    │   ├── InvalidParameter         an option is out of range or does not exist
    │   ├── InvalidImage             an image of a known format that cannot be decoded
    │   ├── UnsupportedMedia         not a JPEG, PNG or WebP image
    │   ├── ImageTooLarge            too many pixels
    │   ├── BodyTooLarge             too many bytes
    │   ├── NotAcceptable            no such output format
    │   ├── SlowClient               the body did not arrive in time
    │   ├── Unauthenticated          no key or token, or an invalid one
    │   ├── NotFound
    │   └── MethodNotAllowed
    ├── Unavailable                  the caller may retry
    │   ├── Starting
    │   ├── Overloaded
    │   ├── TooManyStreams
    │   ├── RateLimited              this caller exceeded its rate limit
    │   ├── Draining                 the service is shutting down
    │   ├── EngineUnavailable
    │   └── EngineMismatch           the engine runs another network than the one configured
    ├── DeadlineExceeded
    ├── EngineFailed                 the engine accepted the image and failed on it
    │   └── EngineBadOutput          its output was invalid and was discarded
    └── InternalError                a bug; details are in the log, never in the reply

Each class carries its own HTTP and gRPC status.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FieldError:
    """One thing wrong with one named part of a request."""

    field: str
    message: str


class ServiceError(Exception):
    """Base class of all errors that reach a client. `detail` is a message for the caller."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    http: ClassVar[int] = 500
    grpc: ClassVar[str] = "INTERNAL"

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class RequestError(ServiceError):
    """The request is at fault."""

    code, title, http, grpc = "bad-request", "Bad request", 400, "INVALID_ARGUMENT"


class MalformedRequest(RequestError):
    code, title, http = "malformed-request", "Malformed request", 400


class HeadTooLarge(RequestError):
    code, title, http = "head-too-large", "Request head too large", 431


class InvalidParameter(RequestError):
    """Names the option in `errors`."""

    code, title, http = "invalid-parameter", "Invalid parameter", 422

    @classmethod
    def named(cls, field: str, message: str) -> "InvalidParameter":
        return cls(f"{field}: {message}", errors=[FieldError(field, message)])


class InvalidImage(RequestError):
    code, title, http = "invalid-image", "Image cannot be decoded", 422


class UnsupportedMedia(RequestError):
    code, title, http = "unsupported-media", "Unsupported media type", 415


class ImageTooLarge(RequestError):
    code, title, http = "image-too-large", "Image has too many pixels", 413


class BodyTooLarge(RequestError):
    code, title, http, grpc = "body-too-large", "Body has too many bytes", 413, "RESOURCE_EXHAUSTED"


class NotAcceptable(RequestError):
    code, title, http = "not-acceptable", "Not acceptable", 406


class SlowClient(RequestError):
    code, title, http, grpc = "request-timeout", "Request timeout", 408, "DEADLINE_EXCEEDED"


class Unauthenticated(RequestError):
    code, title, http, grpc = "unauthenticated", "No valid API key", 401, "UNAUTHENTICATED"


class NotFound(RequestError):
    code, title, http, grpc = "not-found", "Not found", 404, "NOT_FOUND"


class MethodNotAllowed(RequestError):
    code, title, http, grpc = "method-not-allowed", "Method not allowed", 405, "UNIMPLEMENTED"


class Unavailable(ServiceError):
    """Temporarily unavailable; `retry_after_s` says when to retry."""

    code, title, http, grpc = "unavailable", "Service unavailable", 503, "UNAVAILABLE"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Starting(Unavailable):
    code, title = "starting", "Service is starting"


class Overloaded(Unavailable):
    code, title, grpc = "overloaded", "Service is overloaded", "RESOURCE_EXHAUSTED"


class TooManyStreams(Overloaded):
    code, title, grpc = "too-many-streams", "Too many streams", "RESOURCE_EXHAUSTED"


class RateLimited(Unavailable):
    code, title, http, grpc = "rate-limited", "Too many requests", 429, "RESOURCE_EXHAUSTED"


class Draining(Unavailable):
    code, title = "draining", "Service is going down"


class EngineUnavailable(Unavailable):
    code, title = "engine-unavailable", "Engine unavailable"


class EngineMismatch(Unavailable):
    code, title = "engine-mismatch", "Engine runs another network"


class DeadlineExceeded(ServiceError):
    code, title, http, grpc = "deadline-exceeded", "Deadline exceeded", 504, "DEADLINE_EXCEEDED"


class EngineFailed(ServiceError):
    code, title, http, grpc = "engine-failed", "The engine failed", 502, "INTERNAL"


class EngineBadOutput(EngineFailed):
    code, title = "engine-bad-output", "The engine's answer is unusable"


class InternalError(ServiceError):
    code, title, http, grpc = "internal", "Internal error", 500, "INTERNAL"

    def __init__(self, detail: str = "internal error; the service's log has the details") -> None:
        super().__init__(detail)
