"""A network that trains, back from the graph that export.py wrote: whoever has a model folder can train it on.

A graph keeps most weights under their own names. Linear layers come back transposed, sliced and numbered; which number is
which parameter is found by exporting a network whose every weight is its own serial number. Batch norms were folded into
their convolutions; they come back with the statistics of rendered pictures, chosen so that the folded weights still hold.
The result is compared with the graph before it is handed out. What no output depends on (the scores of all decoder layers
but the last) is not in a graph: it starts from the last layer's.
"""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bodykit.body import Body, load_body
from bodykit.errors import UserError
from bodykit.manifest import Manifest
from depthhmr.body_id import id_of, refuse_other_body
from depthhmr.export.export import TOLERANCE, ExportModel, foldable, folded, parity, trace
from depthhmr.network.checkpoints import save
from depthhmr.network.config import PRESETS, ModelConfig, preset
from depthhmr.network.model import DepthHMR, build_model
from depthhmr.network.normalise import normalise
from depthhmr.network.skinning import BodyLayer
from depthhmr.synth.scene import Generator

LARGEST_SERIAL = 2**24  # integers that float32 tells apart
WIDTH_FACTOR = -2  # a graph holds -2 log sigma of an attention's width, folded by the exporter
PICTURES, SEED = 96, 9_000_000  # rendered pictures for the statistics of batch norms, out of the training split


def restore(folder: Path, body: Body | None = None) -> tuple[DepthHMR, ModelConfig]:
    """The network of a model folder, in evaluation mode. UserError where the graph is not of one of our presets.

    `body` is the one it was trained for, the free one when None; UserError where it was trained for another.
    """
    manifest = Manifest.read(folder)
    body = load_body() if body is None else body
    refuse_other_body(folder, dataclasses.asdict(manifest.body), body)
    if manifest.preset not in PRESETS:
        raise UserError(f"{folder} holds a graph of preset {manifest.preset!r}; known are {', '.join(PRESETS)}")
    config = preset(manifest.preset, size=manifest.input_size)
    graph = folder / "1" / "model.onnx"
    network = build_model(config, BodyLayer(body)).eval()
    fill(network, config, graph)
    unfold(network, config, body)
    worst = parity(ExportModel(folded(network)).eval(), graph, config.size, batch=2)
    if worst > TOLERANCE:
        raise UserError(
            f"the weights of {graph} do not fit the network of preset {config.name!r}: "
            f"their outputs differ by {worst:.3g}, expected at most {TOLERANCE}"
        )
    return network, config


def restored(folder: Path, run: Path, body: Body | None = None) -> Path:
    """A checkpoint in the folder of a run, and its lifter beside it, with the weights of a model folder. Made once."""
    path = run / "restored.pt"
    if not path.exists():
        network, config = restore(folder, body)
        weights, stated = network.state_dict(), id_of(network.body)
        lifter = network.lifter.state_dict()
        save(run / "lifter.pt", {
            "lifter": lifter, "training": lifter, "step": 0, "wall": 0.0, "cpu": 0.0, "body": stated,
        })  # fmt: skip
        save(path, {
            "model": weights, "training": weights, "config": dataclasses.asdict(config), "preset": config.name,
            "step": 0, "images": 0, "wall": 0.0, "cpu": 0.0, "body": stated,
        })  # fmt: skip
    return path


def fill(network: DepthHMR, config: ModelConfig, graph: Path) -> None:
    """Put the weights of a graph into the network; a convolution with a batch norm behind it gets the folded weights.

    Raises UserError when the graph has other weights than the network would export.
    """
    values = _initializers(graph)
    numbered = build_model(config, network.body).eval()
    serials = _number(numbered)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "numbered.onnx"
        trace(ExportModel(folded(numbered)).eval(), config.size, path)
        expected = _initializers(path)
    if [value.shape for value in values.values()] != [value.shape for value in expected.values()]:
        raise UserError(
            f"expected a graph with the {len(expected)} weights of preset {config.name!r}, "
            f"{graph} has {len(values)} of other shapes: it was exported from another network"
        )
    flat = np.full(sum(p.numel() for p in serials.values()), np.nan, np.float32)
    state = network.state_dict()
    found: dict[str, Tensor] = {}
    for (name, value), (expected_name, serial) in zip(values.items(), expected.items(), strict=True):
        own = name.removeprefix("network.")
        if name == expected_name and own in state and state[own].shape == value.shape:
            found[own] = torch.from_numpy(value)
        elif name == expected_name and own.endswith(".0.bias"):  # of a batch norm, folded into a bias
            found[own.removesuffix("0.bias") + "1.bias"] = torch.from_numpy(value)
        elif not np.array_equal(value, serial):  # else a constant
            factor = WIDTH_FACTOR if (serial < 0).all() else 1
            flat[(serial / factor).astype(np.int64)] = value / factor
    first = 0
    for name, parameter in serials.items():
        content = flat[first : first + parameter.numel()]
        first += parameter.numel()
        if name not in found and np.isfinite(content).all():
            found[name] = torch.from_numpy(content.reshape(tuple(parameter.shape)).copy())
    network.load_state_dict(state | found)
    last = network.decoder.layers[-1].classify
    for layer in list(network.decoder.layers)[:-1]:
        layer.classify.load_state_dict(last.state_dict())


def _number(network: nn.Module) -> dict[str, Tensor]:
    """Gives every scalar of every parameter its own integer. -> the parameters in the order of the numbers."""
    parameters = dict(network.named_parameters())
    first = 0
    with torch.no_grad():
        for parameter in parameters.values():
            numbers = torch.arange(first, first + parameter.numel(), dtype=torch.float32)
            parameter.copy_(numbers.view_as(parameter))
            first += parameter.numel()
    if first > LARGEST_SERIAL:
        raise UserError(f"a network of {first} weights cannot be restored from its graph; at most {LARGEST_SERIAL} can")
    return parameters


def _initializers(graph: Path) -> dict[str, np.ndarray]:
    """float32 weights in the order of the graph; stored halves under the name of the weight they are cast to."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(graph))
    arrays = {tensor.name.removesuffix("_half"): numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return {name: a.astype(np.float32) for name, a in arrays.items() if a.dtype in (np.float16, np.float32)}


def unfold(network: DepthHMR, config: ModelConfig, body: Body, pictures: int = PICTURES) -> None:
    """Batch norms that leave the folded convolutions as they are, with the means and variances of rendered pictures.

    y = x + b with x the convolution's output becomes gamma (x - mean) / sqrt(var + eps) + beta.
    """
    pairs = [(block[0], block[1]) for block in foldable(network)]
    for _, norm in pairs:
        norm.reset_running_stats()
        nn.init.constant_(norm.weight, (1 + norm.eps) ** 0.5)
    sums: dict[nn.Module, list[Tensor]] = {}
    hooks = [
        convolution.register_forward_hook(lambda _, __, output, norm=norm: sums.setdefault(norm, []).append(_moments(output)))
        for convolution, norm in pairs
    ]  # fmt: skip
    generator = Generator(body, config.size)
    samples = [generator.sample(SEED + index) for index in range(pictures)]
    with torch.no_grad():
        for start in range(0, pictures, 16):
            group = samples[start : start + 16]
            image = torch.from_numpy(np.stack([sample.rgb for sample in group])).permute(0, 3, 1, 2).float()
            network(normalise(image), torch.from_numpy(np.stack([sample.intrinsics for sample in group])).float())
        for hook in hooks:
            hook.remove()
        for _, norm in pairs:
            mean, square = torch.stack(sums[norm]).mean(0)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_((square - mean.square()).clamp(min=1e-6))
            norm.weight.copy_((norm.running_var + norm.eps).sqrt())
            norm.bias.add_(mean)


def _moments(maps: Tensor) -> Tensor:
    """Mean and mean square per channel. [N, C, h, w] -> [2, C]."""
    return torch.stack([maps.mean((0, 2, 3)), maps.square().mean((0, 2, 3))])
