"""A run keeps the backdrops that it was begun with: other pictures never come into its cache unsaid."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bodykit.errors import UserError
from depthhmr.network.config import TrainConfig, preset
from depthhmr.training.train import Run, as_begun, write_settings
from depthhmr_cli.main import main


@pytest.fixture
def places(tmp_path: Path) -> Path:
    folder = tmp_path / "places"
    folder.mkdir()
    Image.new("RGB", (240, 240), (20, 60, 200)).save(folder / "sea.png")
    return folder


def run_of(folder: Path, backdrops: tuple[Path, float] | None) -> Run:
    return Run(folder=folder / "run", model=preset("tiny"), train=TrainConfig(), backdrops=backdrops)


def test_a_resumed_run_has_the_backdrops_that_it_was_begun_with(tmp_path: Path, places: Path) -> None:
    write_settings(run_of(tmp_path, (places, 0.25)))

    resumed = as_begun(run_of(tmp_path, None))
    write_settings(resumed)

    assert resumed.backdrops == (places, 0.25)
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["backdrops"]
    assert (kept["folder"], kept["share"], len(kept["sha256"])) == (str(places), 0.25, 64)


def test_a_run_without_backdrops_stays_without(tmp_path: Path) -> None:
    write_settings(run_of(tmp_path, None))

    assert as_begun(run_of(tmp_path, None)).backdrops is None


def test_backdrops_may_move_with_the_run(tmp_path: Path, places: Path) -> None:
    write_settings(run_of(tmp_path, (places, 0.25)))
    moved = places.rename(tmp_path / "elsewhere")

    write_settings(as_begun(run_of(tmp_path, (moved, 0.25))))

    assert json.loads((tmp_path / "run" / "run.json").read_text())["backdrops"]["folder"] == str(moved)


def test_other_backdrops_are_refused_in_a_sentence(tmp_path: Path, places: Path) -> None:
    write_settings(run_of(tmp_path, (places, 0.25)))

    with pytest.raises(UserError, match=r"begun with backdrops .*share 0\.25.* got a run with .*share 0\.5"):
        write_settings(run_of(tmp_path, (places, 0.5)))
    Image.new("RGB", (240, 240)).save(places / "night.png")
    with pytest.raises(UserError, match="choose another folder"):
        write_settings(as_begun(run_of(tmp_path, None)))


def test_a_run_that_is_older_than_backdrops_refuses_them(tmp_path: Path, places: Path) -> None:
    write_settings(run_of(tmp_path, None))
    path = tmp_path / "run" / "run.json"
    settings = json.loads(path.read_text())
    del settings["backdrops"]
    path.write_text(json.dumps(settings))

    assert as_begun(run_of(tmp_path, None)).backdrops is None
    with pytest.raises(UserError, match="was begun without backdrops"):
        write_settings(run_of(tmp_path, (places, 0.5)))


def test_a_run_whose_backdrops_have_gone_says_where_they_were(tmp_path: Path, places: Path) -> None:
    write_settings(run_of(tmp_path, (places, 0.25)))
    places.rename(tmp_path / "elsewhere")

    with pytest.raises(UserError, match=f"photographs without people at {places}, found none"):
        write_settings(as_begun(run_of(tmp_path, None)))


def test_the_depth_of_the_scene_is_not_learned_before_backdrops(tmp_path: Path, places: Path) -> None:
    scene = replace(TrainConfig(), depth_target="scene")

    with pytest.raises(UserError, match="a photograph has none"):
        Run(folder=tmp_path / "run", model=preset("tiny"), train=scene, backdrops=(places, 0.5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--backdrop-share", "0.3"], "expected --backdrops DIR with --backdrop-share 0.3", id="no folder"),
        pytest.param(["--backdrops", "x", "--backdrop-share", "2"], "above 0 and at most 1, got 2", id="share of more"),
        pytest.param(["--backdrops", "nowhere"], "photographs without people at nowhere, found none", id="nowhere"),
    ],
)
def test_training_before_what_cannot_be_a_backdrop_is_refused_before_anything_is_written(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--preset", "small", "--run", str(tmp_path / "run"), *arguments]) == 2

    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
