"""`depthhmr synth`: the contact sheet, the files of a data set, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthhmr_cli.main import main


def test_a_sheet_shows_pictures_above_their_labels(tmp_path: Path) -> None:
    assert main(["synth", "--sheet", str(tmp_path / "sheet.png"), "--count", "3", "--size", "48"]) == 0

    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 48, 4 * 48)


def test_a_data_set_can_be_read_back(tmp_path: Path) -> None:
    out = tmp_path / "people"

    assert main(["synth", "--out", str(out), "--count", "3", "--split", "val", "--size", "48"]) == 0

    lines = [json.loads(line) for line in (out / "annotations.jsonl").read_text().splitlines()]
    assert [line["seed"] for line in lines] == [20_000_000, 20_000_001, 20_000_002]
    for line in lines:
        with Image.open(out / line["image"]) as picture:
            assert picture.size == (48, 48)
        with np.load(out / line["maps"]) as maps:
            depth, person = maps["depth"], maps["person"]
        assert depth.shape == person.shape == (48, 48)
        assert set(np.unique(person)) <= {0, *(one["id"] for one in line["people"])}
        assert all(np.shape(one["pose"]) == (24, 3) for one in line["people"])


def test_a_folder_that_holds_a_data_set_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "annotations.jsonl").write_text("precious\n")

    assert main(["synth", "--out", str(tmp_path), "--count", "1", "--size", "48"]) == 2

    assert "expected a folder without a data set" in capsys.readouterr().err
    assert (tmp_path / "annotations.jsonl").read_text() == "precious\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--sheet", "sheet.tiff"], "ends in .png or .jpg", id="unknown kind of picture"),
        pytest.param(["--bench", "--size", "8"], "between 32 and 2048 pixels, got 8", id="too small"),
        pytest.param(["--bench", "--split", "test", "--count", "1001"], "pictures 0 to 999", id="beyond the split"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synth", *arguments]) == 2

    assert message in capsys.readouterr().err


def test_the_bench_prints_pictures_per_second(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "--bench", "--count", "2", "--size", "48"]) == 0

    assert "pictures per second of processor time at 48 x 48" in capsys.readouterr().out


def test_a_sheet_can_have_photographs_behind_its_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "places").mkdir()
    Image.new("RGB", (240, 240), (20, 60, 200)).save(tmp_path / "places" / "sea.png")
    arguments = ["--count", "2", "--size", "48", "--plain", "--backdrops", str(tmp_path / "places")]

    assert main(["synth", "--sheet", str(tmp_path / "sheet.png"), *arguments, "--backdrop-share", "1"]) == 0

    assert "1 photographs of" in capsys.readouterr().out
    assert main(["synth", "--sheet", str(tmp_path / "plain.png"), *arguments[:5]]) == 0
    with Image.open(tmp_path / "sheet.png") as sheet, Image.open(tmp_path / "plain.png") as plain:
        assert sheet.size == plain.size == (2 * 48, 48)
        assert sheet.tobytes() != plain.tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--backdrop-share", "0.3"], "expected --backdrops DIR with --backdrop-share 0.3", id="no folder"),
        pytest.param(["--backdrops", "x", "--backdrop-share", "0"], "above 0 and at most 1, got 0", id="share of none"),
        pytest.param(["--backdrops", "x", "--backdrop-share", "2"], "above 0 and at most 1, got 2", id="share of more"),
        pytest.param(["--backdrops", "nowhere"], "photographs without people at nowhere, found none", id="nowhere"),
    ],
)
def test_backdrops_that_cannot_be_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synth", "--bench", "--count", "1", "--size", "48", *arguments]) == 2

    assert message in capsys.readouterr().err
