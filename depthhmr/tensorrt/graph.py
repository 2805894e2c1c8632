"""Prepares the exported graph for TensorRT, and counts a graph's parts.

`fold` is the step that NVIDIA recommends before the parser: constants, the half-precision weights with their Casts, and
shape arithmetic that does not depend on the batch become plain weights. No precision, no plans.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper, shape_inference

from bodykit.errors import UserError

FLOAT, HALF, UINT8 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8
MOVES = frozenset({"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})  # the same for every type


@dataclass(frozen=True)
class Facts:
    """Counts of a graph."""

    opset: int
    nodes: int
    operators: Counter[str]
    weights_bytes: int


def load_graph(content: bytes) -> onnx.ModelProto:
    """Parses and checks a serialised graph. Raises UserError if it is not valid ONNX."""
    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker raise many types
        raise UserError(f"the network is not valid ONNX: {str(error).strip().splitlines()[0]}") from error
    return model


def fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every constant is an initialiser, and every node has a unique name."""
    import onnx_graphsurgeon  # noqa: F401 - polygraphy needs it, and says so less plainly when it is missing
    from polygraphy.backend.onnx import fold_constants
    from polygraphy.logger import G_LOGGER

    with G_LOGGER.verbosity(G_LOGGER.ERROR), _quiet_stderr():
        folded = fold_constants(model, copy=True, fold_shapes=True, allow_onnxruntime_shape_inference=False)
    for number, node in enumerate(folded.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    # Remaining shape information would contradict the types that are chosen later.
    del folded.graph.value_info[:]
    onnx.checker.check_model(folded)
    return folded


def cast_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which bytes become floats first.

    TensorRT takes UINT8 as a network's input and allows nothing but a Cast on it, not even a Transpose
    (NVIDIA/TensorRT issue 3985); 0 to 255 are exact in every float type. Bytes that are used in another way stay, and
    `operators.check` refuses them.
    """
    types = element_types(model)
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    takers = [node for node in graph.node if any(types.get(name) == UINT8 for name in node.input)]
    if not all(node.op_type in MOVES or (node.op_type == "Cast" and _target(node) == FLOAT) for node in takers):
        return copied
    renamed: dict[str, str] = {}
    casts: list[onnx.NodeProto] = []
    for value in graph.input:
        if value.type.tensor_type.elem_type == UINT8:
            renamed[value.name] = f"{value.name}_as_float"
            name = f"cast/{value.name}_as_float"
            casts.append(helper.make_node("Cast", [value.name], [renamed[value.name]], name=name, to=FLOAT))
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        was_bytes = any(types.get(name) == UINT8 for name in node.input)
        node.input[:] = [renamed.get(name, name) for name in node.input]
        if was_bytes and node.op_type == "Cast" and node.output[0] not in {value.name for value in graph.output}:
            renamed[node.output[0]] = node.input[0]  # already cast
        else:
            kept.append(_copied(node))
    del graph.node[:]
    graph.node.extend([*casts, *kept])
    onnx.checker.check_model(copied)
    return copied


def facts_of(model: onnx.ModelProto) -> Facts:
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return Facts(
        opset=max(opsets, default=0),
        nodes=len(model.graph.node),
        operators=Counter(node.op_type for node in model.graph.node),
        weights_bytes=sum(len(tensor.SerializeToString()) for tensor in model.graph.initializer),
    )


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every tensor, by ONNX's own inference; UserError if the types contradict each other."""
    try:
        inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:
        raise UserError(f"the graph's types do not fit together: {str(error).strip().splitlines()[0]}") from error
    graph = inferred.graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _target(node: onnx.NodeProto) -> int:
    return next(item.i for item in node.attribute if item.name == "to")


def _copied(node: onnx.NodeProto) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Silences ONNX Runtime's C++ warnings about every folded part; the result is checked instead."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
