"""OpenTelemetry traces, exported over OTLP in the background and configured by the standard OTEL_* variables.

Spans wait in a bounded queue for the exporting thread. When a collector is slow, silent or unreachable, the queue fills and the
oldest spans are lost; requests never wait.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from os import environ
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bodykit.errors import UserError
from service import __version__
from service.errors import ServiceError
from service.telemetry.spans import Headers, Span

CLOSE_TIMEOUT_S = 2.0  # how long shutdown waits for the last spans
MAX_TRACESTATE_LENGTH = 512  # the least that W3C Trace Context requires; the header is the caller's, and spans store it
PROTOCOL = "http/protobuf"
PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

# Replaces OpenTelemetry's context, which logs an error when an abandoned stream is closed in another task.
_current: ContextVar[OtelSpan | None] = ContextVar("span", default=None)
_w3c = TraceContextTextMapPropagator()


class OtelTracer:
    """See the module docstring. `provider` is private, not the global one, so no other code adds spans to it."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("depthhmr", __version__)

    @classmethod
    def open(cls) -> "OtelTracer":
        """Configured from the environment. Raises UserError."""
        protocol = next(filter(None, map(environ.get, PROTOCOL_VARIABLES)), PROTOCOL)
        if protocol != PROTOCOL:
            raise UserError(
                f"expected the trace protocol {PROTOCOL}, got {protocol} (from {' or '.join(PROTOCOL_VARIABLES)})"
            )
        try:
            defaults = Resource({"service.name": "depthhmr", "service.version": __version__})
            provider = TracerProvider(resource=defaults.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        except ValueError as error:
            raise UserError(f"the OTEL_* variables are invalid: {error}") from error
        return cls(provider)

    @contextmanager
    def request(self, headers: Headers) -> Iterator[Span]:
        carrier = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        if len(carrier.get("tracestate", "")) > MAX_TRACESTATE_LENGTH:
            del carrier["tracestate"]
        span = self._tracer.start_span("request", context=_w3c.extract(carrier), kind=SpanKind.SERVER)
        with _running(span):
            yield _Request(span)

    @contextmanager
    def span(self, name: str, **attributes: str | int) -> Iterator[None]:
        parent = _current.get()
        if parent is None or not parent.is_recording():
            yield
            return
        marked = {f"depthhmr.{key}": value for key, value in attributes.items()}
        span = self._tracer.start_span(name, context=set_span_in_context(parent), attributes=marked)
        with _running(span):
            try:
                yield
            except BaseException as error:
                # The type of the error only: its text may repeat the caller's input.
                span.set_attribute("error.type", _kind_of(error))
                span.set_status(Status(StatusCode.ERROR))
                raise

    @contextmanager
    def muted(self) -> Iterator[None]:
        with _as_current(None):
            yield

    def headers(self) -> Headers:
        span = _current.get()
        carrier: dict[str, str] = {}
        if span is not None:
            _w3c.inject(carrier, context=set_span_in_context(span))
        return carrier

    def close(self) -> None:
        # The SDK would wait 30 s for a collector that does not answer. Its threads and this one end with the process.
        closing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(CLOSE_TIMEOUT_S)


class _Request:
    """The span of a request."""

    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace_id = format_trace_id(context.trace_id) if context.is_valid else ""

    def describe(self, name: str, attributes: Mapping[str, Any], *, error: str | None, ours: bool) -> None:
        if not self._span.is_recording():
            return
        self._span.update_name(name)
        self._span.set_attributes(attributes)
        if error is not None:
            self._span.set_attribute("error.type", error)
        if ours:
            self._span.set_status(Status(StatusCode.ERROR))


@contextmanager
def _running(span: OtelSpan) -> Iterator[None]:
    try:
        with _as_current(span):
            yield
    finally:
        span.end()


@contextmanager
def _as_current(span: OtelSpan | None) -> Iterator[None]:
    token = _current.set(span)
    try:
        yield
    finally:
        try:
            _current.reset(token)
        except ValueError:
            pass  # an abandoned generator is closed in another task


def _kind_of(error: BaseException) -> str:
    if isinstance(error, ServiceError):
        return error.code
    return "internal" if isinstance(error, Exception) else "cancelled"
