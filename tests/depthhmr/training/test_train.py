"""A run that is killed goes on where it was, and its log has no gaps and no doubles."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bodykit.body import load_body
from bodykit.errors import UserError
from depthhmr.data.shards import ShardPool, render_shard
from depthhmr.export.checkpoint import read_trained
from depthhmr.network.checkpoints import save
from depthhmr.network.config import TrainConfig, preset
from depthhmr.network.model import build_model
from depthhmr.training.adapt_lifter import Reports, adapt_lifter, collect
from depthhmr.training.lifter_noise import simulate
from depthhmr.training.lifter_people import draw
from depthhmr.training.loop import Log, WeightAverage, learning_rate
from depthhmr.training.train import Run, train, write_settings
from depthhmr.training.train_lifter import train_lifter
from depthhmr_cli.main import main

pytestmark = pytest.mark.slow

TINY = preset(
    "tiny",
    size=128,
    lifter_width=32,
    lifter_blocks=1,
    backbone="conv",
    conv_widths=(8, 8, 16, 16),
    dim=32,
    map_dim=16,
    fine_dim=8,
    window_dim=8,
)


def plan(folder: Path, images: int) -> Run:
    settings = TrainConfig(images=images, batch=4, validate_every=8, validate_on=8)
    return Run(folder=folder, model=TINY, train=settings, render_size=64, shards=1, first_shards=1, renderers=0)


def test_the_schedule_warms_up_holds_and_falls() -> None:
    rate = lambda progress, step: learning_rate(progress, step, peak=1.0, warmup=10, decay_from=0.5)  # noqa: E731
    assert rate(0.0, 0) == pytest.approx(0.1)
    assert rate(0.4, 100) == 1.0
    assert rate(0.75, 1000) == pytest.approx(0.51)
    assert rate(1.0, 1000) == pytest.approx(0.02)


def test_the_average_follows_the_weights() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(layer, 0.9)
    layer.weight.data.fill_(5.0)
    for step in range(200):
        average.update(layer, step + 100)
    assert average.network.weight.item() == pytest.approx(5.0, abs=1e-3)


def test_a_log_drops_lines_after_the_checkpoint_and_a_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"images": 1}\n{"images": 5}\n{"images": 9}\n{"ima')
    Log(path, resume_at=5).write(images=6, loss=0.5)
    assert [json.loads(line)["images"] for line in path.read_text().splitlines()] == [1, 5, 6]


def test_saving_replaces_in_one_step(tmp_path: Path) -> None:
    save(tmp_path / "c.pt", {"step": 1})
    save(tmp_path / "c.pt", {"step": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]
    assert torch.load(tmp_path / "c.pt", weights_only=True) == {"step": 2}


def test_training_without_a_lifter_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lifter\.pt"):
        train(plan(tmp_path, 8))


def test_a_run_folder_refuses_another_network(tmp_path: Path) -> None:
    write_settings(plan(tmp_path, 8))
    other = Run(folder=tmp_path, model=preset("tiny"), train=TrainConfig())
    with pytest.raises(UserError, match="dim"):
        write_settings(other)


def test_a_run_resumes_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthhmr.training.train_lifter.POOL", 600)
    train_lifter(TINY, tmp_path / "lifter.pt", steps=2)
    render_shard(tmp_path / "shards", 0, 16, 64)
    train(plan(tmp_path, 8))
    first = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    train(plan(tmp_path, 16))
    second = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (first["images"], second["images"]) == (8, 16)
    assert (first["step"], second["step"]) == (2, 4)
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) and steps[-1] == 4
    changed = [
        not torch.equal(first["model"][n], second["model"][n]) for n in first["model"] if n.startswith("decoder")
    ]
    assert any(changed)
    lifter = [torch.equal(first["model"][n], second["model"][n]) for n in first["model"] if n.startswith("lifter")]
    assert all(lifter)


def test_a_run_that_starts_from_a_checkpoint_has_its_whole_schedule_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("depthhmr.training.train_lifter.POOL", 600)
    train_lifter(TINY, tmp_path / "lifter.pt", steps=2)
    render_shard(tmp_path / "shards", 0, 16, 64)
    train(plan(tmp_path, 16))
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "shards", other / "shards")
    shutil.copy(tmp_path / "lifter.pt", other)

    train(replace(plan(other, 8), init=tmp_path / "checkpoint.pt"))

    state = torch.load(other / "checkpoint.pt", weights_only=True)
    assert (state["step"], state["images"], state["images_before"]) == (2, 8, 16)
    assert read_trained(other).data.startswith("24 views ")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"# no checkpoint", "no checkpoint that PyTorch can read"), (None, "it lacks training, images")],
)
def test_a_start_that_is_no_checkpoint_is_said_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture, content: bytes | None, message: str
) -> None:
    start = tmp_path / "start.pt"
    save(start, {"lifter": {}})
    if content is not None:
        start.write_bytes(content)

    assert main(["train", "--run", str(tmp_path / "run"), "--init", str(start)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_lifter_adapts_to_reports_and_does_not_forget_exact_joints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthhmr.training.adapt_lifter.POOL", 600)
    torch.manual_seed(0)
    network = build_model(TINY).eval()
    crowd = draw(load_body(), 5, 300)
    reports = Reports(*simulate(crowd), crowd, torch.arange(300))
    lifter, figures = adapt_lifter(load_body(), network.lifter, reports, steps=40)
    assert figures["after.mpjpe"] < figures["before.mpjpe"]
    assert {"exact.mpjpe", "exact.pa_mpjpe"} <= figures.keys()
    assert all(value.isfinite().all() for value in lifter.state_dict().values())


def test_reports_are_held_out_with_all_others_on_their_pictures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    render_shard(tmp_path, 0, 24, 64)
    reports = collect(build_model(TINY).eval(), ShardPool(tmp_path), TINY.size, images=96, min_visible=0.15, seed=1)

    kept, others = ({tuple(who) for who in reports.people.betas[index].tolist()} for index in reports.split())

    assert len(reports.betas) > len(kept) + len(others), "each picture is drawn four times"
    assert 0 < len(kept) < len(others) and not kept & others


def test_a_fresh_lifter_starts_from_the_weights_of_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("depthhmr.training.train_lifter.POOL", 600)
    train_lifter(TINY, tmp_path / "first.pt", steps=1)
    first = torch.load(tmp_path / "first.pt", weights_only=True)["lifter"]

    train_lifter(TINY, tmp_path / "second.pt", steps=1, init=tmp_path / "first.pt")

    second = torch.load(tmp_path / "second.pt", weights_only=True)["lifter"]
    assert all(torch.allclose(first[name], second[name], atol=2e-3) for name in first)
    with pytest.raises(UserError, match=r"expected in .*first\.pt a lifter of the sizes"):
        train_lifter(replace(TINY, lifter_width=16), tmp_path / "third.pt", steps=1, init=tmp_path / "first.pt")


def test_a_killed_lifter_ends_with_the_very_bits_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("BATCH", 16), ("POOL", 64), ("REUSE", 1), ("SAVE_EVERY", 3)):  # a new pool each four steps
        monkeypatch.setattr(f"depthhmr.training.train_lifter.{name}", value)
    whole, killed = tmp_path / "whole.pt", tmp_path / "killed.pt"
    train_lifter(TINY, whole, steps=9)

    def save_and_die(path: Path, state: dict) -> None:
        save(path, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("depthhmr.training.train_lifter.save", save_and_die)
        train_lifter(TINY, killed, steps=9)
    assert torch.load(killed, weights_only=True)["step"] == 3
    train_lifter(TINY, killed, steps=9)

    first, second = (torch.load(path, weights_only=True) for path in (whole, killed))
    assert first["step"] == second["step"] == 9
    for part in ("training", "lifter"):
        assert all(torch.equal(first[part][name], second[part][name]) for name in first[part])
    moments, resumed = first["optimiser"]["state"], second["optimiser"]["state"]
    assert moments.keys() == resumed.keys()
    assert all(torch.equal(moments[i][name], resumed[i][name]) for i in moments for name in moments[i])
    log, resumed_log = (path.with_suffix(".jsonl").read_text().splitlines() for path in (whole, killed))
    told = [
        [{k: v for k, v in json.loads(line).items() if k != "minutes"} for line in lines]
        for lines in (log, resumed_log)
    ]
    assert told[0] == told[1] and len(told[0]) == 3


def test_a_run_older_than_a_field_of_the_configuration_goes_on(tmp_path: Path) -> None:
    write_settings(plan(tmp_path, 8))
    settings = json.loads((tmp_path / "run.json").read_text())
    del settings["model"]["bin_spacing"]
    (tmp_path / "run.json").write_text(json.dumps(settings))
    write_settings(plan(tmp_path, 16))
    uniform = replace(TINY, bin_spacing="uniform")
    with pytest.raises(UserError, match="bin_spacing"):
        write_settings(replace(plan(tmp_path, 16), model=uniform))
