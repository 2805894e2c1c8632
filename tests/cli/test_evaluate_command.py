"""`depthhmr evaluate` scores a model folder and says what it saw."""

import json

import numpy as np
import pytest
from PIL import Image

from bodykit.body import JOINT_NAMES
from bodykit.manifest import ONNX_PATH, Manifest
from depthhmr.evaluation.evaluation import SPLITS as SPLITS_OF_PEOPLE
from depthhmr.synth.splits import SPLITS
from depthhmr_cli.evaluate import seeds
from depthhmr_cli.evaluation_page import PICTURED
from depthhmr_cli.main import main
from depthhmr_cli.page import EACH, choose


@pytest.mark.slow
def test_scores_and_page_of_a_few_pictures(model_dir, tmp_path, capsys):
    scores, page = tmp_path / "out" / "scores.json", tmp_path / "page"

    files = ["--model-dir", str(model_dir), "--json", str(scores), "--page", str(page)]
    status = main(["evaluate", "--split", "val", "--count", "3", "--sweep", *files])

    assert status == 0
    report = json.loads(scores.read_text())
    assert report["counts"]["images"] == 3 and report["split"] == "val"
    assert report["seeds"] == [SPLITS["val"][0], SPLITS["val"][0] + 3]
    assert report["model"]["sha256"] == Manifest.read(model_dir).sha256
    assert report["run"]["command"].startswith("depthhmr ") and report["run"]["seconds"] > 0
    assert {"f1", "mve", "mpjpe", "pa_mpjpe", "root_median", "facing_median", "pcdr", "nmve"} <= report.keys()
    assert report["threshold"] in [row["threshold"] for row in report["sweep"]]
    printed = capsys.readouterr().out
    assert "3 pictures" in printed and "PA-MPJPE" in printed and "best" in printed

    html = (page / "index.html").read_text()
    sheets = sorted(page.glob("*.png"))
    assert sheets and all(f'src="{sheet.name}"' in html for sheet in sheets)
    with Image.open(sheets[0]) as sheet:
        assert sheet.size == (5 * 320 + 4 * 8, 320)
    assert all(f"by {split}: {name}" in html for split in PICTURED for *_, name in SPLITS_OF_PEOPLE[split][1])
    assert any(sheet.name.startswith("distance-") for sheet in sheets)


@pytest.mark.slow
def test_scores_and_page_of_photographs(model_dir, people_jpeg, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(people_jpeg)  # 96 x 64 pixels, the tiny network finds two people
    joints = [[5.0 * i, 4.0 * i, 1] for i in range(12)]
    names = [*JOINT_NAMES[:9], "neck", "left_shoulder", "right_shoulder"]
    labels = {"joint_names": names, "images": [{"file": "a.jpg", "joints": joints}]}
    (tmp_path / "joints.json").write_text(json.dumps(labels))
    scores, page = tmp_path / "scores.json", tmp_path / "page"

    files = ["--model-dir", str(model_dir), "--json", str(scores), "--page", str(page)]
    status = main(["evaluate", "--photos", str(tmp_path), "--count", "1", *files])

    assert status == 0
    report = json.loads(scores.read_text())
    assert report["photos"] == 1 and report["people_per_photo"] == 2
    assert set(report["pck"]) == set(report["pck_box"]) == {"0.05", "0.1", "0.2"}
    assert report["people_free"]["rendered"]["pictures"] == 1 and "folder" not in report["people_free"]
    printed = capsys.readouterr().out
    assert "1 photos" in printed and "PCK@0.2 torso" in printed and "without people" in printed
    html = (page / "index.html").read_text()
    pictures = sorted(page.glob("*.jpg"))
    assert pictures and all(f'src="{picture.name}"' in html for picture in pictures)
    assert "missed" in html and "worst" in html and "false people, rendered" in html


def test_false_people_in_a_folder_without_labels(model_dir, people_jpeg, empty_jpeg, tmp_path, capsys):
    (tmp_path / "bright.jpg").write_bytes(people_jpeg)  # the tiny network finds two people in its bright half
    (tmp_path / "dark.jpg").write_bytes(empty_jpeg)
    scores, page = tmp_path / "scores.json", tmp_path / "page"

    files = ["--model-dir", str(model_dir), "--json", str(scores), "--page", str(page)]
    status = main(["evaluate", "--people-free", str(tmp_path), "--count", "2", *files])

    assert status == 0
    report = json.loads(scores.read_text())
    assert report["people_free"]["folder"] == {"pictures": 2, "false": 2, "per_100": 100.0, "pictures_with_false": 1}
    assert "photos" not in report and report["threshold"] == Manifest.read(model_dir).threshold
    assert "bright: 2 false" in (page / "index.html").read_text()
    assert "PCK" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--count", "0"], "--count must be at least 1, got 0"),
        (["--threshold", "1.5"], "--threshold must lie in (0, 1], got 1.5"),
        (["--split", "test", "--sweep"], "only --split val may do, got --split test"),
        (["--split", "val", "--sweep", "--threshold", "0.5"], "leave out --threshold"),
        (["--photos", "x", "--sweep"], "not --photos"),
        (["--people-free", "x", "--sweep"], "not --people-free"),
        (["--photos", "nowhere/x"], "cannot read the labels nowhere/x/joints.json"),
        (["--model-dir", "nowhere"], "there is no model in nowhere"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_one_line(arguments, complaint, capsys):
    assert main(["evaluate", *arguments]) == 2

    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1


def test_a_network_of_another_body_is_refused(model_dir, tmp_path, capsys):
    raw = Manifest.read(model_dir).to_json()
    raw["body"] = raw["body"] | {"name": "stranger", "sha256": "0" * 64}
    Manifest.from_json(raw).write(tmp_path)
    (tmp_path / ONNX_PATH).parent.mkdir()
    (tmp_path / ONNX_PATH).write_bytes((model_dir / ONNX_PATH).read_bytes())

    assert main(["evaluate", "--model-dir", str(tmp_path), "--count", "1"]) == 2

    assert "trained for the body stranger" in capsys.readouterr().err


def test_a_split_is_cut_but_never_stretched():
    first, size = SPLITS["test"]

    assert seeds("test", None) == range(first, first + size)
    assert seeds("test", 5) == range(first, first + 5)
    assert seeds("test", 10**9) == range(first, first + size)


def test_pictures_of_a_page_are_ranked_and_empty_ones_left_out():
    errors = np.array([np.nan, *np.linspace(0.5, 0.1, 30)])

    groups = choose(errors)

    assert groups["best"][0] == 30 and groups["worst"][0] == 1
    assert all(len(indices) == EACH and 0 not in indices for indices in groups.values())
    assert choose(np.array([np.nan])) == {"best": [], "median": [], "worst": []}
