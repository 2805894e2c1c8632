"""The network inside Triton's Python backend: what `configs/pybe.pbtxt` runs, where a server has no backend for ONNX.

Runs in Triton's process for Python models, never in the gateway. Tensors cross by DLPack: up to release 24.10 the
backend's own `as_numpy` and `Tensor(name, array)` garble data without an error under numpy 2 (triton-inference-server,
python_backend pull request 384).
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.engines.onnx_session import open_session
from service.process.cpus import usable_cpus

# Release 24.10 prints this for every tensor that it takes by DLPack, after it has taken it without a fault.
HARMLESS = "PyCapsule_GetPointer called with incorrect name"


class TritonPythonModel:
    """The three methods that the backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """`args` are the backend's own: the configuration as JSON, the model's folder and version."""
        import triton_python_backend_utils as backend

        sys.unraisablehook = _complain
        self._backend = backend
        config = json.loads(args["model_config"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = open_session(graph.read_bytes(), usable_cpus())

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response per request. They go through the network together; when that fails, one by one."""
        try:
            return self._together(requests)
        except Exception as error:
            if len(requests) == 1:
                return [self._backend.InferenceResponse(error=self._backend.TritonError(str(error)))]
            return [response for request in requests for response in self.execute([request])]

    def _together(self, requests: Sequence[Any]) -> list[Any]:
        columns = [[self._array(request, name) for request in requests] for name in self._inputs]
        feed = {name: np.concatenate(arrays) for name, arrays in zip(self._inputs, columns, strict=True)}
        ends = np.cumsum([len(array) for array in columns[0]])[:-1]
        values = [np.split(value, ends) for value in self.run(feed)]  # [output][request]
        return [
            self._response(request, parts) for request, parts in zip(requests, zip(*values, strict=True), strict=True)
        ]

    def run(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs for a whole batch, in the order of the configuration."""
        return list(self._session.run(self._outputs, feed))

    def _array(self, request: Any, name: str) -> np.ndarray:
        return np.from_dlpack(self._backend.get_input_tensor_by_name(request, name))

    def _response(self, request: Any, parts: Sequence[np.ndarray]) -> Any:
        wanted = set(request.requested_output_names())
        return self._backend.InferenceResponse(
            [
                self._backend.Tensor.from_dlpack(name, np.ascontiguousarray(part))
                for name, part in zip(self._outputs, parts, strict=True)
                if name in wanted
            ]
        )


def _complain(unraisable: Any) -> None:
    if str(unraisable.exc_value) != HARMLESS:
        sys.__unraisablehook__(unraisable)
