"""Checks of a graph's form against the tensor contract (bodykit/manifest.py), without running it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bodykit.body import BETAS, JOINTS, Body
from bodykit.manifest import INPUT_NAMES, OUTPUT_NAMES
from depthhmr.export.report import Check, verdict

if TYPE_CHECKING:
    import onnx

MIN_OPSET = 17  # the first with a native LayerNormalization, which TensorRT keeps in FP32
REFUSED = frozenset({"GridSample", "NonZero", "Einsum", "Loop", "If", "Scan"})  # not reliable in TensorRT
STANDARD_DOMAINS = ("", "ai.onnx")
MAX_BYTES = 2**31 - 1  # the limit of a protobuf message
BODY_KEY = "body_sha256"  # metadata of exported graphs: the body of the network
TITLES = ("opset", "operators", "body", "inputs", "outputs")


def check_size(content: bytes) -> Check:
    return verdict("size", 0 < len(content) <= MAX_BYTES, f"1 to {MAX_BYTES} bytes", f"{len(content) / 1e6:.1f} MB")


def read_graph(content: bytes) -> tuple[Check, "onnx.ModelProto | None"]:
    """The graph in these bytes; None, with a failed check, if they hold none."""
    import onnx

    expected = "one valid ONNX file with all its weights in it"
    try:
        model = onnx.load_model_from_string(content)
        outside = [item.name for item in model.graph.initializer if item.data_location == onnx.TensorProto.EXTERNAL]
        if outside:
            return verdict(
                "graph", False, expected, f"weights in other files ({outside[0]} and {len(outside) - 1} more)"
            ), None
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker raise many types
        return verdict("graph", False, expected, first_line(error) or f"{len(content)} bytes of something else"), None
    nodes = len(model.graph.node)
    return verdict(
        "graph", nodes > 0, expected, f"{nodes} nodes, by {model.producer_name or 'an unnamed program'}"
    ), model


def check_form(model: "onnx.ModelProto", body: Body) -> tuple[list[Check], int, int]:
    """Opset, operators, body, names, types and shapes -> the checks, S and the opset.

    The image must have S. Output lengths that the graph leaves open, as PyTorch's exporter does at times, are taken from
    its outputs; those that it declares must fit the contract and each other.
    """
    opset = max((item.version for item in model.opset_import if item.domain in STANDARD_DOMAINS), default=0)
    checks, size = _signature(model)
    first = verdict("opset", opset >= MIN_OPSET, f"{MIN_OPSET} or later", str(opset))
    return [first, _operators(model), _body(model, body), *checks], size, opset


def _operators(model: "onnx.ModelProto") -> Check:
    used = {(node.domain, node.op_type) for node in model.graph.node}
    foreign = {f"{domain}.{name}" for domain, name in used if domain not in STANDARD_DOMAINS}
    bad = sorted(foreign | {name for _, name in used if name in REFUSED})
    expected = f"standard ones without {', '.join(sorted(REFUSED))}"
    return verdict("operators", not bad, expected, ", ".join(bad) or f"{len(used)} standard ones")


def _body(model: "onnx.ModelProto", body: Body) -> Check:
    """Exported graphs name their body; for others the user must know it."""
    declared = {item.key: item.value for item in model.metadata_props}.get(BODY_KEY)
    name = f"{body.name} {body.version} ({body.sha256[:12]})"
    got = (
        f"{name}, which the graph does not name"
        if declared is None
        else name
        if declared == body.sha256
        else declared[:12]
    )
    return verdict("body", declared in (None, body.sha256), name, got)


def _signature(model: "onnx.ModelProto") -> tuple[list[Check], int]:
    """Names, types and shapes of all inputs and outputs -> the checks, and S."""
    initial = {item.name for item in model.graph.initializer}
    inputs = {item.name: item for item in model.graph.input if item.name not in initial}
    outputs = {item.name: item for item in model.graph.output}
    checks = [
        verdict(kind, set(found) == set(names), ", ".join(names), ", ".join(found) or "none")
        for kind, found, names in (("inputs", inputs, INPUT_NAMES), ("outputs", outputs, OUTPUT_NAMES))
    ]
    declared = [_axes(outputs.get(name))[1:2] for name in OUTPUT_NAMES if name != "depth"]
    size = next((axis for axis in _axes(inputs.get("image"))[1:2] if isinstance(axis, int)), 0)
    queries = next((axis for axes in declared for axis in axes if isinstance(axis, int)), 0)
    shapes = {"image": (size or "S", size or "S", 3), "intrinsics": (4,)} | output_shapes(queries or "K", ("h", "w"))
    for name, tensor in (inputs | outputs).items():
        if name in shapes:
            checks.append(_tensor(name, tensor, shapes[name]))
    return checks, size


def output_shapes(queries: Any, map_shape: Sequence[Any]) -> dict[str, tuple[Any, ...]]:
    """By name, without the batch."""
    return {
        "scores": (queries,), "rotations": (queries, JOINTS, 3, 3), "betas": (queries, BETAS), "translation": (queries, 3),
        "boxes": (queries, 4), "depth": tuple(map_shape),
    }  # fmt: skip


def _tensor(name: str, tensor: "onnx.ValueInfoProto", shape: Sequence[int | str]) -> Check:
    """The batch must be free; an axis with a length must have that of the contract. The image needs all lengths."""
    from onnx import helper

    dtype = "uint8" if name == "image" else "float32"
    element = tensor.type.tensor_type.elem_type
    got_type = np.dtype(helper.tensor_dtype_to_np_dtype(element)).name if element else "no tensor"
    axes = _axes(tensor)
    agrees = len(axes) == len(shape) + 1 and all(
        isinstance(wanted, str) or got == wanted or (isinstance(got, str) and name not in INPUT_NAMES)
        for got, wanted in zip(axes[1:], shape, strict=True)
    )
    agrees = agrees and not (name == "image" and isinstance(shape[0], str))
    free = bool(axes) and isinstance(axes[0], str)
    expected = f"{dtype} [batch, {', '.join(map(str, shape))}]" + ("" if free else ", the batch a free axis")
    return verdict(f"tensor {name}", got_type == dtype and agrees and free, expected, f"{got_type} {_written(axes)}")


def _axes(tensor: "onnx.ValueInfoProto | None") -> list[int | str]:
    """Lengths, or names of free axes."""
    if tensor is None or not tensor.type.tensor_type.HasField("shape"):
        return []
    dims = tensor.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims]


def _written(axes: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, axes))}]"


def first_line(error: Exception) -> str:
    """The first line of a library's error."""
    return (str(error).splitlines() or [""])[0][:300]
