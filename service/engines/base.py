"""The engine port: tensors in, tensors out. Knows nothing of images, people or protocols."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from bodykit.manifest import Manifest, TensorSpec
from service.errors import EngineBadOutput

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Call:
    """How one `infer` is to be done."""

    deadline: float  # time.monotonic() from which on nobody wants the answer
    outputs: tuple[str, ...]  # the tensors that are wanted
    bulk: bool = False  # no person waits for it: others go first where the engine knows priorities
    images_in_work: int = 1  # of the whole service, this one included: what an engine shares its processors among
    headers: Mapping[str, str] = field(default_factory=dict)  # the trace that this belongs to, for an engine elsewhere

    @classmethod
    def within(cls, seconds: float, outputs: tuple[str, ...], *, bulk: bool = False) -> "Call":
        return cls(time.monotonic() + seconds, outputs, bulk)

    @property
    def remaining_s(self) -> float:
        """Seconds left; negative when it is too late."""
        return self.deadline - time.monotonic()


@dataclass(frozen=True)
class EngineStats:
    """What an engine has counted since the start."""

    retries: int = 0
    batches: Mapping[int, int] = field(default_factory=dict)  # images in one run of the network -> number of such runs


class Engine(Protocol):
    """Runs the network. Names, dtypes and shapes are those of the manifest; axis 0 is the batch.

    `concurrency` says how many `infer` calls are worth having under way at once; callers queue above it.
    Raises EngineUnavailable or EngineMismatch when the network cannot be had, Overloaded when the engine's own queue is
    full, DeadlineExceeded, EngineFailed when it breaks on this input, EngineBadOutput when it answers nonsense.
    """

    name: ClassVar[str]
    concurrency: int
    place: str = ""  # of an engine elsewhere, as the end of a sentence: for who runs the service, never for who asks it

    async def infer(self, tensors: Tensors, call: Call) -> Tensors:
        """The wanted outputs. Cancelling the task gives up the work as far as the engine can."""
        ...

    @property
    def ready(self) -> bool:
        """Whether a real inference has succeeded and nothing since says that the next one will not; never blocks."""
        ...

    @property
    def stats(self) -> EngineStats: ...

    async def lost(self) -> str:
        """Returns, with the reason, when only a new process can mend this engine; never where it mends itself."""
        await asyncio.Event().wait()
        raise AssertionError("nobody sets that event")

    async def aclose(self) -> None: ...


def output_names(manifest: Manifest) -> tuple[str, ...]:
    """All of them."""
    return tuple(spec.name for spec in manifest.outputs)


def check_outputs(manifest: Manifest, outputs: Tensors, *, batch: int, wanted: tuple[str, ...]) -> Tensors:
    """Return `outputs` when the wanted ones are there with the dtypes and shapes of the manifest, for `batch` images;
    raise EngineBadOutput otherwise.
    """
    for name in wanted:
        spec, found = manifest.tensor(name), outputs.get(name)
        if found is None:
            raise EngineBadOutput(f"the engine's answer lacks the tensor {name}")
        if found.dtype != np.dtype(spec.dtype) or not spec.matches(found.shape) or len(found) != batch:
            shape = [batch, *spec.shape[1:]]
            raise EngineBadOutput(
                f"the engine's tensor {name} is {found.dtype} {list(found.shape)}, expected {spec.dtype} {shape}"
            )
    return outputs


def blank_inputs(manifest: Manifest, batch: int = 1) -> dict[str, np.ndarray]:
    """Black pictures and a plausible camera, for asking whether the network answers at all."""
    size = manifest.input_size
    camera = np.array([[size, size, size / 2, size / 2]], np.float32)
    return {"image": np.zeros((batch, size, size, 3), np.uint8), "intrinsics": camera.repeat(batch, axis=0)}


def describe(spec: TensorSpec) -> str:
    return f"{spec.dtype} {list(spec.shape)}"
