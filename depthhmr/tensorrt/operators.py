"""Checks a graph against the published table of TensorRT's ONNX parser: operators, element types, restrictions.

operators.json holds the facts and names their source. A parser of another release may support more. The build itself
decides, but needs TensorRT and a GPU; this does not.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from depthhmr.tensorrt.graph import UINT8, element_types, facts_of

TOPK_MAX = 3840
RESIZE_MODES = ("nearest", "linear")
RESIZE_COORDINATES = ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners")
RESIZE_NEAREST = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
NORMS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
VALUE_INPUT = {"Where": 1}  # the input whose type the table lists, if not the first

# Refused in addition to the table.
MISTRUSTED = {
    "GridSample": "TensorRT 10.14 and 11.1 silently compute it wrongly (NVIDIA/TensorRT issue 4813)",
    "NonZero": "the number of its rows depends on the picture, which no plan supports",
}

NAMES = {
    TensorProto.FLOAT: "FP32", TensorProto.FLOAT16: "FP16", TensorProto.BFLOAT16: "BF16", TensorProto.DOUBLE: "DOUBLE",
    TensorProto.INT8: "INT8", TensorProto.INT32: "INT32", TensorProto.INT64: "INT64", UINT8: "UINT8", TensorProto.BOOL: "BOOL",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """The published table."""

    source: str
    tensorrt: str
    opsets: tuple[int, int]
    types: dict[str, frozenset[str]]  # by operator
    unsupported: frozenset[str]


@dataclass(frozen=True)
class Use:
    """An operator and its use in a graph."""

    operator: str
    count: int
    types: tuple[str, ...]


@dataclass(frozen=True)
class Support:
    """The result of `check`: every operator in use, and one sentence for each part that TensorRT would refuse."""

    table: Table
    opset: int
    uses: tuple[Use, ...]
    faults: tuple[str, ...]


def load_table() -> Table:
    raw = json.loads(resources.files(__package__).joinpath("operators.json").read_text(encoding="utf-8"))
    groups = {name: frozenset(types) for name, types in raw["types"].items()}
    return Table(
        source=raw["source"],
        tensorrt=raw["tensorrt"],
        opsets=tuple(raw["opsets"]),
        types={operator: groups[group] for operator, group in raw["operators"].items()},
        unsupported=frozenset(raw["unsupported"]),
    )


def check(model: onnx.ModelProto) -> Support:
    """Every operator of the graph against the table; UserError for a graph with inconsistent types."""
    table, graph = load_table(), Graph(model)
    opset = facts_of(model).opset
    counts: Counter[str] = Counter(node.op_type for node in model.graph.node)
    used: dict[str, set[str]] = {operator: set() for operator in counts}
    faults: list[str] = []
    if not table.opsets[0] <= opset <= table.opsets[1]:
        faults.append(f"opset {opset}: expected {table.opsets[0]} to {table.opsets[1]}")
    for node in model.graph.node:
        used[node.op_type] |= graph.types_of(node)
        faults += [f"{node.op_type} {node.name or '(unnamed)'}: {fault}" for fault in _faults(node, graph, table)]
    uses = tuple(Use(operator, counts[operator], tuple(sorted(used[operator]))) for operator in sorted(counts))
    return Support(table, opset, uses, tuple(faults))


class Graph:
    """Types and constants of a graph, by tensor."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.types = element_types(model)
        self.inputs = {value.name for value in model.graph.input}
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant":
                value = _attributes(node).get("value")
                if isinstance(value, onnx.TensorProto):
                    self.constants[node.output[0]] = value

    def type_of(self, name: str) -> str:
        kind = self.types.get(name, TensorProto.UNDEFINED)
        return NAMES.get(kind) or TensorProto.DataType.Name(kind)

    def types_of(self, node: onnx.NodeProto) -> set[str]:
        """The types that the table must list for this node."""
        if node.op_type == "Cast":
            return {self.type_of(node.input[0]), self.type_of(node.output[0])}
        index = VALUE_INPUT.get(node.op_type, 0)
        from_output = node.op_type in ("Constant", "ConstantOfShape") or len(node.input) <= index
        return {self.type_of(node.output[0] if from_output else node.input[index])}

    def constant(self, node: onnx.NodeProto, index: int) -> np.ndarray | None:
        """The value of an input if it is known at build time, else None."""
        if len(node.input) <= index or node.input[index] not in self.constants:
            return None
        return numpy_helper.to_array(self.constants[node.input[index]])


def _faults(node: onnx.NodeProto, graph: Graph, table: Table) -> Iterator[str]:
    operator = node.op_type
    if node.domain not in ("", "ai.onnx"):
        yield f"the operator belongs to the domain {node.domain}, TensorRT supports ONNX's own alone"
        return
    if operator in table.unsupported or operator not in table.types:
        known = "TensorRT does not support this operator" if operator in table.unsupported else "not in the table"
        yield f"{known} ({table.tensorrt})"
        return
    if operator in MISTRUSTED:
        yield MISTRUSTED[operator]
    if wrong := graph.types_of(node) - table.types[operator]:
        yield f"used with {', '.join(sorted(wrong))}, supported are {', '.join(sorted(table.types[operator]))}"
    if operator == "Cast" and graph.types.get(node.input[0]) == UINT8 and node.input[0] not in graph.inputs:
        yield "UINT8 is allowed only for inputs and outputs of the network"
    if rule := RULES.get(operator):
        yield from rule(node, graph)


def _topk(node: onnx.NodeProto, graph: Graph) -> Iterator[str]:
    if not _attributes(node).get("sorted", 1):
        yield "sorted must be 1"
    count = graph.constant(node, 1)
    if count is None:
        yield "K must be known while building"
    elif not 0 < count.item() < TOPK_MAX:
        yield f"K must be between 1 and {TOPK_MAX - 1}, got {count.item()}"


def _resize(node: onnx.NodeProto, graph: Graph) -> Iterator[str]:
    settings = _attributes(node)
    for name, default, allowed in (
        ("mode", "nearest", RESIZE_MODES),
        ("coordinate_transformation_mode", "half_pixel", RESIZE_COORDINATES),
        ("nearest_mode", "round_prefer_floor", RESIZE_NEAREST),
        ("keep_aspect_ratio_policy", "stretch", ("stretch",)),
    ):
        value = settings.get(name, default)
        value = value.decode() if isinstance(value, bytes) else value
        if value not in allowed:
            yield f"{name} {value}, supported are {', '.join(allowed)}"
    if settings.get("antialias", 0):
        yield "antialiasing is not supported"


def _pool(node: onnx.NodeProto, graph: Graph) -> Iterator[str]:
    dilations: Any = _attributes(node).get("dilations", ())
    if any(step != 1 for step in dilations):
        yield "dilations must be 1"
    if len(node.output) > 1 and node.output[1]:
        yield "the output Indices is not supported"


def _one_output(node: onnx.NodeProto, graph: Graph) -> Iterator[str]:
    if any(node.output[1:]):
        yield "only the first output is supported"


def _constant_axes(node: onnx.NodeProto, graph: Graph) -> Iterator[str]:
    if len(node.input) > 1 and node.input[1] and graph.constant(node, 1) is None:
        yield "axes must be known while building"


def _constant(node: onnx.NodeProto, graph: Graph) -> Iterator[str]:
    for name in ("sparse_value", "value_string", "value_strings"):
        if name in _attributes(node):
            yield f"the attribute {name} is not supported"


def _scatter(node: onnx.NodeProto, graph: Graph) -> Iterator[str]:
    if _attributes(node).get("reduction", b"none") != b"none":
        yield "only reduction none is supported"


RULES: dict[str, Callable[[onnx.NodeProto, Graph], Iterator[str]]] = {
    "TopK": _topk,
    "Resize": _resize,
    "AveragePool": _pool,
    "MaxPool": _pool,
    "LayerNormalization": _one_output,
    "Squeeze": _constant_axes,
    "Unsqueeze": _constant_axes,
    "Constant": _constant,
    "ScatterND": _scatter,
    **{f"Reduce{norm}": _constant_axes for norm in NORMS},
}


def _attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}
