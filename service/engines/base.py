"""The engine port: tensors in, tensors out. Knows nothing of images, people or protocols."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

import numpy as np

from bodykit.manifest import Manifest, TensorSpec
from service.errors import EngineBadOutput

Tensors = Mapping[str, np.ndarray]


class Engine(Protocol):
    """Runs the network. Names, dtypes and shapes are those of the manifest; axis 0 is the batch.

    `concurrency` says how many `infer` calls are worth having under way at once; callers queue above it.
    Raises EngineUnavailable when the network cannot be reached, EngineBadOutput when it answers nonsense.
    """

    name: ClassVar[str]
    concurrency: int

    async def infer(self, tensors: Tensors) -> Tensors: ...

    async def ready(self) -> bool:
        """Whether the engine could answer now; cheap, never raises."""
        ...

    async def aclose(self) -> None: ...


def check_outputs(manifest: Manifest, outputs: Tensors) -> Tensors:
    """Return `outputs` when they have the names, dtypes and shapes of the manifest; raise EngineBadOutput otherwise."""
    for spec in manifest.outputs:
        found = outputs.get(spec.name)
        if found is None:
            raise EngineBadOutput(f"the engine's answer lacks the tensor {spec.name}")
        if found.dtype != np.dtype(spec.dtype) or not spec.matches(found.shape):
            raise EngineBadOutput(
                f"the engine's tensor {spec.name} is {found.dtype} {list(found.shape)}, expected {describe(spec)}"
            )
    return outputs


def describe(spec: TensorSpec) -> str:
    return f"{spec.dtype} {list(spec.shape)}"
