"""Prometheus metrics of one service. The label values are few and fixed, so traffic cannot create new time series."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engines.base import Engine
from service.errors import ServiceError
from service.results import Timings

TIMED = ("decode", "queue", "infer", "post")  # reported in every result, too
STAGES = (*TIMED, "encode")
# A stage takes from a tenth of a millisecond (JSON) to the deadline of an image (30 s).
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
PEOPLE = (0, 1, 2, 3, 5, 8, 12, 20, 40)
PRIORITIES = ("interactive", "bulk")
REASONS = ("places", "share", "deadline", "bytes", "streams")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One registry per instance, so several services can run in one process, as in tests."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._add_images()
        self._add_queue()
        self._add_engine()
        self._add_requests()
        self._add_event_loop()

    def _add_images(self) -> None:
        self._images = self._counter("images", "Images by outcome: ok, or the code of the error", "outcome")
        self._in_work = self._gauge("images_in_work", "Images running or waiting")
        stages = self._histogram("stage_seconds", "Time per image and stage", SECONDS, "stage")
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._people = self._histogram("people", "People per image", PEOPLE)

    def _add_queue(self) -> None:
        depth = self._gauge("queue_depth", "Images waiting for their turn", "priority")
        self._queue_depth = {priority: depth.labels(priority) for priority in PRIORITIES}
        text = "Time that images waited for their turn, including those that gave up"
        wait = self._histogram("queue_wait_seconds", text, SECONDS, "priority")
        self._queue_wait = {priority: wait.labels(priority) for priority in PRIORITIES}
        refusals = self._counter("refusals", "Refusals because of load, by the limit that was reached", "reason")
        self._refusals = {reason: refusals.labels(reason) for reason in REASONS}
        self._pace = self._gauge("pace", "Images per second that the queue plans with; 0 before the first")
        self._bytes_held = self._gauge("held_bytes", "Bytes of requests held in memory")

    def _add_engine(self) -> None:
        text = "Images waiting for the engine: in the queue, or already decoded"
        self._engine_waiting = self._gauge("engine_waiting", text)
        self._engine_in_flight = self._gauge("engine_in_flight", "Images at the engine")
        self._engine_failures = self._counter(
            "engine_failures", "Failed calls of the engine, by the code of the error", "reason"
        )

    def _add_requests(self) -> None:
        self._requests = self._counter(
            "requests", "REST requests, gRPC calls and gRPC streams, by their result", "protocol", "route", "status"
        )
        self._streams = self._gauge("streams_open", "Open gRPC streams")
        text = "Answered frames of streams by outcome: ok, dropped, or the code of the error"
        self._frames = self._counter("frames", text, "outcome")

    def _add_event_loop(self) -> None:
        text = "How late a sleeping task was woken"
        self._loop_lag = self._histogram("event_loop_lag_seconds", text, LAG_SECONDS)
        text = "The longest of these since the start that the loop's own thread spent computing"
        self._loop_block = self._gauge("event_loop_longest_block_seconds", text)
        self._longest_block = 0.0

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"depthhmr_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"depthhmr_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"depthhmr_{name}", text, labels, buckets=buckets, registry=self._registry)

    def watch(self, engine: Engine) -> None:
        """Export the figures that `engine` counts itself."""
        self._registry.register(_EngineCollector(engine))

    def queued(self, priority: str, change: int) -> None:
        """The number of images waiting for their turn changes by `change`."""
        self._queue_depth[priority].inc(change)
        self._engine_waiting.inc(change)

    def waited(self, priority: str, seconds: float) -> None:
        """An image has waited `seconds` for its turn."""
        self._queue_wait[priority].observe(seconds)

    def refused(self, reason: str) -> None:
        self._refusals[reason].inc()

    def paced(self, images_per_s: float) -> None:
        """The pace that the queue plans with."""
        self._pace.set(images_per_s)

    def bytes_held(self, count: int) -> None:
        self._bytes_held.set(count)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wraps a decoded image's wait for the engine."""
        with self._engine_waiting.track_inprogress():
            yield

    @contextmanager
    def engine_call(self) -> Iterator[None]:
        """Wraps one call of the engine."""
        with self._engine_in_flight.track_inprogress(), self.engine_failures():
            yield

    @contextmanager
    def engine_failures(self) -> Iterator[None]:
        """Counts an error raised in the block as a failure of the engine."""
        with _outcome_of(self._engine_failures):
            yield

    @contextmanager
    def image(self) -> Iterator[None]:
        """Counts the image processed in the block by its outcome."""
        with self._in_work.track_inprogress(), _outcome_of(self._images, "ok"):
            yield

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Counts an image if it is refused in the block, before it is processed."""
        with _outcome_of(self._images):
            yield

    def observe(self, timings: Timings, people: int) -> None:
        for name in TIMED:
            self._stages[name].observe(getattr(timings, name) / 1e3)
        self._people.observe(people)

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Wraps the encoding of one result."""
        with self._stages["encode"].time():
            yield

    def request(self, protocol: str, route: str, status: str) -> None:
        """Counts a finished request. `route` is a template, never the requested path."""
        self._requests.labels(protocol, route, status).inc()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Wraps a stream."""
        with self._streams.track_inprogress():
            yield

    def frame(self, outcome: str) -> None:
        """Counts an answered frame."""
        self._frames.labels(outcome).inc()

    def loop_lag(self, seconds: float) -> None:
        self._loop_lag.observe(seconds)

    def loop_block(self, seconds: float) -> None:
        """The loop's thread computed for `seconds` without yielding."""
        if seconds > self._longest_block:
            self._longest_block = seconds
            self._loop_block.set(seconds)

    def text(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)


@contextmanager
def _outcome_of(counter: Counter, success: str | None = None) -> Iterator[None]:
    """Counts how the block ends: as `success` (unless None), by the code of its error, or as cancelled."""
    outcome: str | None = "cancelled"
    try:
        yield
        outcome = success
    except ServiceError as error:
        outcome = error.code
        raise
    except Exception:
        outcome = "internal"
        raise
    finally:
        if outcome is not None:
            counter.labels(outcome).inc()


class _EngineCollector(Collector):
    """Reads the engine's own figures at every scrape."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        stats = self._engine.stats
        yield GaugeMetricFamily("depthhmr_engine_ready", "1 while the engine answers", value=float(self._engine.ready))
        yield CounterMetricFamily("depthhmr_engine_retries", "Calls that were retried", value=stats.retries)
        batches = CounterMetricFamily(
            "depthhmr_engine_batches", "Runs of the network by the number of images in them", labels=["size"]
        )
        for size, count in sorted(stats.batches.items()):
            batches.add_metric([str(size)], count)
        yield batches
