"""The recipes in runs/: what they ask for before anything is done. None of them trains here."""

import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
RECIPES = sorted((REPOSITORY / "runs").glob("*.sh"))


def run(recipe: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess:
    command = ["sh", str(recipe), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A checkout that has the recipes, and programs that do nothing."""
    for name in ("scripts/train-env", ".venv/bin/python", ".venv/bin/depthhmr"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "runs").mkdir()
    for recipe in RECIPES:
        shutil.copy(recipe, tmp_path / "runs")
    return tmp_path


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_shell_can_read_a_recipe(recipe: Path) -> None:
    done = subprocess.run(["sh", "-n", str(recipe)], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr


def test_the_default_recipe_needs_photographs_and_starts_from_published_weights(elsewhere: Path) -> None:
    (elsewhere / ".venv/bin/depthhmr").write_text('#!/bin/sh\necho "$@" >>asked\n')
    (elsewhere / "runs/state").mkdir()
    (elsewhere / "runs/state/movenet.npz").touch()
    (elsewhere / "runs/finish.sh").write_text("")
    tiny = elsewhere / "runs" / "tiny.sh"

    assert "expected a folder with packed photographs" in run(tiny, folder=elsewhere).stderr
    done = run(tiny, "photos", folder=elsewhere)

    assert done.returncode == 0, done.stderr
    (train,) = (elsewhere / "asked").read_text().splitlines()
    assert "--backbone-weights runs/state/movenet.npz" in train
    assert "--mix photos/people=0.4 --mix photos/empty=0.1 " in train
