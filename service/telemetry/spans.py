"""Spans as the service sees them."""

from collections.abc import Mapping
from typing import Any, Protocol

Headers = Mapping[str, str]


class Span(Protocol):
    """A request's span, while it is under way."""

    trace_id: str  # 32 hexadecimal digits; empty where nothing is traced

    def describe(self, name: str, attributes: Mapping[str, Any], *, error: str | None, ours: bool) -> None:
        """What is known at its end. `error` is a code; `ours` says that the failure is no fault of the caller."""
        ...
