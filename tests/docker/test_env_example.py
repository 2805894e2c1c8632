""".env.example lists every setting and every variable of the compose file, with the default that holds without it."""

import re
import runpy
from pathlib import Path

import pytest

from service.settings import FILE_VARIABLE, PREFIX, Settings

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
LINES = dict(re.findall(r"^# ?([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE, re.MULTILINE))
LISTED = {name.removeprefix(PREFIX).lower() for name in LINES if name.startswith(PREFIX)}
# What docker-compose.yml sets itself, other than the service's own default.
OF_COMPOSE = {"engine": "auto", "triton_url": "triton:8001"}
FOUND_AT_START = {"model_dir"}  # its default depends on where the service is installed


def test_the_file_is_what_settings_and_compose_file_say() -> None:
    written = runpy.run_path(str(REPOSITORY / "docker" / "env_example.py"))["env_example"]()

    assert written == EXAMPLE, "run scripts/env-example"


def test_every_line_is_a_comment_so_that_a_copy_changes_nothing() -> None:
    assert [line for line in EXAMPLE.splitlines() if line.strip() and not line.startswith("#")] == []


def test_every_setting_is_listed() -> None:
    settings = set(Settings.model_fields)

    missing, unknown = settings - LISTED, LISTED - settings - {"settings"}
    assert missing == set(), f"add {', '.join(PREFIX + name.upper() for name in sorted(missing))} to .env.example"
    assert unknown == set(), (
        f"{', '.join(PREFIX + name.upper() for name in sorted(unknown))} in .env.example: no setting"
    )
    assert FILE_VARIABLE in LINES


@pytest.mark.parametrize("name", sorted(LISTED & set(Settings.model_fields) - FOUND_AT_START))
def test_setting_is_listed_with_its_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = getattr(Settings(), name)
    listed = LINES[PREFIX + name.upper()]

    if name in OF_COMPOSE:
        assert listed == OF_COMPOSE[name]
    else:
        monkeypatch.setenv(PREFIX + name.upper(), listed)  # empty counts as not set
        assert getattr(Settings(), name) == default, f"{PREFIX}{name.upper()} is listed as {listed!r}"


def test_every_variable_of_the_compose_file_is_listed_with_its_default() -> None:
    text = (REPOSITORY / "docker-compose.yml").read_text()
    used = dict(re.findall(r"\$\{([A-Z][A-Z0-9_]*):-((?:[^{}]|\$\{[^{}]*\})*)\}", text))

    assert used
    for name, default in used.items():
        release = re.sub(r"\$\{TRITON_RELEASE:-([^}]*)\}", r"\1", default)
        assert LINES.get(name) == release, f"{name} is {release!r} in docker-compose.yml"


def test_no_other_variable_is_listed() -> None:
    text = (REPOSITORY / "docker-compose.yml").read_text()

    assert {name for name in LINES if name not in text and name != FILE_VARIABLE} == set()
