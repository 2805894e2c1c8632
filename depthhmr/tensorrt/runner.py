"""Runs a graph or a plan over pictures, for comparisons. A plan needs TensorRT and a GPU, a graph neither."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import onnxruntime

from bodykit.errors import UserError
from bodykit.manifest import OUTPUT_NAMES, Manifest
from depthhmr.tensorrt.pictures import Pictures

Infer = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
REFERENCE_BATCH = 8


@dataclass(frozen=True)
class Answers:
    """The outputs for all pictures, batch first, and how long a call took."""

    outputs: Mapping[str, np.ndarray]
    call_ms: float  # median, from host memory to host memory


def graph_runner(content: bytes, *, optimise: bool = True) -> Infer:
    """ONNX Runtime on the CPU. UserError if it refuses the graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many types
        raise UserError(f"ONNX Runtime does not take the graph: {str(error).strip().splitlines()[0]}") from error
    names = list(OUTPUT_NAMES)
    return lambda feed: dict(zip(names, session.run(names, dict(feed)), strict=True))


class PlanRunner:
    """A plan on the GPU by Polygraphy, which allocates, copies and synchronises. UserError if TensorRT refuses the plan."""

    def __init__(self, trt: ModuleType, plan: bytes) -> None:
        from polygraphy.backend.trt import EngineFromBytes, TrtRunner

        self._runner = TrtRunner(EngineFromBytes(plan))
        self._failed = f"TensorRT {trt.__version__} cannot run the plan"

    def __enter__(self) -> Infer:
        from polygraphy.exception import PolygraphyException

        try:
            self._runner.activate()
        except (PolygraphyException, TypeError) as error:  # pybind11 raises TypeError where TensorRT returns nothing
            raise UserError(f"{self._failed}: {error}") from error
        return self.infer

    def __exit__(self, *_: object) -> None:
        self._runner.deactivate()

    def infer(self, feed: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        from polygraphy.exception import PolygraphyException

        contiguous = {name: np.ascontiguousarray(values) for name, values in feed.items()}
        try:
            outputs = self._runner.infer(contiguous, check_inputs=False)
        except PolygraphyException as error:
            raise UserError(f"{self._failed}: {error}") from error
        # Polygraphy returns views of buffers that the next call overwrites.
        return {name: np.array(values) for name, values in outputs.items()}


def ask(infer: Infer, pictures: Pictures, batch: int, manifest: Manifest) -> Answers:
    """Every picture once, `batch` at a time. UserError if an output is missing or has another form."""
    parts: list[Mapping[str, np.ndarray]] = []
    times: list[float] = []
    for start in range(0, len(pictures), batch):
        begin = time.perf_counter()
        outputs = infer(pictures.batch(batch, start))
        times.append(time.perf_counter() - begin)
        check(outputs, batch, manifest)
        parts.append(outputs)
    joined = {name: np.concatenate([part[name] for part in parts])[: len(pictures)] for name in OUTPUT_NAMES}
    return Answers(joined, 1e3 * float(np.median(times)))


def check(outputs: Mapping[str, np.ndarray], batch: int, manifest: Manifest) -> None:
    """Raises UserError unless the outputs match the manifest, for `count` pictures."""
    for spec in manifest.outputs:
        if spec.name not in outputs:
            raise UserError(f"expected the output {spec.name}, got {', '.join(sorted(outputs)) or 'nothing'}")
        values, wanted = outputs[spec.name], (batch, *spec.shape[1:])
        if values.shape != wanted or values.dtype.name != spec.dtype:
            raise UserError(
                f"expected the output {spec.name} as {spec.dtype} {list(wanted)}, "
                f"got {values.dtype} {list(values.shape)}"
            )
