"""The interface of a request's span."""

from collections.abc import Mapping
from typing import Any, Protocol

Headers = Mapping[str, str]


class Span(Protocol):
    """The span of a running request."""

    trace_id: str  # 32 hexadecimal digits; empty without tracing

    def describe(self, name: str, attributes: Mapping[str, Any], *, error: str | None, ours: bool) -> None:
        """Called at the end of the request. `error` is a code; `ours` marks a failure of the service, not of the caller."""
        ...
