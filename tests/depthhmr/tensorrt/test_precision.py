"""Half precision written into a graph, and its rehearsal in single precision."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from bodykit.errors import UserError
from depthhmr.tensorrt.graph import FLOAT, HALF, element_types, facts_of
from depthhmr.tensorrt.precision import HALF_TINY, convert, half_nodes, rehearsal

X = np.array([0.3], np.float32)


def test_half_nodes_are_cast_on_the_border_and_the_outputs_stay_single():
    model = chain("Add", "Mul", "Add")

    converted = convert(model, lambda node: node.op_type == "Mul")

    types = element_types(converted)
    assert [node.name for node in half_nodes(converted)] == ["Mul1"]
    assert facts_of(converted).operators["Cast"] == 2  # one in, one out
    assert types["out"] == FLOAT and types["t1"] == HALF


def test_a_value_between_two_single_nodes_is_never_rounded():
    converted = convert(chain("Mul", "Add", "Add"), lambda node: node.name == "Mul0")

    adds = [node for node in converted.graph.node if node.op_type == "Add"]
    assert adds[0].output[0] == adds[1].input[0]


def test_a_tensor_is_cast_once_for_all_who_take_it():
    nodes = [helper.make_node("Relu", ["x"], ["a"], name="a")]
    nodes += [helper.make_node("Mul", ["a", "c"], [f"m{i}"], name=f"m{i}") for i in range(3)]
    nodes += [helper.make_node("Sum", ["m0", "m1", "m2"], ["out"], name="sum")]

    converted = convert(model_of(nodes), lambda node: node.op_type == "Mul")

    to_half = [node for node in converted.graph.node if node.op_type == "Cast" and node.input[0] == "a"]
    assert len(to_half) == 1


def test_an_output_of_the_network_is_never_half():
    converted = convert(chain("Mul"), lambda node: True)

    assert element_types(converted)["out"] == FLOAT
    assert half_nodes(converted) == []


def test_rehearsal_rounds_where_the_mixed_graph_would():
    # In half precision 1000 + 0.3 is 1000.5.
    mixed = convert(chain("Add", "Sub"), lambda node: node.name == "Add0")

    assert run(mixed) == pytest.approx(0.3, abs=0.01)  # what ONNX Runtime makes of half nodes on a processor
    assert run(rehearsal(mixed)) == 0.5


def test_rehearsal_of_a_single_graph_changes_nothing():
    model = convert(chain("Add", "Sub"), lambda node: False)

    assert run(rehearsal(model)) == run(model)


def test_rehearsal_overflows_where_half_precision_does():
    mixed = convert(chain("Mul", "Mul", "Add"), lambda node: node.op_type == "Mul")

    assert np.isinf(run(rehearsal(mixed)))  # 0.3 * 1000 * 1000 is more than 65504


def test_a_weight_beyond_half_precision_is_refused_by_name():
    with pytest.raises(UserError, match=r"the weight c does not fit into half precision: .* got 70000"):
        convert(chain("Mul", "Add", constant=70000.0), lambda node: node.name == "Mul0")


def test_a_floor_against_division_by_zero_stays_one():
    converted = convert(chain("Add", "Add", constant=1e-12), lambda node: node.name == "Add0")

    (weight,) = [tensor for tensor in converted.graph.initializer if tensor.data_type == HALF]
    assert np.frombuffer(weight.raw_data, np.float16)[0] == np.float16(HALF_TINY) > 0


def chain(*operators: str, constant: float = 1000.0):
    """x -> operator with a constant -> ... -> out; nodes are named after operator and place, tensors t0, t1, ..."""
    nodes, last = [], "x"
    for place, operator in enumerate(operators):
        result = "out" if place == len(operators) - 1 else f"t{place}"
        nodes.append(helper.make_node(operator, [last, "c"], [result], name=f"{operator}{place}"))
        last = result
    return model_of(nodes, constant)


def model_of(nodes, constant: float = 1000.0):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])],
        [helper.make_tensor("c", TensorProto.FLOAT, [1], [constant])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model) -> float:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return float(session.run(None, {"x": X})[0][0])
