"""The backbone is MoveNet: conversion, refusals, and parity with the original graph."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bodykit.errors import UserError
from depthhmr.network import movenet_weights
from depthhmr.network.movenet import COCO_JOINTS, MoveNetPyramid
from depthhmr.network.movenet_weights import convert, load_movenet
from depthhmr.network.normalise import normalise

REFERENCE = Path(__file__).with_name("movenet_reference.json")
CONVERTED = Path(__file__).parents[3] / "runs/state/movenet.npz"  # of scripts/install-movenet


def shown() -> torch.Tensor:
    """The picture of REFERENCE, uint8 values as float [1, 3, 96, 128]."""
    y, x = np.mgrid[0:96, 0:128]
    waves = [127.5 + 127.5 * np.sin(x / (5 + 4 * c) + y / (9 - 2 * c) + c) for c in range(3)]
    return torch.from_numpy(np.stack(waves).round().astype(np.uint8))[None].float()


def assert_original(backbone: MoveNetPyramid) -> None:
    """The heads say what the original graph said, run by TF.js 4.22 (wasm): means of maps and one cell of each."""
    with torch.inference_mode():
        heads = backbone.raw(normalise(shown()))[2]
    for name, expected in json.loads(REFERENCE.read_text()).items():
        assert np.allclose(heads[name][0].mean((1, 2)), expected["mean"], atol=5e-4)
        assert np.allclose(heads[name][0, :, 12, 16], expected["at_12_16"], atol=1e-3)


def test_maps_have_the_stated_strides_and_widths() -> None:
    backbone = MoveNetPyramid().eval()
    with torch.inference_mode():
        maps = backbone(torch.randn(2, 3, 64, 64))
    for feature_map, stride, width in zip(maps, backbone.strides, backbone.widths, strict=True):
        assert feature_map.shape == (2, width, 64 // stride, 64 // stride)
    heat = backbone.heat(maps)
    assert heat.shape == (2, len(COCO_JOINTS), 16, 16) and heat.min() >= 0 and heat.max() <= 1


def test_the_backbone_is_frozen() -> None:
    assert not any(parameter.requires_grad for parameter in MoveNetPyramid().parameters())


def test_a_saved_backbone_loads_and_another_file_is_refused(tmp_path: Path) -> None:
    first, second = MoveNetPyramid(), MoveNetPyramid()
    arrays = {name: value.numpy() for name, value in first.state_dict().items()}
    np.savez(tmp_path / "all.npz", **arrays)
    load_movenet(second, tmp_path / "all.npz")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))

    arrays.popitem()
    np.savez(tmp_path / "less.npz", **arrays)
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("less.npz", "text.npz", "missing.npz"):
        with pytest.raises(UserError, match="expected the weights that scripts/install-movenet writes"):
            load_movenet(second, tmp_path / name)


def test_another_release_of_the_package_is_refused(tmp_path: Path) -> None:
    for name in movenet_weights.SHA256:
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(UserError, match="expected .*movenet-multipose.json of sha256 3c76e186.*another release"):
        convert(tmp_path, tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_every_weight_finds_its_place_in_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, original = tmp_path / "models", MoveNetPyramid()
    write_package(package, original)
    monkeypatch.setattr(movenet_weights, "SHA256", {})

    convert(package, tmp_path / "out.npz")

    loaded = MoveNetPyramid()
    load_movenet(loaded, tmp_path / "out.npz")
    for name, value in original.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float()), name


@pytest.mark.skipif(not CONVERTED.exists(), reason=f"scripts/install-movenet has not written {CONVERTED.name}")
def test_converted_weights_compute_what_the_original_graph_does() -> None:
    backbone = MoveNetPyramid()
    load_movenet(backbone, CONVERTED)
    assert_original(backbone)


def write_package(folder: Path, backbone: MoveNetPyramid) -> None:
    """A TF.js graph model of this backbone's weights, among others that are of no use."""
    state = backbone.state_dict()
    entries, content = [{"name": "shape", "shape": [2], "dtype": "int32"}], np.zeros(2, np.int32).tobytes()
    for ours, theirs, depthwise in movenet_weights._places():
        array = state[ours].numpy().astype(np.float16)
        if array.ndim == 4:
            array = array.transpose(2, 3, 0, 1) if depthwise else array.transpose(2, 3, 1, 0)
        half = {"dtype": "float16", "original_dtype": "float32"}
        entries.append({"name": theirs, "shape": list(array.shape), "dtype": "float32", "quantization": half})
        content += np.ascontiguousarray(array).tobytes()
    folder.mkdir()
    graph = {"weightsManifest": [{"paths": ["movenet-multipose.bin"], "weights": entries}]}
    (folder / "movenet-multipose.json").write_text(json.dumps(graph))
    (folder / "movenet-multipose.bin").write_bytes(content)
