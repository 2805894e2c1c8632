"""`depthhmr import` and `depthhmr export` examine a network, tell it, and write a folder that the service takes."""

import json
import shutil

import onnx
import pytest

from bodykit.manifest import ONNX_PATH, Manifest
from depthhmr_cli.main import main


@pytest.fixture
def graph(model_dir, tmp_path):
    """The tiny network as a file of its own."""
    path = tmp_path / "theirs.onnx"
    shutil.copyfile(model_dir / ONNX_PATH, path)
    return path


def test_a_graph_becomes_a_folder_that_can_be_evaluated(graph, tmp_path, capsys):
    model, report = tmp_path / "models" / "theirs", tmp_path / "out" / "report.json"

    stated = ["--threshold", "0.7", "--version", "3", "--data", "two quadrants", "--license", "CC0-1.0"]
    assert main(["import", str(graph), "--model-dir", str(model), "--report", str(report), *stated]) == 0

    printed = capsys.readouterr().out
    assert "passed     opset              18" in printed and "passed     batch" in printed and "wrote" in printed
    checks = json.loads(report.read_text())
    assert checks["passed"] and {check["status"] for check in checks["checks"]} == {"passed"}
    manifest = Manifest.read(model)
    assert (manifest.threshold, manifest.version, manifest.data) == (0.7, "3", "two quadrants")
    assert (manifest.preset, manifest.license) == ("imported", "CC0-1.0")
    assert main(["evaluate", "--model-dir", str(model), "--split", "val", "--count", "1"]) == 0


def test_a_faulty_graph_is_told_and_leaves_the_folder_as_it_was(graph, model_dir, tmp_path, capsys):
    model, report = tmp_path / "model", tmp_path / "report.json"
    shutil.copytree(model_dir, model)
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    broken = onnx.load(str(graph))
    broken.graph.output[4].type.tensor_type.shape.dim[2].dim_value = 5
    onnx.save(broken, str(graph))

    assert main(["import", str(graph), "--model-dir", str(model), "--report", str(report)]) == 2

    told = capsys.readouterr()
    assert "failed     tensor boxes" in told.out and "not tried  session" in told.out
    assert "1 of 26 checks failed: nothing was written to" in told.err and told.err.count("\n") == 1
    assert not json.loads(report.read_text())["passed"]
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before


def test_pictures_of_ones_own_may_be_used(graph, people_jpeg, empty_jpeg, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for name, content in (("a.jpg", people_jpeg), ("b.jpg", empty_jpeg), ("c.jpg", people_jpeg)):
        (tmp_path / "photos" / name).write_bytes(content)

    arguments = ["import", str(graph), "--model-dir", str(tmp_path / "m"), "--pictures", str(tmp_path / "photos")]
    assert main(arguments) == 0
    assert "over 4 people" in capsys.readouterr().out  # two in each bright picture

    (tmp_path / "photos" / "a.jpg").unlink()
    assert main(arguments) == 2
    assert "expected at least 3 pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere.onnx"], "cannot read the graph nowhere.onnx"),
        (["nowhere"], "expected a checkpoint at nowhere, found none"),
        (["nowhere", "--threshold", "0"], "--threshold must lie in (0, 1], got 0.0"),
    ],
)
def test_what_cannot_be_imported_is_told_in_one_line(arguments, complaint, tmp_path, capsys):
    assert main(["import", *arguments, "--model-dir", str(tmp_path / "m")]) == 2

    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1 and not (tmp_path / "m").exists()


def test_export_of_a_missing_run_says_how_to_get_one(tmp_path, capsys):
    assert main(["export", "--run", str(tmp_path / "run"), "--model-dir", str(tmp_path / "m")]) == 2
    assert "expected a checkpoint" in capsys.readouterr().err
