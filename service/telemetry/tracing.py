"""The tracing interface: a span for each request, and spans inside it. Knows nothing of OpenTelemetry."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from service.telemetry.spans import Headers, Span

OFF, OTLP = "off", "otlp"


class Tracer(Protocol):
    """Makes spans. No method waits for a collector or raises because of one."""

    def request(self, headers: Headers) -> AbstractContextManager[Span]:
        """A request's span. Continues the trace in the caller's `headers` (lower-case names)."""
        ...

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[None]:
        """A child of the current span; nothing if there is none."""
        ...

    def muted(self) -> AbstractContextManager[None]:
        """Suspends tracing."""
        ...

    def headers(self) -> Headers:
        """Headers that make another server's spans children of the current one."""
        ...

    def close(self) -> None:
        """Send the remaining spans, within a bounded time."""
        ...


class _NullSpan:
    trace_id = ""

    def describe(self, name: str, attributes: Mapping[str, Any], *, error: str | None, ours: bool) -> None:
        pass


NULL_SPAN: Span = _NullSpan()


class NullTracer:
    """Records nothing."""

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
    """The tracer named by the setting `traces`. Raises UserError when the OTEL_* variables are invalid."""
    if traces == OFF:
        return NullTracer()
    from service.telemetry.otel import OtelTracer  # the optional extra `otel`

    return OtelTracer.open()
