"""Which nodes of the shipped network run in half precision."""

import pytest

from depthhmr.tensorrt.choice import SINGLE, heavy_and_glue, in_half, reasons
from depthhmr.tensorrt.graph import element_types
from depthhmr.tensorrt.precision import convert, half_nodes


@pytest.mark.slow
def test_the_convolutions_are_half_but_those_that_choose_the_cells(folded):
    half = heavy_and_glue(folded)

    single = [node.name for node in folded.graph.node if node.op_type == "Conv" and node.name not in half]

    assert len(single) == 3 and all("/query_head/" in name for name in single)


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", ["/lifter/", "/query_head/", "/around/MatMul", "Softmax", "LayerNorm", "TopK", "/decoder/move"]
)
def test_delicate_parts_are_single(folded, part):
    assert any(part in node.name for node in folded.graph.node)
    assert [name for name in heavy_and_glue(folded) if part in name] == []


def test_every_reason_is_used_and_every_single_node_has_one(folded):
    counted = reasons(folded, heavy_and_glue(folded))

    assert set(counted) == {part.why for part in SINGLE}


def test_glue_is_half_only_between_half_nodes(folded):
    converted = convert(folded, in_half(folded, "mixed"))
    types = element_types(converted)

    sums = [node for node in half_nodes(converted) if node.op_type == "Add"]

    assert sums
    for node in sums:
        assert {types[name] for name in node.input} == {types[node.output[0]]}


def test_fp32_has_no_half_node(folded):
    assert half_nodes(convert(folded, in_half(folded, "fp32"))) == []
