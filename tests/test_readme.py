"""What the README points at is there, and its figures of the network are those of the model folder."""

import json
import re
from pathlib import Path

import pytest

from depthhmr_cli.main import COMMANDS
from service.settings import Settings

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
MAX_LINES = 120

# Rows of the README's table -> the score in the manifest, and the digits that the README shows.
SCORES = {
    "people found, F1": ("f1", 3),
    "place of the pelvis, median": ("root_median", 2),
    "facing, median": ("facing_median", 1),
    "MPJPE": ("mpjpe", 0),
    "PA-MPJPE": ("pa_mpjpe", 0),
    "MVE": ("mve", 0),
    "pairs in the right order of depth, PCDR0.2": ("pcdr", 2),
}


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MAX_LINES


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert [link for link in links if "://" not in link and not (REPOSITORY / link).exists()] == []


def test_every_page_is_linked() -> None:
    pages = {f"docs/{page.name}" for page in (REPOSITORY / "docs").glob("*.md")}

    assert pages - set(re.findall(r"\]\(([^)#]+)\)", README)) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


def test_every_make_target_that_the_readme_names_is_in_the_makefile() -> None:
    named = re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)
    makefile = (REPOSITORY / "Makefile").read_text()

    assert [target for target in named if f"\n{target}:" not in makefile] == []


def test_every_setting_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"DEPTHHMR_([A-Z_]*[A-Z])\b", README)) - {"SETTINGS"}

    assert [name for name in named if name.lower() not in Settings.model_fields] == []


@pytest.mark.parametrize("row", SCORES)
@pytest.mark.parametrize("page", ["README.md", "docs/model-card.md"])
def test_figures_of_the_network_are_those_of_the_model_folder(page: str, row: str) -> None:
    manifest = json.loads((REPOSITORY / "model_repository" / "depthhmr" / "manifest.json").read_text(encoding="utf-8"))
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    figure, *_ = re.findall(rf"^\|.*(?<=[|>]) {re.escape(row)} \| ([\d.]+)", text, re.MULTILINE)
    score, digits = SCORES[row]

    assert figure == f"{manifest['scores'][score]:.{digits}f}"


def test_the_numbers_of_the_network_stand_between_their_markers() -> None:
    (block,) = re.findall(
        r"<!-- numbers of the network: begin.*?<!-- numbers of the network: end -->", README, re.DOTALL
    )

    assert [row for row in SCORES if f" {row} |" not in block] == []
