"""Prometheus metrics of one service. Labels are few and fixed, so that their number cannot grow with the traffic."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engines.base import Engine
from service.errors import ServiceError
from service.results import Timings

TIMED = ("decode", "queue", "infer", "post")  # what a result tells about itself
STAGES = (*TIMED, "encode")
# A stage takes from a tenth of a millisecond (JSON) to the deadline of an image (30 s).
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
PEOPLE = (0, 1, 2, 3, 5, 8, 12, 20, 40)
PRIORITIES = ("interactive", "bulk")
REASONS = ("places", "share", "deadline", "bytes", "streams")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One registry per service, so that several can live in one process (tests do)."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._images = Counter(
            "depthhmr_images", "Images by outcome: ok, or the code of the error", ["outcome"], registry=self._registry
        )
        self._in_work = Gauge("depthhmr_images_in_work", "Images in work or waiting", registry=self._registry)
        stages = Histogram(
            "depthhmr_stage_seconds", "Time per image and stage", ["stage"], buckets=SECONDS, registry=self._registry
        )
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._people = Histogram("depthhmr_people", "People per image", buckets=PEOPLE, registry=self._registry)

        depth = Gauge("depthhmr_queue_depth", "Images waiting for their turn", ["priority"], registry=self._registry)
        self._queue_depth = {priority: depth.labels(priority) for priority in PRIORITIES}
        wait = Histogram(
            "depthhmr_queue_wait_seconds",
            "How long images waited for their turn, those too that gave up",
            ["priority"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._queue_wait = {priority: wait.labels(priority) for priority in PRIORITIES}
        refusals = Counter(
            "depthhmr_refusals",
            "Refused because there was too much, by what was full",
            ["reason"],
            registry=self._registry,
        )
        self._refusals = {reason: refusals.labels(reason) for reason in REASONS}
        self._pace = Gauge(
            "depthhmr_pace",
            "Images per second that the queue reckons with; 0 before the first",
            registry=self._registry,
        )
        self._bytes_held = Gauge("depthhmr_held_bytes", "Bytes of requests that are held", registry=self._registry)
        self._engine_waiting = Gauge(
            "depthhmr_engine_waiting",
            "Images waiting for a place at the engine: in the queue, or decoded already",
            registry=self._registry,
        )
        self._engine_in_flight = Gauge("depthhmr_engine_in_flight", "Images at the engine", registry=self._registry)
        self._engine_failures = Counter(
            "depthhmr_engine_failures",
            "Calls of the engine that failed, by the code of the error",
            ["reason"],
            registry=self._registry,
        )
        self._requests = Counter(
            "depthhmr_requests",
            "Requests of REST, and calls and streams of gRPC, by how they ended",
            ["protocol", "route", "status"],
            registry=self._registry,
        )
        self._streams = Gauge("depthhmr_streams_open", "gRPC streams that are open", registry=self._registry)
        self._frames = Counter(
            "depthhmr_frames",
            "Answered frames of streams by outcome: ok, dropped, or the code of the error",
            ["outcome"],
            registry=self._registry,
        )
        self._loop_lag = Histogram(
            "depthhmr_event_loop_lag_seconds",
            "How much later than it asked for a task that sleeps was woken",
            buckets=LAG_SECONDS,
            registry=self._registry,
        )
        self._loop_block = Gauge(
            "depthhmr_event_loop_longest_block_seconds",
            "The longest of these since the start that the loop's own thread spent computing",
            registry=self._registry,
        )
        self._longest_block = 0.0

    def watch(self, engine: Engine) -> None:
        """Report what `engine` counts itself."""
        self._registry.register(_EngineCollector(engine))

    def queued(self, priority: str, change: int) -> None:
        """So many images more wait for their turn, or fewer."""
        self._queue_depth[priority].inc(change)
        self._engine_waiting.inc(change)

    def waited(self, priority: str, seconds: float) -> None:
        """An image's wait for its turn is over."""
        self._queue_wait[priority].observe(seconds)

    def refused(self, reason: str) -> None:
        self._refusals[reason].inc()

    def paced(self, images_per_s: float) -> None:
        """What the queue reckons with."""
        self._pace.set(images_per_s)

    def bytes_held(self, count: int) -> None:
        self._bytes_held.set(count)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the wait of a decoded image for a place at the engine."""
        with self._engine_waiting.track_inprogress():
            yield

    @contextmanager
    def engine_call(self) -> Iterator[None]:
        """Around one call of the engine."""
        with self._engine_in_flight.track_inprogress(), self.engine_failures():
            yield

    @contextmanager
    def engine_failures(self) -> Iterator[None]:
        """Counts the error that ends the block as one of the engine."""
        with _outcome_of(self._engine_failures):
            yield

    @contextmanager
    def image(self) -> Iterator[None]:
        """Counts the image handled inside by how it ends."""
        with self._in_work.track_inprogress(), _outcome_of(self._images, "ok"):
            yield

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Counts the image that is refused inside, before anything is known of it; one that is not is not counted."""
        with _outcome_of(self._images):
            yield

    def observe(self, timings: Timings, people: int) -> None:
        for name in TIMED:
            self._stages[name].observe(getattr(timings, name) / 1e3)
        self._people.observe(people)

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Around turning one result into bytes."""
        with self._stages["encode"].time():
            yield

    def request(self, protocol: str, route: str, status: str) -> None:
        """Counts a request that has ended. `route` is a template: one of a few, whatever was asked for."""
        self._requests.labels(protocol, route, status).inc()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Around a stream."""
        with self._streams.track_inprogress():
            yield

    def frame(self, outcome: str) -> None:
        """Counts an answered frame."""
        self._frames.labels(outcome).inc()

    def loop_lag(self, seconds: float) -> None:
        self._loop_lag.observe(seconds)

    def loop_block(self, seconds: float) -> None:
        """`seconds` in which the loop's own thread had the processor, and gave it to nobody."""
        if seconds > self._longest_block:
            self._longest_block = seconds
            self._loop_block.set(seconds)

    def text(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)


@contextmanager
def _outcome_of(counter: Counter, success: str | None = None) -> Iterator[None]:
    """Count how the block ends: as `success` (when that has a name), by the code of its error, or as cancelled."""
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
    """Reads an engine's own figures whenever somebody looks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        stats = self._engine.stats
        yield GaugeMetricFamily("depthhmr_engine_ready", "1 while the engine answers", value=float(self._engine.ready))
        yield CounterMetricFamily("depthhmr_engine_retries", "Calls that were made a second time", value=stats.retries)
        batches = CounterMetricFamily(
            "depthhmr_engine_batches", "Runs of the network by the number of images in them", labels=["size"]
        )
        for size, count in sorted(stats.batches.items()):
            batches.add_metric([str(size)], count)
        yield batches
