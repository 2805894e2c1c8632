"""What the README points at is there."""

import re
from pathlib import Path

import pytest

from depthhmr_cli.main import COMMANDS
from service.settings import Settings

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert [link for link in links if "://" not in link and not (REPOSITORY / link).exists()] == []


def test_every_line_of_the_tree_is_a_file_or_folder() -> None:
    paths = re.findall(r"^([a-z_]+/\S*) +\S", README, re.MULTILINE)

    assert len(paths) > 20
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []


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
