"""ONNX Runtime sessions, and whether a graph honours its manifest."""

import os
from typing import Any, TypeAlias

# The wheel can send usage data to its maker. A service that receives photographs does not.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from bodykit.errors import UserError
from bodykit.manifest import Manifest, TensorSpec
from service.engines.base import describe

Session: TypeAlias = ort.InferenceSession
RunOptions: TypeAlias = ort.RunOptions

ONNX_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


def open_session(content: bytes, threads: int) -> Session:
    """A session over a graph's bytes. Raises UserError when it cannot be loaded."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only; a warning per graph optimisation helps no operator
    # A spinning thread saves a tenth of a run's time on an idle machine. Beside one busy neighbour it doubles that time,
    # and it takes the processor from decoding and from the event loop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return Session(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UserError(f"the network cannot be loaded: {str(error).splitlines()[0]}") from error


def check_graph(session: Session, manifest: Manifest) -> None:
    """Raise UserError unless the graph's inputs and outputs are those of the manifest."""
    sides = (("input", manifest.inputs, session.get_inputs()), ("output", manifest.outputs, session.get_outputs()))
    for side, specs, nodes in sides:
        found = {node.name: node for node in nodes}
        for spec in specs:
            if spec.name not in found:
                raise UserError(
                    f"the network has no {side} {spec.name}, which its manifest promises; it has {', '.join(found)}"
                )
            _check_node(side, spec, found[spec.name])
    if surplus := {node.name for node in session.get_inputs()} - {spec.name for spec in manifest.inputs}:
        raise UserError(f"the network wants inputs that its manifest does not know: {', '.join(sorted(surplus))}")


def _check_node(side: str, spec: TensorSpec, node: Any) -> None:
    dtype = ONNX_DTYPES.get(node.type, node.type)
    # An axis that the graph leaves open is a name or None; only known lengths can contradict the manifest.
    agrees = len(node.shape) == len(spec.shape) and all(
        not isinstance(axis, int) or wanted in (-1, axis) for wanted, axis in zip(spec.shape, node.shape, strict=True)
    )
    if dtype != spec.dtype or not agrees:
        raise UserError(f"the network's {side} {spec.name} is {dtype} {node.shape}, its manifest says {describe(spec)}")
