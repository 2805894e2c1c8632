"""Prometheus metrics of one service. Labels are few and fixed, so that their number cannot grow with the traffic."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

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

    @contextmanager
    def image(self) -> Iterator[None]:
        """Counts the image handled inside by how it ends."""
        self._in_work.inc()
        outcome = "cancelled"
        try:
            yield
            outcome = "ok"
        except ServiceError as error:
            outcome = error.code
            raise
        except Exception:
            outcome = "internal"
            raise
        finally:
            self._in_work.dec()
            self._images.labels(outcome).inc()

    def observe(self, timings: Timings, people: int) -> None:
        for stage, name in zip(self._stages, STAGES, strict=True):
            stage.observe(getattr(timings, name) / 1e3)
        self._people.observe(people)

    def text(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
