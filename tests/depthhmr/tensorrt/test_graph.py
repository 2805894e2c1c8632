"""The graph before precision: folded, and bytes cast first, with the same answers."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from bodykit.errors import UserError
from depthhmr.tensorrt.graph import UINT8, cast_first, element_types, facts_of, fold, load_graph
from depthhmr.tensorrt.pictures import synthetic
from depthhmr.tensorrt.runner import graph_runner


@pytest.mark.slow
def test_folding_and_casting_change_no_answer_of_the_shipped_network(shipped, folded):
    manifest, content = shipped
    feed = synthetic(manifest.input_size, 3).batch(3, 0)

    assert facts_of(folded).nodes < facts_of(load_graph(content)).nodes * 0.6
    before, after = (graph_runner(graph)(feed) for graph in (content, folded.SerializeToString()))
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, atol=1e-4, err_msg=name)


def test_after_casting_nothing_but_a_cast_touches_bytes():
    moved = [
        helper.make_node("Transpose", ["image"], ["t"], perm=[1, 0]),
        helper.make_node("Cast", ["t"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0]),
        helper.make_node("Relu", ["y"], ["out"]),
    ]
    model = graph_of(moved)

    found = cast_first(model)

    assert takers_of_bytes(model) == ["Transpose", "Cast"]  # TensorRT refuses this
    assert takers_of_bytes(found) == ["Cast"] and facts_of(found).operators["Cast"] == 1
    feed = {"image": np.arange(12, dtype=np.uint8).reshape(3, 4)}
    np.testing.assert_array_equal(run(found, feed), run(model, feed))


def test_the_shipped_network_gives_bytes_to_nothing_but_a_cast(folded):
    assert takers_of_bytes(folded) == ["Cast"]


def test_bytes_that_are_used_otherwise_stay_for_the_operator_check_to_refuse():
    model = graph_of([helper.make_node("Cast", ["image"], ["out"], to=TensorProto.INT32)], output=TensorProto.INT32)

    assert cast_first(model) == model


def test_every_node_has_a_name_after_folding():
    model = graph_of([helper.make_node("Cast", ["image"], ["x"], to=1), helper.make_node("Relu", ["x"], ["out"])])

    assert all(node.name for node in fold(model).graph.node)


def test_garbage_is_no_graph():
    with pytest.raises(UserError, match="not valid ONNX"):
        load_graph(b"garbage")


def test_types_that_contradict_each_other_are_refused():
    half = helper.make_tensor("half", TensorProto.FLOAT16, [1], [1.0])
    nodes = [helper.make_node("Cast", ["image"], ["x"], to=1), helper.make_node("Add", ["x", "half"], ["out"])]

    with pytest.raises(UserError, match="types do not fit together"):
        element_types(graph_of(nodes, weights=[half]))


def takers_of_bytes(model) -> list[str]:
    types = element_types(model)
    return [node.op_type for node in model.graph.node if any(types.get(name) == UINT8 for name in node.input)]


def run(model, feed) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feed)[0]


def graph_of(nodes, *, weights=(), output=TensorProto.FLOAT):
    inputs = [helper.make_tensor_value_info("image", UINT8, ["batch", 4])]
    outputs = [helper.make_tensor_value_info("out", output, ["batch", 4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
