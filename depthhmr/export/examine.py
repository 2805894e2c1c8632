"""Checks of an ONNX graph against the tensor contract, by name. No torch, no service."""

from collections.abc import Callable

from bodykit.body import Body
from depthhmr.export.form import TITLES, check_form, check_size, read_graph
from depthhmr.export.report import Check, Report
from depthhmr.export.trial import EXPECTED, try_out
from depthhmr.tensorrt.pictures import Pictures

PICTURES = 6  # rendered ones that a graph is run on, if the user gives no others


def check_graph(
    content: bytes, pictures: Callable[[int], Pictures], body: Body, threshold: float, *, threads: int = 0
) -> Report:
    """All checks of the graph in these bytes: its form, and then its outputs if the form allows a run.

    pictures(S) gives at least three pictures as the network takes them; a query is a person from `threshold` on.
    threads 0: ONNX Runtime's default.
    """
    readable, model = read_graph(content)
    checks = [check_size(content), readable]
    if model is None:
        later = [Check(name, "not tried", "a graph", "none was read") for name in TITLES]
        return Report((*checks, *later, *_not_tried("none was read")))
    form, size, opset = check_form(model, body)
    checks += form
    if any(check.status == "failed" for check in checks):
        return Report((*checks, *_not_tried("an earlier check failed")), size, opset=opset)
    run_checks, queries, map_shape = try_out(content, pictures(size), body, threshold, threads)
    return Report((*checks, *run_checks), size, queries, map_shape, opset)


def _not_tried(reason: str) -> list[Check]:
    return [Check(name, "not tried", expected, reason) for name, expected in EXPECTED.items()]
