"""An engine made of a plain function, for tests and for trying the service without a network."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bodykit.manifest import Manifest
from service.engines.base import Call, Engine, EngineStats, Tensors
from service.settings import Settings


class FakeEngine(Engine):
    """Answers with `handler(tensors)`; whatever the handler raises, `infer` raises."""

    name = "fake"

    def __init__(self, handler: Callable[[Tensors], Tensors], *, concurrency: int = 1) -> None:
        self._handler = handler
        self.concurrency = concurrency
        self.closed = False

    @classmethod
    def open(cls, settings: Settings, manifest: Manifest, model_dir: Path) -> "FakeEngine":
        """An engine that finds nobody."""
        return cls(lambda tensors: nobody(manifest, len(tensors["image"])))

    async def infer(self, tensors: Tensors, call: Call) -> Tensors:
        return self._handler(tensors)

    @property
    def ready(self) -> bool:
        return not self.closed

    @property
    def stats(self) -> EngineStats:
        return EngineStats()

    async def aclose(self) -> None:
        self.closed = True


def nobody(manifest: Manifest, batch: int = 1) -> dict[str, np.ndarray]:
    """Outputs with the manifest's shapes in which every score is 0."""
    outputs = {spec.name: np.zeros((batch, *spec.shape[1:]), spec.dtype) for spec in manifest.outputs}
    outputs["rotations"][:] = np.eye(3, dtype=np.float32)
    outputs["translation"][..., 2] = 1.0
    return outputs
