"""Labels and weights say which body they are of, two bodies are never mixed, and a network can be trained for any."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bodykit.body import Body, encode_body, load_body
from bodykit.errors import UserError
from bodykit.manifest import Manifest
from depthhmr.body_id import id_of
from depthhmr.data.depth_targets import make_targets
from depthhmr.data.pack import pack
from depthhmr.data.picture import Person, Picture, Pose
from depthhmr.data.shards import SHARD, ShardPool, keep_rendering, render_shard
from depthhmr.export.checkpoint import read_trained
from depthhmr.network.checkpoints import load, save
from depthhmr.network.config import PRESETS, TrainConfig, preset
from depthhmr.network.skinning import BodyLayer
from depthhmr.synth.splits import SPLITS
from depthhmr.training import train as training
from depthhmr.training.adapt_lifter import adapt_run
from depthhmr.training.state import TrainingState
from depthhmr.training.train import Run, write_settings
from depthhmr.training.train_lifter import train_lifter
from depthhmr.training.validate import Validation
from depthhmr_cli.main import main

FREE = load_body()
TINY = preset(
    "tiny", size=64, lifter_width=32, lifter_blocks=1, conv_widths=(8, 8, 16, 16), dim=32, map_dim=16, fine_dim=8,
    window_dim=8, queries=16, backbone="conv", analytic_ik=False,
)  # fmt: skip
ASKED_FREE = rf"to be of the body free 1 \(sha256 {FREE.sha256[:12]}\), it is of the body large 2 \(sha256 "
ASKED_LARGE = rf"to be of the body large 2 \(sha256 .*, it is of the body free 1 \(sha256 {FREE.sha256[:12]}\)"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A body of the free one's layout, a fifth larger and with its first beta the other way round."""
    sign = np.float32([-1] + [1] * 9)
    larger = {name: getattr(FREE, name) * np.float32(1.2) for name in ("template", "joint_template")}
    turned = {name: getattr(FREE, name) * sign for name in ("shapedirs", "joint_shapedirs")}
    path = tmp_path_factory.mktemp("body") / "large.npz"
    path.write_bytes(encode_body(replace(FREE, name="large", version="2", **larger, **turned)))
    return path


@pytest.fixture(scope="module")
def large(file: Path) -> Body:
    return load_body(file)


def run_in(folder: Path, **changes: object) -> Run:
    settings = TrainConfig(images=4, batch=4, validate_on=2)
    return Run(folder=folder, model=TINY, train=settings, **changes)


def photograph(folder: Path, *, posed: bool = True) -> Picture:
    path = folder / "a.png"
    Image.new("RGB", (80, 40)).save(path)
    pose = Pose(np.tile(np.diag([1.0, -1, -1]), (24, 1, 1)), np.zeros(10), np.full((24, 3), 2.5))
    person = Person(np.full((24, 2), 20.0), np.ones(24, bool), pose=pose if posed else None)
    return Picture(path, (person,), everyone=True, metric=True)


def forget(shard: Path) -> None:
    """A shard as older versions wrote it."""
    facts = json.loads((shard / "shard.json").read_text())
    facts.pop("body", None)
    (shard / "shard.json").write_text(json.dumps(facts))


@pytest.mark.slow
def test_rendered_people_are_of_the_body_that_the_shard_names(tmp_path: Path, large: Body) -> None:
    shard = render_shard(tmp_path, 0, 6, 64, body=large)

    assert json.loads((shard / "shard.json").read_text())["body"] == id_of(large)
    drawn = ShardPool(tmp_path).draw(np.random.default_rng(0), 6, shards_per_batch=1)
    there = np.arange(drawn["visible"].shape[1]) < drawn["count"][:, None]
    betas, rotations, joints = (torch.from_numpy(drawn[name][there]) for name in ("betas", "rotations", "joints_3d"))
    posed = BodyLayer(large).joints(betas, rotations, joints[:, 0])
    torch.testing.assert_close(posed, joints, atol=1e-4, rtol=0)


def test_a_renderer_draws_the_body_of_its_run(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr("depthhmr.data.shards.render_shard", lambda *_, body, **__: drawn.append(body.name))
    monkeypatch.setattr("os.nice", lambda _: 0)
    monkeypatch.setitem(SPLITS, "train", (0, SHARD))

    keep_rendering(tmp_path, 0, 1, 4, 64, 1.0, os.getppid(), None, file)

    assert drawn == ["large"]


def test_shards_of_another_body_are_not_mixed_in(tmp_path: Path, file: Path, large: Body) -> None:
    for name, body in (("free", FREE), ("large", large)):
        pack([photograph(tmp_path)], tmp_path / name, size=64, body=body)
    pack([photograph(tmp_path, posed=False)], tmp_path / "flat", size=64)

    with pytest.raises(UserError, match=f"expected .*large/0000000000 {ASKED_FREE}"):
        run_in(tmp_path / "run", mix=((tmp_path / "large", 0.5),))
    for age in ("new", "older than the field"):
        with pytest.raises(UserError, match=f"expected .*free/0000000000 {ASKED_LARGE}"):
            run_in(tmp_path / "run", mix=((tmp_path / "free", 0.5),), body=file)
        run_in(tmp_path / age, mix=((tmp_path / "free", 0.5),))
        forget(tmp_path / "free" / "0000000000")
    run_in(tmp_path / "run", mix=((tmp_path / "large", 0.5), (tmp_path / "flat", 0.2)), body=file)


def test_depth_targets_are_made_with_the_body_of_the_shards(tmp_path: Path, large: Body) -> None:
    pack([photograph(tmp_path)], tmp_path / "large", size=64, body=large)
    before = (tmp_path / "large" / "0000000000" / "depth.npy").read_bytes()

    with pytest.raises(UserError, match=ASKED_FREE):
        make_targets(tmp_path / "large", FREE, None)

    assert (tmp_path / "large" / "0000000000" / "depth.npy").read_bytes() == before
    assert make_targets(tmp_path / "large", large, None).made == 1


def test_a_run_goes_on_with_its_body_alone(tmp_path: Path, file: Path) -> None:
    write_settings(run_in(tmp_path / "large", body=file))
    write_settings(run_in(tmp_path / "free"))

    with pytest.raises(UserError, match=f"expected .*/large {ASKED_FREE}"):
        write_settings(run_in(tmp_path / "large"))
    settings = json.loads((tmp_path / "free" / "run.json").read_text())
    assert settings.pop("body") == id_of(FREE)
    (tmp_path / "free" / "run.json").write_text(json.dumps(settings))  # as older versions wrote it
    with pytest.raises(UserError, match=f"expected .*/free {ASKED_LARGE}"):
        write_settings(run_in(tmp_path / "free", body=file))
    write_settings(run_in(tmp_path / "free"))


def test_a_run_does_not_go_on_in_a_cache_of_another_body(tmp_path: Path, file: Path) -> None:
    render_shard(tmp_path / "shards", 0, 2, 64)

    with pytest.raises(UserError, match=f"expected .*/shards/0000000000 {ASKED_LARGE}"):
        write_settings(run_in(tmp_path, body=file))


@pytest.mark.slow
def test_weights_for_another_body_are_refused(tmp_path: Path, large: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthhmr.training.train_lifter.POOL", 600)
    fresh = lambda body: TrainingState(TINY, TrainConfig(), torch.device("cpu"), body)  # noqa: E731
    checkpoint, lifter = tmp_path / "checkpoint.pt", tmp_path / "other" / "lifter.pt"
    fresh(large).save(checkpoint)
    train_lifter(TINY, lifter, steps=1, body=large)

    for take in (fresh(FREE).resume, fresh(FREE).start_from, read_trained):
        with pytest.raises(UserError, match=f"expected .*checkpoint.pt {ASKED_FREE}"):
            take(checkpoint)
    with pytest.raises(UserError, match=ASKED_FREE):
        adapt_run(tmp_path, FREE, images=1, steps=1, min_visible=0.15)
    with pytest.raises(UserError, match=f"expected .*lifter.pt {ASKED_FREE}"):
        fresh(FREE).load_lifter(lifter)
    with pytest.raises(UserError, match=f"expected .*lifter.pt {ASKED_FREE}"):
        train_lifter(TINY, lifter, steps=2)


def test_weights_that_are_older_than_the_field_are_of_the_free_body(tmp_path: Path, large: Body) -> None:
    fresh = lambda body: TrainingState(TINY, TrainConfig(), torch.device("cpu"), body)  # noqa: E731
    checkpoint = tmp_path / "checkpoint.pt"
    fresh(FREE).save(checkpoint)
    state = load(checkpoint, "body")
    del state["body"]
    save(checkpoint, state)
    save(tmp_path / "lifter.pt", {"lifter": fresh(FREE).model.lifter.state_dict()})

    fresh(FREE).resume(checkpoint)
    fresh(FREE).load_lifter(tmp_path / "lifter.pt")
    assert read_trained(tmp_path).network.body.sha256 == FREE.sha256
    with pytest.raises(UserError, match=ASKED_LARGE):
        fresh(large).resume(checkpoint)
    with pytest.raises(UserError, match=ASKED_LARGE):
        read_trained(tmp_path, large)


@pytest.fixture
def no_free_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes the free body, where another was asked for, fails."""

    def given(path: Path | None = None) -> Body:
        assert path is not None, "expected the body of the run, the free one was taken"
        return load_body(path)

    for module in (
        "data.shards",
        "training.train",
        "training.train_lifter",
        "training.validate",
        "export.export",
        "training.restore",
        "training.rehearsal",
        "network.skinning",
        "body_id",
    ):
        monkeypatch.setattr(f"depthhmr.{module}.load_body", given)


@pytest.mark.slow
@pytest.mark.usefixtures("no_free_body")
def test_a_network_is_trained_exported_and_trained_on_for_another_body(
    tmp_path: Path, file: Path, large: Body, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    monkeypatch.setattr("depthhmr.training.train_lifter.POOL", 600)
    monkeypatch.setattr("depthhmr.training.adapt_lifter.POOL", 600)
    monkeypatch.setattr("depthhmr.training.restore.PICTURES", 16)
    monkeypatch.setattr("depthhmr.export.export.PICTURES", 4)
    monkeypatch.setattr(training, "draw_curves", lambda logs, out: None)
    run, model, more = tmp_path / "run", tmp_path / "model", tmp_path / "more"
    render_shard(run / "shards", 0, 24, 64, body=large)
    options = ["--images", "4", "--batch", "4", "--lifter-steps", "1", "--renderers", "0", "--shards", "1"]
    options += ["--device", "cpu", "--validate-on", "2", "--body", str(file)]

    assert main(["train", "--run", str(run), *options]) == 0
    assert load(run / "checkpoint.pt", "body")["body"] == load(run / "lifter.pt", "body")["body"] == id_of(large)
    adapt_run(run, large, images=96, steps=2, min_visible=0.15)
    assert load(run / "lifter.pt", "body")["body"] == id_of(large)

    assert main(["train", "--run", str(run), *options, "--rehearse"]) == 0
    torch.manual_seed(3)
    state = load(run / "checkpoint.pt", "model")
    for name, value in state["model"].items():  # weights that are still equal become one in a graph
        if value.is_floating_point() and not name.endswith("running_var"):
            value += 0.02 * torch.randn_like(value)
    save(run / "checkpoint.pt", state)

    export = ["export", "--run", str(run), "--model-dir", str(model), "--threshold", "0.000001", "--body", str(file)]
    assert main(export) == 0
    assert Manifest.read(model).body.sha256 == large.sha256

    shutil.copytree(run / "shards", more / "shards")
    assert main(["train", "--run", str(more), "--init", str(model), *options]) == 0
    assert load(more / "checkpoint.pt", "body")["body"] == id_of(large)
    assert Validation.render(64, 1, large).body is large


def test_a_start_of_another_body_is_refused_before_anything_is_written(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def begin(run: Run) -> None:
        raise AssertionError(f"{run.folder} was begun")

    monkeypatch.setattr(training, "write_settings", begin)
    start = tmp_path / "start.pt"
    TrainingState(TINY, TrainConfig(), torch.device("cpu")).save(start)

    for init in (start, Path("model_repository/depthhmr")):
        assert main(["train", "--run", str(tmp_path / "run"), "--init", str(init), "--body", str(file)]) == 2
        assert "to be of the body large 2" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
