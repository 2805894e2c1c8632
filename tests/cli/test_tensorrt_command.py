"""`depthhmr tensorrt`: what it prints, and its exit status."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto, helper, save

from depthhmr_cli import tensorrt
from depthhmr_cli.main import COMMANDS, main

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(COMMANDS, "tensorrt", "depthhmr_cli.tensorrt")
    monkeypatch.chdir(REPOSITORY)


def test_check_lists_every_operator_and_its_types(capsys):
    assert main(["tensorrt", "check"]) == 0

    printed = capsys.readouterr().out
    assert "LayerNormalization" in printed and "FP16, FP32" in printed
    assert "the table of TensorRT 10.15" in printed and re.search(r"TensorRT takes all \d+, as far", printed)


def test_check_fails_on_an_operator_that_tensorrt_does_not_know(tmp_path, capsys):
    graph = helper.make_graph(
        [helper.make_node("Det", ["x"], ["y"], name="determinant")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "det.onnx")

    assert main(["tensorrt", "check", "--graph", str(tmp_path / "det.onnx")]) == 2
    assert "Det determinant: TensorRT does not support this operator" in capsys.readouterr().err


def test_check_of_a_missing_graph_says_so(capsys):
    assert main(["tensorrt", "check", "--graph", "nowhere.onnx"]) == 2
    assert "cannot read the graph nowhere.onnx: No such file" in capsys.readouterr().err


def test_build_without_tensorrt_says_where_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)

    assert main(["tensorrt", "build", "--out", str(tmp_path / "plans")]) == 2
    assert "no Python package tensorrt here" in capsys.readouterr().err
    assert not (tmp_path / "plans").exists()


def test_build_of_missing_pictures_says_so(tmp_path, capsys):
    assert main(["tensorrt", "build", "--out", str(tmp_path), "--dry-run", "--images", "nowhere"]) == 2
    assert "expected a folder of pictures at nowhere, found nothing" in capsys.readouterr().err


def test_a_dry_run_ends_with_the_places_it_would_write(tmp_path, capsys):
    assert main(["tensorrt", "build", "--out", str(tmp_path / "plans"), "--dry-run", "--images", "demo"]) == 0

    printed = capsys.readouterr().out
    assert f"would write {tmp_path}/plans/depthhmr/1/model.plan" in printed
    assert not (tmp_path / "plans").exists()


def test_the_precisions_offered_are_those_that_exist():
    from depthhmr.tensorrt.choice import PRECISIONS

    assert tensorrt.PRECISIONS == PRECISIONS


def test_nothing_here_needs_torch():
    program = "import sys; sys.modules['torch'] = None; import depthhmr.tensorrt.build"

    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)

    assert result.returncode == 0, result.stderr
