"""A trained network to the file that the service serves: model.onnx and manifest.json, checked before they count.

The graph takes uint8 images and gives exactly the contract's tensors. It holds no grid_sample, no data-dependent shape
and no axis-angle; batch is the only dynamic axis.
"""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bodykit.errors import UserError
from depthhmr.batch import MEAN, STD
from depthhmr.config import ModelConfig
from depthhmr.model import DepthHMR

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
        pixels = image.permute(0, 3, 1, 2).float()
        people = self.network((pixels - self.mean) / self.std, intrinsics)
        scores = people.scores.sigmoid()
        return scores, people.rotations, people.betas, people.translation, people.boxes, people.depth


def export_onnx(network: DepthHMR, config: ModelConfig, path: Path) -> None:
    """Writes the graph and proves it: PyTorch against ONNX Runtime at batch 1 and 3. RuntimeError when they differ."""
    model = ExportModel(network).eval().to(memory_format=torch.contiguous_format)
    example = _example(config.size, 2, seed=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # the tracer warns about every Python-side size, all of which are constants here
        torch.onnx.export(
            model, example, str(path), opset_version=OPSET, dynamo=False,
            input_names=["image", "intrinsics"], output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch"} for name in ("image", "intrinsics", *OUTPUTS)},
        )  # fmt: skip
    _refuse_operators(path)
    worst = max(parity(model, path, config.size, batch) for batch in (1, 3))
    if worst > TOLERANCE:
        raise RuntimeError(f"expected PyTorch and ONNX Runtime to agree within {TOLERANCE}, they differ by {worst:.2e}")


def parity(model: ExportModel, path: Path, size: int, batch: int) -> float:
    """Largest difference between PyTorch and ONNX Runtime on random images: metres, radians' order, boxes over the side."""
    import onnxruntime

    image, intrinsics = _example(size, batch, seed=batch)
    with torch.no_grad():
        expected = model(image, intrinsics)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
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
    """`folder`/1/model.onnx and `folder`/manifest.json, both moved into place only after every check. -> the graph."""
    from bodykit.body import load_body
    from bodykit.manifest import Manifest

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
    Manifest.read(folder)
    return graph
