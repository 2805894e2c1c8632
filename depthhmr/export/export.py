"""Exports a trained network to the served graph, checks it and writes the model folder.

The graph takes uint8 images and gives exactly the contract's tensors. It holds no grid_sample, no data-dependent shape
and no axis-angle; batch is the only dynamic axis. Weights are rounded to half precision before the comparison with PyTorch
and stored in it, which halves the file; a Cast behind each, folded when a session opens, keeps all arithmetic in float32.
"""

import copy
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bodykit.body import Body, load_body
from bodykit.errors import UserError
from bodykit.manifest import OUTPUT_NAMES
from depthhmr.export.examine import PICTURES, check_graph
from depthhmr.export.folder import Facts, NetworkRejected, write_folder
from depthhmr.export.form import BODY_KEY
from depthhmr.export.report import Check, Report, verdict
from depthhmr.network.config import ModelConfig
from depthhmr.network.model import DepthHMR
from depthhmr.network.normalise import MEAN, STD
from depthhmr.tensorrt.pictures import Pictures, synthetic

if TYPE_CHECKING:
    import onnxruntime

OPSET = 17  # the first with a native LayerNormalization, which TensorRT keeps in FP32
OUTPUTS = OUTPUT_NAMES
TOLERANCE = 2e-3  # metres, and pixels of a box relative to the image side; measured differences are 100 times smaller


class ExportModel(nn.Module):
    """The network behind the tensor contract: image uint8 [B, S, S, 3], intrinsics float32 [B, 4] in; six tensors out."""

    def __init__(self, network: DepthHMR) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", MEAN.clone(), persistent=False)
        self.register_buffer("std", STD.clone(), persistent=False)

    def forward(self, image: Tensor, intrinsics: Tensor) -> tuple[Tensor, ...]:
        pixels = image.float().permute(0, 3, 1, 2)  # the Cast first: TensorRT allows nothing else on uint8
        people = self.network((pixels - self.mean) / self.std, intrinsics)
        scores = people.scores.sigmoid()
        return scores, people.rotations, people.betas, people.translation, people.boxes, people.depth


def export_onnx(network: DepthHMR, config: ModelConfig, path: Path) -> ExportModel:
    """Writes the graph -> the PyTorch module to compare it with."""
    model = ExportModel(rounded(network)).eval()  # the exporter restores the mode of modules
    path.parent.mkdir(parents=True, exist_ok=True)
    trace(model, config.size, path)
    _store_halves(path, network.body.sha256)
    return model


def examine(
    model: ExportModel, config: ModelConfig, path: Path, threshold: float, pictures: Pictures, body: Body
) -> Report:
    """Every check of a graph, and PyTorch against ONNX Runtime."""
    report = check_graph(path.read_bytes(), lambda size: pictures, body, threshold)
    expected = f"PyTorch and ONNX Runtime within {TOLERANCE:g} at batch 1 and 3"
    if not report.passed:
        return report.with_checks(Check("parity", "not tried", expected, "an earlier check failed"))
    try:
        worst = max(parity(model, path, config.size, batch) for batch in (1, 3))
    except RuntimeError as error:
        return report.with_checks(verdict("parity", False, expected, str(error)))
    return report.with_checks(verdict("parity", worst <= TOLERANCE, expected, f"{worst:.2g} apart"))


def trace(model: ExportModel, size: int, path: Path) -> None:
    """The graph of a network with its weights in float32."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # the tracer warns about every Python-side size, all of which are constants here
        torch.onnx.export(
            model, _example(size, 2, seed=0), str(path), opset_version=OPSET, dynamo=False,
            input_names=["image", "intrinsics"], output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch"} for name in ("image", "intrinsics", *OUTPUTS)},
        )  # fmt: skip


def foldable(network: nn.Module) -> Iterator[nn.Sequential]:
    """The blocks whose batch norm can be folded into the convolution before it."""
    for module in network.modules():
        if isinstance(module, nn.Sequential) and len(module) > 1 and isinstance(module[1], nn.BatchNorm2d):
            yield module


def folded(network: DepthHMR) -> DepthHMR:
    """A copy for inference: batch norms folded into their convolutions."""
    copied = copy.deepcopy(network).eval().to(memory_format=torch.contiguous_format)
    for block in foldable(copied):
        block[0] = fuse_conv_bn_eval(block[0], block[1])
        block[1] = nn.Identity()
    return copied


def rounded(network: DepthHMR) -> DepthHMR:
    """A folded copy, its weights rounded to half precision, float32 still."""
    copied = folded(network)
    with torch.no_grad():
        for parameter in copied.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.half().float())
    return copied


def _store_halves(path: Path, body: str) -> None:
    """Stores every large weight that is exact in half precision as such, with a Cast back to float32.

    Adds the sha256 of the body to the metadata.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        halves = values.astype(np.float16) if values.dtype == np.float32 and values.size > 256 else None
        if halves is None or not np.array_equal(halves.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(halves, name + "_half"))
        casts.append(helper.make_node("Cast", [name + "_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    helper.set_model_props(model, {BODY_KEY: body})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def parity(model: ExportModel, path: Path, size: int, batch: int, examples: int = 2) -> float:
    """Largest difference between PyTorch and ONNX Runtime: metres, entries of rotations, boxes over the side.

    The least over some random examples: in one of them, rounding by 1e-7 may swap two cells of nearly the same score
    and so whole rows; a faulty graph differs on all of them.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return min(_difference(model, session, *_example(size, batch, seed), size) for seed in range(examples))


def _difference(
    model: ExportModel, session: "onnxruntime.InferenceSession", image: Tensor, intrinsics: Tensor, size: int
) -> float:
    with torch.no_grad():
        expected = model(image, intrinsics)
    got = session.run(list(OUTPUTS), {"image": image.numpy(), "intrinsics": intrinsics.numpy()})
    worst = 0.0
    for name, a, b in zip(OUTPUTS, expected, got, strict=True):
        scale = size if name == "boxes" else 1.0
        if a.shape != b.shape or not np.isfinite(b).all():
            raise RuntimeError(f"expected finite {name} of shape {tuple(a.shape)}, got {b.shape}")
        worst = max(worst, float(np.abs(a.numpy() - b).max()) / scale)
    return worst


def _example(size: int, batch: int, seed: int) -> tuple[Tensor, Tensor]:
    """Smooth random pictures and plausible cameras."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 9, 9, generator=generator)
    image = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear").permute(0, 2, 3, 1) * 255
    focal = size * (0.6 + 0.6 * torch.rand(batch, 1, generator=generator))
    centre = torch.full((batch, 2), size / 2)
    return image.to(torch.uint8).contiguous(), torch.cat([focal, focal, centre], 1)


def export_network(
    network: DepthHMR, config: ModelConfig, facts: Facts, folder: Path, pictures: Pictures | None = None,
    body: Body | None = None,
) -> tuple[Path, Report]:  # fmt: skip
    """Exports, checks on pictures (rendered ones when None) and writes -> the graph and the report.

    `body` is the network's, the free one when None. Raises NetworkRejected, with the report, if a check failed.
    """
    body = load_body() if body is None else body
    if body.sha256 != network.body.sha256:
        raise UserError(f"expected the network's body {network.body.sha256}, got {body.sha256}")
    pictures = synthetic(config.size, PICTURES) if pictures is None else pictures
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        model = export_onnx(network, config, path)
        report = examine(model, config, path, facts.threshold, pictures, body)
        if not report.passed:
            raise NetworkRejected(report, folder)
        return write_folder(path.read_bytes(), report, facts, body, folder), report
