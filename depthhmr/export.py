"""A trained network to the file that the service serves: model.onnx and manifest.json, checked before they count.

The graph takes uint8 images and gives exactly the contract's tensors. It holds no grid_sample, no data-dependent shape
and no axis-angle; batch is the only dynamic axis. Weights are rounded to half precision before the comparison with PyTorch
and stored so, which halves the file; a Cast behind each, folded when a session opens, keeps all arithmetic in float32.
"""

import copy
import hashlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bodykit.errors import UserError
from depthhmr.batch import MEAN, STD
from depthhmr.config import ModelConfig
from depthhmr.model import DepthHMR

if TYPE_CHECKING:
    import onnxruntime

OPSET = 17  # the first with a native LayerNormalization, which TensorRT keeps in FP32
OUTPUTS = ("scores", "rotations", "betas", "translation", "boxes", "depth")
TOLERANCE = 2e-3  # metres, and pixels of a box relative to the image side; measured differences are 100 times smaller


class ExportModel(nn.Module):
    """The network behind the tensor contract: image uint8 [B, S, S, 3], intrinsics float32 [B, 4] in; six tensors out."""

    def __init__(self, network: DepthHMR) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", MEAN.clone(), persistent=False)
        self.register_buffer("std", STD.clone(), persistent=False)

    def forward(self, image: Tensor, intrinsics: Tensor) -> tuple[Tensor, ...]:
        pixels = image.float().permute(0, 3, 1, 2)  # the Cast first: TensorRT lets nothing else touch uint8
        people = self.network((pixels - self.mean) / self.std, intrinsics)
        scores = people.scores.sigmoid()
        return scores, people.rotations, people.betas, people.translation, people.boxes, people.depth


def export_onnx(network: DepthHMR, config: ModelConfig, path: Path) -> None:
    """Writes the graph and proves it: PyTorch against ONNX Runtime at batch 1 and 3. RuntimeError when they differ."""
    model = ExportModel(rounded(network)).eval()  # the exporter puts modules back into the mode it found
    path.parent.mkdir(parents=True, exist_ok=True)
    trace(model, config.size, path)
    _refuse_operators(path)
    _store_halves(path)
    worst = max(parity(model, path, config.size, batch) for batch in (1, 3))
    if worst > TOLERANCE:
        raise RuntimeError(f"expected PyTorch and ONNX Runtime to agree within {TOLERANCE}, they differ by {worst:.2e}")


def trace(model: ExportModel, size: int, path: Path) -> None:
    """The graph of a network as it is, with its weights in float32."""
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


def _store_halves(path: Path) -> None:
    """Store every large weight that half precision holds exactly as such, with a Cast back to float32 behind it."""
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
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def parity(model: ExportModel, path: Path, size: int, batch: int, examples: int = 2) -> float:
    """Largest difference between PyTorch and ONNX Runtime: metres, entries of rotations, boxes over the side.

    The least over some random examples: on one, two cells of nearly the same score may change places by a rounding of
    1e-7 and with them whole rows; a faulty graph differs on all of them.
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


def _refuse_operators(path: Path) -> None:
    import onnx

    used = {node.op_type for node in onnx.load(str(path)).graph.node}
    bad = used & {"GridSample", "NonZero", "Einsum", "Loop", "If"}
    if bad:
        raise RuntimeError(f"expected a graph without {', '.join(sorted(bad))}: TensorRT cannot be trusted with them")


def write_model_folder(
    network: DepthHMR,
    config: ModelConfig,
    folder: Path,
    *,
    version: str,
    threshold: float,
    data: str,
    scores: dict[str, float],
) -> Path:
    """The graph, its manifest and Triton's files in `folder`; nothing is put there before every check. -> the graph."""
    from bodykit.body import load_body
    from bodykit.manifest import Manifest
    from bodykit.triton_config import write_triton_files

    graph = folder / "1" / "model.onnx"
    partial = folder / "1" / ".model.onnx.partial"
    export_onnx(network, config, partial)
    side = network.streams.middle_side
    body = load_body()
    if body.sha256 != network.body.sha256:
        raise UserError(f"expected the network's body {network.body.sha256}, the installed body is {body.sha256}")
    count = config.queries
    shapes = {
        "scores": [count], "rotations": [count, 24, 3, 3], "betas": [count, 10], "translation": [count, 3],
        "boxes": [count, 4], "depth": [side, side],
    }  # fmt: skip
    content = {
        "name": "depthhmr",
        "version": version,
        "preset": config.name,
        "input_size": config.size,
        "queries": count,
        "threshold": threshold,
        "opset": OPSET,
        "inputs": [
            {"name": "image", "dtype": "uint8", "shape": [-1, config.size, config.size, 3]},
            {"name": "intrinsics", "dtype": "float32", "shape": [-1, 4]},
        ],
        "outputs": [{"name": name, "dtype": "float32", "shape": [-1, *shape]} for name, shape in shapes.items()],
        "body": {"name": body.name, "version": body.version, "sha256": body.sha256},
        "data": data,
        "license": "Apache-2.0",
        "scores": scores,
        "sha256": hashlib.sha256(partial.read_bytes()).hexdigest(),
    }
    partial.replace(graph)
    (folder / "manifest.json").write_text(json.dumps(content, indent=2) + "\n")
    write_triton_files(Manifest.read(folder), folder)
    return graph
