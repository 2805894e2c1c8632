"""Which nodes of the network compute in half precision, and why the others do not.

The heavy parts are chosen by name, as nodes are named after their modules. 92 of 100 multiplications of the
default network then run in half precision. docs/tensorrt.md has the measurements, also of a graph in half precision throughout.
"""

import re
from collections import Counter
from dataclasses import dataclass

import onnx

from depthhmr.tensorrt.graph import FLOAT, element_types
from depthhmr.tensorrt.precision import NEVER_HALF, Choice

PRECISIONS = ("mixed", "fp32", "half")  # half: everything; kept as the reason for mixed, no plan passes with it

MULTIPLY = frozenset({"Conv", "MatMul", "Gemm"})


@dataclass(frozen=True)
class Part:
    """Nodes whose name matches `where` and whose operator is one of `operators` (any, if empty), and the reason."""

    where: str
    why: str
    operators: frozenset[str] = frozenset()

    def holds(self, node: onnx.NodeProto) -> bool:
        return (not self.operators or node.op_type in self.operators) and re.search(self.where, node.name) is not None


HEAVY = (
    Part("/backbone/", "the feature pyramid", MULTIPLY),
    Part("/streams/", "convolutions of the two streams", frozenset({"Conv"})),
    Part(r"/streams/\w+_layers\.\d+/", "attention and feed-forward of the streams", MULTIPLY),
    Part(r"/decoder/layers\.\d+/(?!around/MatMul)", "attention and feed-forward of the decoder", MULTIPLY),
    Part("/person_head/", "convolutions over the person windows", frozenset({"Conv"})),
)

# Cheap operators that become half if all their inputs and at least one consumer are half:
# without them every residual sum would cost two Casts and the fusion of convolution, sum and ReLU.
GLUE = frozenset(
    {"Add", "AveragePool", "Concat", "Div", "Flatten", "Gather", "MaxPool", "Mul", "Relu",
     "Reshape", "Resize", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)  # fmt: skip

# Reasons for single precision; the first match counts. Half precision has a relative step of 2^-11 and ends at 65504.
COMPARES = "chooses cells by comparing: scores rounded to the same half tie, and another cell wins"
PLACES = (
    "places the body: weights 1 / sigma^2 up to 1111, times metres, summed over 24 joints, pass 65504 from 2.5 m on"
)
WINDOWS = "windows in pixels (at 224 a half is 0.125 pixel coarse), soft-argmax and read-out in metres"
LIFTS = "Gram-Schmidt, kinematics and the layers between: 2 % of the work, and every error is a rotation"
SINGLE = (
    Part("/query_head/|/network/(MaxPool|TopK|GreaterOrEqual|Where)", COMPARES),
    Part("", "normalises by the mean of squares", frozenset({"LayerNormalization", "BatchNormalization"})),
    Part("", "softmax: exponentials and their sum", frozenset({"Softmax"})),
    Part("/streams/place|/decoder/code|/(streams|decoder)/(Sin|Cos)", "position codes: sines of up to 16 turns"),
    Part("/around/", "windows in pixels, and distances over sigma^2 that are added to attention"),
    Part("/decoder/(move|classify)", "moves a query by pixels, or says its score"),
    Part("/person_head/", WINDOWS),
    Part("/lifter/", LIFTS),
    Part("/network/(ReduceSum|Exp|Mul|Div|Gather)", PLACES),
    Part(
        "/streams/", "expected depth (a sum over bins, divided by a probability that may be 1e-6), residual sums, rays"
    ),
    Part("/decoder/", "residual sums and rays"),
    Part("", "camera geometry, and the outputs themselves"),
)


def in_half(model: onnx.ModelProto, precision: str) -> Choice:
    """The choice for `precision.convert`. The model must be a folded one: its nodes have names."""
    if precision == "half":
        return lambda node: True
    names = heavy_and_glue(model) if precision == "mixed" else set()
    return lambda node: node.name in names


def heavy_and_glue(model: onnx.ModelProto) -> set[str]:
    """Names of the heavy nodes, and of the cheap ones among them."""
    types = element_types(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    maker = {name: node for node in model.graph.node for name in node.output}
    takers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    chosen: set[str] = set()
    for node in model.graph.node:  # in the order of computation, so that makers are decided before takers
        values = [name for name in node.input if types.get(name) == FLOAT and name not in weights]
        all_half = bool(values) and all(name in maker and maker[name].name in chosen for name in values)
        if any(part.holds(node) for part in HEAVY) or (node.op_type in GLUE and all_half):
            chosen.add(node.name)
    for node in reversed(model.graph.node):  # glue that only single nodes take would round for nothing
        taken = [taker.name in chosen for name in node.output for taker in takers.get(name, [])]
        if node.name in chosen and not any(part.holds(node) for part in HEAVY) and not any(taken):
            chosen.remove(node.name)
    return chosen


def reasons(model: onnx.ModelProto, half: set[str]) -> Counter[str]:
    """Why the float nodes that are not in `half` are single -> how many of them."""
    types = element_types(model)
    counts: Counter[str] = Counter()
    for node in model.graph.node:
        floats = any(types.get(name) == FLOAT for name in node.output)
        if floats and node.name not in half and node.op_type not in NEVER_HALF:
            counts[next(part.why for part in SINGLE if part.holds(node))] += 1
    return counts
