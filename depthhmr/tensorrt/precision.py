"""Half precision where it is faster and harmless, written into the graph as Casts.

TensorRT 10.12 deprecates choosing precisions at build time and 11 removes it: a network is strongly typed and computes in
the types of its graph. So the choice is made here, and can be simulated on a CPU: `rehearsal`
turns a mixed graph into one that rounds to half precision where the mixed one would, but needs no half arithmetic.
(ONNX Runtime's own half graphs cannot serve for this: on a CPU it computes them in single precision throughout.)
"""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bodykit.errors import UserError
from depthhmr.tensorrt.graph import FLOAT, HALF, element_types

Choice = Callable[[onnx.NodeProto], bool]
HALF_MAX, HALF_TINY = float(np.finfo(np.float16).max), float(np.finfo(np.float16).smallest_subnormal)

# Operators whose float results stay single: they handle types and shapes, not arithmetic.
NEVER_HALF = frozenset({"Cast", "Constant", "ConstantOfShape", "Range"})
# Inputs that are single by the operator's definition: region and scales of a Resize.
ALWAYS_SINGLE = frozenset({("Resize", 1), ("Resize", 2)})


def convert(model: onnx.ModelProto, in_half: Choice) -> onnx.ModelProto:
    """A copy in which the nodes of `in_half` compute in half precision, with Casts at the borders.

    A value between two single-precision nodes is never rounded, and a tensor is cast at most once in each direction. Nodes
    that produce an output of the network stay single, as the contract demands.
    """
    types = element_types(model)
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    graph = converted.graph
    outputs = {value.name for value in graph.output}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    have = {name: kind for name, kind in types.items() if kind in (FLOAT, HALF)}
    cast: dict[tuple[str, int], str] = {}
    nodes: list[onnx.NodeProto] = []

    def as_type(name: str, kind: int) -> str:
        """The name under which the tensor exists in that type; creates it on first use."""
        if have[name] == kind:
            return name
        if (name, kind) not in cast:
            new = f"{name}_{'half' if kind == HALF else 'float'}"
            if name in weights:
                graph.initializer.append(numpy_helper.from_array(_halved(weights[name]), new))
            else:
                nodes.append(helper.make_node("Cast", [name], [new], name=f"cast/{new}", to=kind))
            cast[name, kind] = new
        return cast[name, kind]

    for node in graph.node:
        half = node.op_type not in NEVER_HALF and not outputs & set(node.output) and in_half(node)
        for index, name in enumerate(node.input):
            if have.get(name) is not None and node.op_type != "Cast":
                single = not half or (node.op_type, index) in ALWAYS_SINGLE
                node.input[index] = as_type(name, FLOAT if single else HALF)
        if half:
            have |= {name: HALF for name in node.output if have.get(name) == FLOAT}
        nodes.append(node)
    nodes = [_copied(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused_weights(graph)
    onnx.checker.check_model(converted)
    element_types(converted)  # checks that every operator's inputs agree
    return converted


def rehearsal(mixed: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in single precision that rounds every value that the mixed graph holds in half precision.

    Sums inside an operator are single, as on tensor cores; a value between two operators is rounded, which TensorRT
    skips where it fuses them.
    """
    types = element_types(mixed)
    copied = onnx.ModelProto()
    copied.CopyFrom(mixed)
    graph = copied.graph
    del graph.value_info[:]  # it would contradict the new types
    for tensor in graph.initializer:
        if tensor.data_type == HALF:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        rounded = [name for name in node.output if types.get(name) == HALF]
        raw = {name: f"{name}_unrounded" for name in rounded}
        node.output[:] = [raw.get(name, name) for name in node.output]
        if node.op_type == "Cast" and rounded:
            _set_attribute(node, "to", FLOAT)
        nodes.append(_copied(node))
        for name in rounded:
            nodes.append(helper.make_node("Cast", [raw[name]], [f"{name}_rounded"], to=HALF))
            nodes.append(helper.make_node("Cast", [f"{name}_rounded"], [name], to=FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(copied)
    return copied


def half_nodes(mixed: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that compute in half precision; Casts into it do not count."""
    types = element_types(mixed)
    return [
        node
        for node in mixed.graph.node
        if node.op_type != "Cast" and any(types.get(name) == HALF for name in node.output)
    ]


def _halved(tensor: onnx.TensorProto) -> np.ndarray:
    values = numpy_helper.to_array(tensor)
    if values.size and np.abs(values).max() > HALF_MAX:
        raise UserError(
            f"the weight {tensor.name} does not fit into half precision: "
            f"expected at most {HALF_MAX:.0f}, got {np.abs(values).max():g}; keep its node single"
        )
    halves = values.astype(np.float16)
    # A scalar that would become 0 guards against division by zero: it becomes the smallest half instead.
    if values.size == 1 and values.any() and not halves.any():
        halves = np.copysign(HALF_TINY, values).astype(np.float16)
    return halves


def _copied(node: onnx.NodeProto) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied


def _set_attribute(node: onnx.NodeProto, name: str, value: int) -> None:
    (attribute,) = [item for item in node.attribute if item.name == name]
    attribute.i = value


def _drop_unused_weights(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    kept = [numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name) for tensor in kept]
    del graph.initializer[:]
    graph.initializer.extend(kept)
