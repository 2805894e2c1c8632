"""The published table of TensorRT's parser against graphs."""

import pytest
from onnx import TensorProto, helper

from depthhmr.tensorrt import operators
from depthhmr.tensorrt.choice import in_half
from depthhmr.tensorrt.precision import convert

F, I64 = TensorProto.FLOAT, TensorProto.INT64


def test_table_names_its_source_and_no_operator_twice():
    table = operators.load_table()

    assert "onnx-tensorrt" in table.source and table.tensorrt == "10.15" and table.opsets == (9, 24)
    assert not table.unsupported & set(table.types)


@pytest.mark.parametrize("precision", ["mixed", "fp32", "half"])
def test_the_shipped_network_is_taken_after_conversion(folded, precision):
    support = operators.check(convert(folded, in_half(folded, precision)))

    assert support.faults == ()
    assert len(support.uses) > 30


def test_bytes_that_are_moved_before_they_are_cast_are_refused():
    nodes = [
        helper.make_node("Transpose", ["bytes"], ["moved"], name="move", perm=[1, 0]),
        helper.make_node("Cast", ["moved"], ["out"], name="cast", to=F),
    ]

    faults = operators.check(model(nodes, inputs={"bytes": TensorProto.UINT8})).faults

    assert len(faults) == 2
    assert faults[0].startswith("Transpose move: used with UINT8")
    assert "UINT8 is allowed only for inputs" in faults[1]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("Det", ["x"], ["out"], name="n"), "Det n: TensorRT does not support this operator (10.15)"),
        (helper.make_node("GridSample", ["x4", "x4"], ["out"], name="n"), "issue 4813"),
        (helper.make_node("NonZero", ["x"], ["out"], name="n"), "depends on the picture, which no plan supports"),
        (helper.make_node("Bitwise", ["x"], ["out"], name="n", domain="ours"), "belongs to the domain ours"),
        (helper.make_node("TopK", ["long", "many"], ["out", "i"], name="n"), "K must be between 1 and 3839, got 4000"),
        (helper.make_node("TopK", ["x", "k"], ["out", "i"], name="n"), "K must be known while building"),
        (helper.make_node("TopK", ["x", "one"], ["out", "i"], name="n", sorted=0), "sorted must be 1"),
        (
            helper.make_node("Resize", ["x4", "", "scales"], ["out"], name="n", mode="cubic"),
            "mode cubic, supported are nearest, linear",
        ),
        (
            helper.make_node("MaxPool", ["x4"], ["out"], name="n", kernel_shape=[2, 2], dilations=[2, 2]),
            "dilations must be 1",
        ),
        (helper.make_node("MaxPool", ["x4"], ["out", "i"], name="n", kernel_shape=[2, 2]), "Indices is not supported"),
        (helper.make_node("ReduceSum", ["x", "k"], ["out"], name="n"), "axes must be known while building"),
        (helper.make_node("Sqrt", ["double"], ["out"], name="n"), "used with DOUBLE"),
        (helper.make_node("Sqrt", ["double"], ["out"], name=""), "Sqrt (unnamed): used with DOUBLE"),
        (
            helper.make_node("ScatterND", ["x", "indices", "updates"], ["out"], name="n", reduction="add"),
            "only reduction none",
        ),
    ],
)
def test_what_tensorrt_refuses_is_named(node, message):
    faults = operators.check(model([node])).faults

    assert len(faults) == 1 and message in faults[0]


def test_an_opset_beyond_the_table_is_named():
    faults = operators.check(model([helper.make_node("Relu", ["x"], ["out"])], opset=25)).faults

    assert faults == ("opset 25: expected 9 to 24",)


def model(nodes, *, inputs=None, opset: int = 17):
    kinds = {
        "x": (F, [4, 4]),
        "x4": (F, [1, 2, 4, 2]),
        "double": (TensorProto.DOUBLE, [4]),
        "long": (F, [5000]),
        "k": (I64, [1]),
    }
    kinds |= {name: (kind, [4, 4]) for name, kind in (inputs or {}).items()}
    kinds |= {"indices": (I64, [1, 1]), "updates": (F, [1, 4])}
    used = {name for node in nodes for name in node.input}
    weights = [
        helper.make_tensor("many", I64, [1], [4000]),
        helper.make_tensor("one", I64, [1], [1]),
        helper.make_tensor("scales", F, [4], [1, 1, 2, 2]),
    ]
    kind = nodes[-1].op_type
    out = {"NonZero": I64, "Sqrt": TensorProto.DOUBLE}.get(kind, F)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *what) for name, what in kinds.items() if name in used],
        [helper.make_tensor_value_info("out", out, None)],
        [tensor for tensor in weights if tensor.name in used],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ours", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)
