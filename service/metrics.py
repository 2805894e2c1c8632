"""Prometheus metrics of one service. Labels are few and fixed, so that their number cannot grow with the traffic."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engines.base import Engine
from service.errors import ServiceError
from service.results import Timings

STAGES = ("decode", "queue", "infer", "post")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
PEOPLE = (0, 1, 2, 3, 5, 8, 12, 20, 40)
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
        self._stages = [stages.labels(stage) for stage in STAGES]
        self._people = Histogram("depthhmr_people", "People per image", buckets=PEOPLE, registry=self._registry)

        self._engine_waiting = Gauge(
            "depthhmr_engine_waiting", "Images waiting for a place at the engine", registry=self._registry
        )
        self._engine_in_flight = Gauge("depthhmr_engine_in_flight", "Images at the engine", registry=self._registry)
        self._engine_failures = Counter(
            "depthhmr_engine_failures",
            "Calls of the engine that failed, by the code of the error",
            ["reason"],
            registry=self._registry,
        )

    def watch(self, engine: Engine) -> None:
        """Report what `engine` counts itself."""
        self._registry.register(_EngineCollector(engine))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the wait for a place at the engine."""
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

    def observe(self, timings: Timings, people: int) -> None:
        for stage, name in zip(self._stages, STAGES, strict=True):
            stage.observe(getattr(timings, name) / 1e3)
        self._people.observe(people)

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
