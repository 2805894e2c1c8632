"""Observes every request of both protocols: one span, one access log line, one count."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from service.telemetry.metrics import Metrics
from service.telemetry.record import Record, as_current
from service.telemetry.spans import Headers
from service.telemetry.tracing import NULL_SPAN, Tracer

log = logging.getLogger("service.access")

# (status, outcome) of a request that ends without a response: the client has disconnected, or the service failed.
CANCELLED = {"rest": ("499", "cancelled"), "grpc": ("CANCELLED", "cancelled")}
BROKEN = {"rest": ("500", "internal"), "grpc": ("INTERNAL", "internal")}
OK = {"rest": "200", "grpc": "OK"}
OURS = {"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "DATA_LOSS"}
NAMES = {
    "rest": {"method": "http.request.method", "route": "http.route", "status": "http.response.status_code"},
    "grpc": {"route": "rpc.method", "status": "rpc.response.status_code"},
}
SYSTEM = {"rest": {}, "grpc": {"rpc.system.name": "grpc"}}


class Observer:
    """`with observer.request(record, headers):` wraps the handling of one request, which fills in `record`."""

    def __init__(self, tracer: Tracer, metrics: Metrics) -> None:
        self._tracer, self._metrics = tracer, metrics

    @contextmanager
    def request(self, record: Record, headers: Headers) -> Iterator[None]:
        with as_current(record):
            if record.quiet:
                with self._counted(record):
                    yield
                return
            with self._tracer.request(headers) as span:
                record.trace_id = span.trace_id
                try:
                    with self._counted(record):
                        yield
                finally:
                    if span is not NULL_SPAN:
                        span.describe(
                            f"{record.method} {record.route}".strip(),
                            attributes_of(record),
                            error=None if record.outcome == "ok" else record.outcome,
                            ours=is_ours(record.status),
                        )
                    if log.isEnabledFor(logging.INFO):
                        facts = record.facts()
                        log.info(sentence(facts), extra={"facts": facts, "request": record})

    @contextmanager
    def _counted(self, record: Record) -> Iterator[None]:
        try:
            yield
            record.end(OK[record.protocol], "ok")
        except (asyncio.CancelledError, GeneratorExit):
            record.end(*CANCELLED[record.protocol])
            raise
        except BaseException:
            record.end(*BROKEN[record.protocol])
            raise
        finally:
            self._metrics.request(record.protocol, record.route, record.status)


def attributes_of(record: Record) -> dict[str, str | int | float]:
    """The record as span attributes, with OpenTelemetry's names where they exist."""
    facts = record.facts()
    names = NAMES[record.protocol]
    own = {name: facts.pop(name) for name in names}
    for name in ("protocol", "method", "duration_ms"):  # covered by the attributes above or by the span itself
        facts.pop(name, None)
    return {
        **SYSTEM[record.protocol],
        **{names[name]: value for name, value in own.items()},
        "depthhmr.request_id": record.request_id,
        **{f"depthhmr.{name}": value for name, value in facts.items()},
    }


def is_ours(status: str) -> bool:
    """Whether a request with this status failed through the service's fault."""
    return status in OURS or (status.isdecimal() and int(status) >= 500)


def sentence(facts: Mapping[str, object]) -> str:
    """The access log line as text."""
    text = " ".join(str(facts[name]) for name in ("protocol", "method", "route", "status", "outcome") if name in facts)
    known = ("bytes_in", "bytes_out", "images", "people", "frames", "frame_errors", "frames_dropped", "client")
    rest = " ".join(f"{name}={_word(facts[name])}" for name in known if name in facts)
    return f"{text} {facts['duration_ms']:.1f}ms {rest}"


def _word(value: object) -> str:
    """Quotes text with spaces or control characters: a token's subject is foreign text and must not break the line."""
    text = str(value)
    return text if text.isprintable() and " " not in text else repr(text)
