"""docker/check where it cannot run, and what it takes from this machine. What it checks, it checks when it is run."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]

# The check as somebody who is not root.
NOBODY = """
import os, runpy, sys
os.geteuid = lambda: 1000
sys.argv = ["check", "--private"]
runpy.run_path("docker/check", run_name="__main__")
"""


def test_says_not_run_and_fails_where_there_is_no_engine_and_none_can_be_made(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", NOBODY],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert result.returncode == 77
    assert "docker-check: NOT RUN: no Docker engine with Compose answers, and" in result.stdout
    assert "NOT RUN is no success" in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def pip_secrets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(REPOSITORY / "docker" / "check")
    import pip_secrets

    return pip_secrets


def test_pip_is_told_in_a_build_what_it_is_told_here(
    pip_secrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("certificates")
    monkeypatch.setenv("PIP_CERT", str(bundle))
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "file:///srv/wheels https://more.example/simple")
    monkeypatch.setenv("PIP_PROXY", "")

    words = pip_secrets.write(tmp_path)

    lines = (tmp_path / "pip.conf").read_text().splitlines()
    assert "index-url = https://packages.example/simple" in lines
    assert "extra-index-url = https://more.example/simple" in lines  # a folder of this machine means nothing in there
    assert (tmp_path / "ca.crt").read_text() == "certificates"
    assert {"https://packages.example/simple", "https://more.example/simple"} <= set(words)
