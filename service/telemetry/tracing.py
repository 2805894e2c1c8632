"""Traces as the service sees them: a span around each request, and spans inside it. Knows nothing of OpenTelemetry."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from service.telemetry.spans import Headers, Span

OFF, OTLP = "off", "otlp"


class Tracer(Protocol):
    """Makes spans. None of its methods waits for anybody or raises because of a collector."""

    def request(self, headers: Headers) -> AbstractContextManager[Span]:
        """Around a request whose caller sent `headers` (names in lower case); the caller's trace is continued."""
        ...

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[None]:
        """Around a part of what the current request or span does; nothing where there is none."""
        ...

    def muted(self) -> AbstractContextManager[None]:
        """Around work that is not to be traced."""
        ...

    def headers(self) -> Headers:
        """What makes another server's spans children of the current one."""
        ...

    def close(self) -> None:
        """Send what is left, for a moment at the most."""
        ...


class _NullSpan:
    trace_id = ""

    def describe(self, name: str, attributes: Mapping[str, Any], *, error: str | None, ours: bool) -> None:
        pass


NULL_SPAN: Span = _NullSpan()


class NullTracer:
    """Traces nothing."""

    @contextmanager
    def request(self, headers: Headers) -> Iterator[Span]:
        yield NULL_SPAN

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[None]:
        return nullcontext()

    def muted(self) -> AbstractContextManager[None]:
        return nullcontext()

    def headers(self) -> Headers:
        return {}

    def close(self) -> None:
        pass


def open_tracer(traces: str) -> Tracer:
    """The tracer that the setting names. Raises UserError when its variables are wrong."""
    if traces == OFF:
        return NullTracer()
    from service.telemetry.otel import OtelTracer  # the optional extra `otel`

    return OtelTracer.open()
