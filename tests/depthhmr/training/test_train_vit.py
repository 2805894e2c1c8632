"""`small` and `base` train, resume to the bit, export and serve: their presets around a shrunken vision transformer."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from depthhmr.data.shards import ShardPool, render_shard
from depthhmr.network.checkpoints import save
from depthhmr.network.config import PRESETS, TRAINING, ModelConfig, TrainConfig, preset
from depthhmr.network.model import build_model
from depthhmr.network.vit import VIT_SIZES, VisionTransformer, VitSize
from depthhmr.training import train as training
from depthhmr.training.batch import make_batch
from depthhmr.training.criterion import Criterion
from depthhmr.training.optimiser import Optimiser
from depthhmr.training.train import Run, train
from depthhmr.training.train_lifter import train_lifter
from depthhmr_cli.main import main
from service.recovery import Options
from service.serve import open_core
from service.settings import Settings

pytestmark = pytest.mark.slow

SIZE = 56  # four patches a side
SHRUNKEN = {
    "size": SIZE, "dim": 32, "map_dim": 16, "fine_dim": 8, "window_dim": 8, "window_cells": 8, "queries": 5,
    "lifter_width": 32, "lifter_blocks": 1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def shrunken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthhmr.training.train_lifter.POOL", 600)
    monkeypatch.setattr(training, "draw_curves", lambda logs, out: None)  # most of the time of a run of four steps
    for name, width in (("dinov2_vits14", 12), ("dinov2_vitb14", 24)):
        monkeypatch.setitem(VIT_SIZES, name, VitSize(width, 12, 3))
        monkeypatch.setitem(VIT_SIZES, f"{name}_reg", VitSize(width, 12, 3, registers=4))
    for name in ("small", "base"):
        monkeypatch.setitem(PRESETS, name, preset(name, **SHRUNKEN))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    render_shard(folder, 0, 16, SIZE)
    return folder


@pytest.fixture(scope="module")
def lifter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lifter") / "lifter.pt"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("depthhmr.training.train_lifter.POOL", 600)
        train_lifter(preset("small", **SHRUNKEN), path, steps=1)
    return path


def public_weights(path: Path, architecture: str = "dinov2_vits14") -> Path:
    """A checkpoint in the official layout: ours, and what only theirs has."""
    size = VIT_SIZES[architecture]
    torch.manual_seed(5)
    weights = VisionTransformer(size, image_size=SIZE).state_dict()
    weights |= {name: torch.randn(size.embed_dim) for name in ("norm.weight", "norm.bias")}
    torch.save(weights | {"mask_token": torch.zeros(1, size.embed_dim)}, path)
    return path


def plan(folder: Path, shards: Path, lifter: Path, network: ModelConfig) -> Run:
    folder.mkdir()
    (folder / "shards").symlink_to(shards)
    shutil.copy(lifter, folder)
    config = replace(TRAINING["small"], images=16, batch=4, validate_every=8, validate_on=2)
    return Run(
        folder=folder, model=network, train=config, render_size=SIZE, shards=1, first_shards=1, renderers=0, device="cpu",
        backbone_weights=public_weights(folder / "dinov2.pth", network.backbone),
    )  # fmt: skip


def test_a_killed_run_ends_with_the_very_bits_of_one_that_was_not(
    tmp_path: Path, shards: Path, lifter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = PRESETS["small"]
    whole = plan(tmp_path / "whole", shards, lifter, network)
    train(whole)

    def save_and_die(path: Path, state: dict) -> None:
        save(path, state)
        raise KeyboardInterrupt

    killed = plan(tmp_path / "killed", shards, lifter, network)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("depthhmr.training.state.save", save_and_die)
        train(killed)
    assert torch.load(killed.folder / "checkpoint.pt", weights_only=True)["step"] == 2
    train(killed)

    first, second = (torch.load(run.folder / "checkpoint.pt", weights_only=True) for run in (whole, killed))
    assert first["step"] == second["step"] == 4
    for part in ("training", "model"):
        assert all(torch.equal(first[part][name], second[part][name]) for name in first[part])
    moments, resumed = first["optimiser"]["state"], second["optimiser"]["state"]
    assert moments.keys() == resumed.keys()
    assert all(torch.equal(moments[i][name], resumed[i][name]) for i in moments for name in moments[i])
    log, resumed_log = ((run.folder / "log.jsonl").read_text().splitlines() for run in (whole, killed))
    told = [{k: v for k, v in json.loads(line).items() if k.startswith(("val.", "loss."))} for line in log]
    assert told[0] == {k: v for k, v in json.loads(resumed_log[0]).items() if k.startswith(("val.", "loss."))}


@pytest.mark.anyio
async def test_small_goes_from_public_weights_to_a_served_model(
    tmp_path: Path, shards: Path, lifter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, served = tmp_path / "run", tmp_path / "served"
    run.mkdir()
    (run / "shards").symlink_to(shards)
    shutil.copy(lifter, run)
    weights = public_weights(tmp_path / "dinov2.pth", "dinov2_vits14_reg")
    command = ["train", "--preset", "small", "--run", str(run), "--backbone-weights", str(weights), "--images", "8"]
    command += ["--batch", "4", "--lifter-steps", "1", "--renderers", "0", "--shards", "1", "--device", "cpu"]
    assert main([*command, "--validate-on", "2"]) == 0
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    assert (state["step"], state["config"]["backbone"]) == (2, "dinov2_vits14_reg")

    monkeypatch.setattr("depthhmr.export.export.PICTURES", 4)
    assert main(["export", "--run", str(run), "--model-dir", str(served), "--threshold", "0.000001"]) == 0
    core = open_core(Settings(model_dir=served))
    try:
        await core.warm_up()
        picture = np.random.default_rng(0).integers(0, 255, (40, SIZE, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "noise.png")
        found = await core.recover((tmp_path / "noise.png").read_bytes(), Options(), lambda recovery: recovery)
    finally:
        await core.aclose()
    assert len(found.people) == 5
    assert all(np.isfinite(person.translation).all() for person in found.people)


@pytest.mark.parametrize("name", ["small", "base"])
def test_every_decoder_layer_is_supervised(name: str, shards: Path) -> None:
    """The scores, places and depths of each of the six layers pull at that layer's own weights."""
    torch.manual_seed(0)
    model = build_model(PRESETS[name]).train()
    assert len(model.decoder.layers) == 6
    pool = ShardPool(shards)
    batch = make_batch(pool.draw(np.random.default_rng(0), 8), SIZE)
    terms, _ = Criterion(model, TrainConfig())(batch, anchored_share=0.5)
    torch.stack([terms[key] for key in ("layer_uv", "layer_depth", "person")]).sum().backward()
    for layer in model.decoder.layers:
        for part in (layer.move, layer.classify):
            assert all(parameter.grad.abs().max() > 0 for parameter in list(part.parameters())[-2:])


def test_blocks_nearer_to_the_image_learn_less() -> None:
    model = build_model(PRESETS["small"])
    config = TrainConfig(learning_rate=1.0, backbone_rate=0.5, layer_decay=0.9, weight_decay=0.1)
    optimiser = Optimiser(model, config)
    optimiser.set_rate(2.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {names[id(p)]: (g["lr"], g["weight_decay"]) for g in optimiser.adam.param_groups for p in g["params"]}
    assert rates["backbone.vit.blocks.11.attn.qkv.weight"] == (pytest.approx(2 * 0.5), 0.1)
    assert rates["backbone.vit.blocks.10.ls1.gamma"] == (pytest.approx(2 * 0.5 * 0.9), 0.0)
    assert rates["backbone.vit.blocks.0.mlp.fc1.weight"] == (pytest.approx(2 * 0.5 * 0.9**11), 0.1)
    assert rates["backbone.vit.patch_embed.proj.weight"] == (pytest.approx(2 * 0.5 * 0.9**12), 0.1)
    assert rates["backbone.vit.pos_embed"] == (pytest.approx(2 * 0.5 * 0.9**12), 0.0)
    assert rates["backbone.merge.weight"] == rates["decoder.layers.0.feed.0.weight"] == (2.0, 0.1)
    assert not any(name.startswith("lifter.") for name in rates)
    assert len(rates) == sum(not name.startswith("lifter.") for name, _ in model.named_parameters())


def test_a_network_without_transformer_keeps_the_two_groups_of_older_checkpoints() -> None:
    model = build_model(
        preset("tiny", backbone="conv", conv_widths=(8, 8, 16, 16), dim=32, map_dim=16, lifter_width=32)
    )
    trained = [p for name, p in model.named_parameters() if not name.startswith("lifter.")]
    groups = [group["params"] for group in Optimiser(model, TrainConfig()).adam.param_groups]
    for group, older in zip(
        groups, ([p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]), strict=True
    ):
        assert [id(p) for p in group] == [id(p) for p in older]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "tiny", "--backbone-weights", "{s}"], "expected the weights that scripts/install-movenet writes"),
        (["--preset", "tiny"], "expected --backbone-weights FILE or --init for a fresh run of 'tiny'"),
        (["--preset", "base", "--backbone-weights", "{s}"], "expected weights of dinov2_vitb14 for --preset base"),
        (["--preset", "small", "--backbone-weights", "no.pth"], "expected a file of weights at no.pth, found none"),
        (["--preset", "small", "--backbone-weights", "{s}", "--init", "{s}"], "expected one of --init and --backbone"),
        (["--preset", "small", "--device", "cuda"], "expected a GPU that PyTorch can use, found none"),
        (
            ["--preset", "small", "--size", "100"],
            "expected size in multiples of 14 with backbone dinov2_vits14, got 100",
        ),
        (["--preset", "tiny", "--size", "0"], "expected size in multiples of 32 with backbone movenet, got 0"),
        (["--preset", "huge"], "expected --preset out of tiny, small, base, got 'huge'"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_written(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    weights = public_weights(tmp_path / "small.pth")
    run = tmp_path / "run"
    assert main(["train", "--run", str(run), *(option.format(s=weights) for option in options)]) == 2
    assert message in capsys.readouterr().err
    assert not run.exists()


def test_bfloat16_is_used_where_the_device_has_it(
    tmp_path: Path, shards: Path, lifter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forced on here: slower on some processors, and never worse than a warning in the log of losses."""
    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    run = plan(tmp_path / "run", shards, lifter, PRESETS["small"])
    train(replace(run, train=replace(run.train, images=4)))
    line = json.loads((run.folder / "log.jsonl").read_text().splitlines()[0])
    assert np.isfinite(line["norm"]) and line["memory_mb"] > 0
