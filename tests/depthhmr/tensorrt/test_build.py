"""The whole build over the tiny network, with a stand-in for TensorRT (conftest.py): our own steps, not its arithmetic."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bodykit.errors import UserError
from depthhmr.tensorrt.build import Options, build, check_batches
from depthhmr.tensorrt.builder import Device

SHIPPED = Path(__file__).parents[3] / "model_repository" / "depthhmr"


@pytest.fixture
def options(folder, pictures, tmp_path):
    def make(**changes) -> Options:
        return Options(**{"model_dir": folder, "out": tmp_path / "plans", "images": pictures, **changes})

    return make


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.mark.slow
def test_a_build_lays_out_a_model_repository_for_triton(options, machine, said, folder):
    plan = build(options(), said.append)

    assert plan == options().out / "tiny" / "1" / "model.plan"
    assert plan.read_bytes() == machine.graph
    assert (plan.parents[1] / "config.pbtxt").read_text() == (folder / "configs" / "gpu.pbtxt").read_text()
    facts = json.loads((plan.parent / "plan.json").read_text())
    assert facts["key"]["gpu"] == "Stand-in 9000" and facts["key"]["batches"] == [1, 4, 4]
    assert list(facts["verified"]) == ["1", "4"]  # the common batch is the largest here
    assert machine.closed
    assert sorted(path.name for path in plan.parent.iterdir()) == ["model.plan", "plan.json"]


def test_a_second_build_finds_the_plan(options, machine, said):
    build(options(), said.append)
    machine.calls.clear()

    build(options(), said.append)

    assert machine.calls == []
    assert "fits and is whole" in said[-1]


@pytest.mark.parametrize("change", [{"force": True}, {"precision": "fp32"}, {"batches": (1, 2, 4)}])
def test_another_wish_builds_again(options, machine, said, change):
    build(options(), said.append)
    machine.calls.clear()

    build(options(**change), said.append)

    assert machine.calls


def test_a_plan_for_another_gpu_is_built_again(options, machine, said, monkeypatch):
    build(options(), said.append)
    monkeypatch.setattr("depthhmr.tensorrt.build.find_device", lambda: Device("Other", "8.6"))

    build(options(), said.append)

    assert any("gpu was Stand-in 9000, is Other" in line for line in said)


def test_a_plan_that_answers_differently_is_refused_and_leaves_nothing(options, machine, said):
    machine.disturb = lambda outputs: {**outputs, "translation": outputs["translation"] + np.float32(0.1)}

    with pytest.raises(
        UserError, match=r"too far from ONNX Runtime at batch 1:\n  translation \(distance\) differs by 0.173 m"
    ):
        build(options(), said.append)

    assert list((options().out / "tiny" / "1").iterdir()) == []


def test_a_refused_plan_takes_the_old_one_with_it(options, machine, said):
    build(options(), said.append)
    machine.disturb = lambda outputs: {**outputs, "scores": outputs["scores"] * np.nan}

    with pytest.raises(UserError, match="scores is NaN or infinite in 1 of 1 pictures"):
        build(options(force=True), said.append)

    assert list((options().out / "tiny" / "1").iterdir()) == []


def test_an_output_of_another_form_is_refused(options, machine, said):
    machine.disturb = lambda outputs: {**outputs, "betas": outputs["betas"].astype(np.float16)}

    with pytest.raises(UserError, match=r"expected the output betas as float32 \[1, 3, 10\], got float16"):
        build(options(), said.append)


def test_a_build_that_fails_leaves_nothing(options, machine, said):
    machine.builds, machine.log_lines = False, ["out of memory"]

    with pytest.raises(UserError, match="out of memory"):
        build(options(), said.append)

    assert list((options().out / "tiny" / "1").iterdir()) == []


def test_a_dry_run_needs_nothing_and_writes_nothing(options, said):
    assert build(options(dry_run=True), said.append) is None

    assert not options().out.exists()
    assert [line[0] for line in said if line[0] != " "] == list("123456789d")
    assert any("cannot build here" in line for line in said)
    assert any("[1, 32, 32, 3] / [4, 32, 32, 3] / [4, 32, 32, 3]" in line for line in said)


def test_a_dry_run_can_keep_the_graph(options, said, tmp_path):
    build(options(dry_run=True, graph=tmp_path / "kept" / "mixed.onnx"), said.append)

    assert (tmp_path / "kept" / "mixed.onnx").stat().st_size > 1000


def test_without_tensorrt_a_build_ends_before_the_rehearsal(options, said):
    with pytest.raises(UserError, match="no Python package tensorrt here"):
        build(options(), said.append)

    assert not any(line.startswith("6") for line in said)


@pytest.mark.slow
def test_half_everywhere_fails_its_rehearsal_on_the_shipped_network(tmp_path, said):
    copied = tmp_path / "depthhmr"
    shutil.copytree(SHIPPED, copied, ignore=shutil.ignore_patterns("configs"))
    (copied / "configs").mkdir()
    (copied / "configs" / "gpu.pbtxt").write_text('backend: "tensorrt"\nmax_batch_size: 8\n')

    with pytest.raises(UserError, match=r"(?s)too far from the exported one:.*translation is NaN or infinite"):
        build(Options(copied, tmp_path / "plans", precision="half", dry_run=True), said.append)


def test_a_damaged_model_is_refused(options, folder, said):
    (folder / "1" / "model.onnx").write_bytes(b"cut")

    with pytest.raises(UserError, match="is not the network of its manifest"):
        build(options(dry_run=True), said.append)


def test_a_folder_that_cannot_be_written_is_named_before_the_rehearsal(options, machine, said, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match="cannot write into .*Not a directory"):
        build(options(out=tmp_path / "file"), said.append)

    assert not any(line.startswith("6") for line in said)


def test_a_workspace_of_nothing_is_refused(options, said):
    with pytest.raises(UserError, match="--workspace-mb of at least 1, got 0"):
        build(options(workspace_mb=0), said.append)


def test_the_common_batch_is_four_or_the_largest():
    assert check_batches(None, 8) == (1, 4, 8)
    assert check_batches(None, 2) == (1, 2, 2)
    assert check_batches((1, 1, 1), 1) == (1, 1, 1)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ((1, 8, 4), "ascending numbers .* got 1 8 4"),
        ((0, 4, 8), "from 1 on .* got 0 4 8"),
        ((1, 8), "three ascending numbers .* got 1 8"),
        ((1, 4, 16), r"1 to 8 pictures at once .* expected --batches 1 N 8, got 1 4 16"),
        ((1, 4, 4), "got 1 4 4"),
        ((2, 4, 8), "got 2 4 8"),
    ],
)
def test_batches_that_triton_could_not_use_are_refused(batches, message):
    with pytest.raises(UserError, match=message):
        check_batches(batches, 8)
