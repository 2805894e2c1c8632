"""`depthhmr tracking`: scores of a very short run, the files of a sequence, and what is refused."""

import argparse
import json
from pathlib import Path

import pytest
from PIL import Image

from bodykit.errors import UserError
from depthhmr_cli import tracking


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    tracking.add_arguments(parser)
    args = parser.parse_args(arguments)
    args.command_line = "depthhmr tracking"
    return tracking.run(args)


def test_scores_name_trackers_smoothers_and_lags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = tmp_path / "scores.json"

    assert run("--source", "simulated", "--count", "1", "--seconds", "2.4", "--fps", "10", "--json", str(scores)) == 0

    printed = capsys.readouterr().out
    assert "simulated: 1 sequences, 24 frames" in printed
    assert "boxes, frame to frame" in printed
    assert "lag of steady motion" in printed
    content = json.loads(scores.read_text())
    assert content["seeds"] == [50_000_000, 50_000_001]
    assert content["reports"][0]["identity"]["ours"]["truths"] > 0


@pytest.mark.slow
def test_a_strip_is_drawn_by_the_shipped_network(tmp_path: Path) -> None:
    assert run("--strip", str(tmp_path / "strip.png"), "--size", "64", "--seconds", "2", "--fps", "5") == 0

    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.width == 4 * 64 + 3 * 3


def test_frames_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--frames", str(tmp_path), "--size", "64", "--seconds", "1", "--fps", "3") == 0

    assert "wrote 3 frames" in capsys.readouterr().out
    assert len(list((tmp_path / "frames").glob("*.jpg"))) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "--count must be at least 1, got 0"),
        (["--count", "201"], "has 200 sequences, asked for 201"),
        (["--fps", "0"], "between 1 and 240 frames per second, got 0"),
        (["--seconds", "0.5"], "between 1 and 60, got 0.5"),
        (["--size", "8"], "between 64 and 2048 pixels, got 8"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--strip", "strip.gif"], "ends in .png or .jpg"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(*arguments)
