"""The compose file as Compose itself understands it."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
PROFILES = ("gpu", "observability")
INSTALLED = REPOSITORY / ".venv/compose/usr/libexec/docker/cli-plugins/docker-compose"  # by scripts/install-compose

Compose = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def compose() -> Compose:
    """Runs Compose on our file, without this machine's .env and DEPTHHMR_ variables."""
    if INSTALLED.exists():
        command = [str(INSTALLED)]
    elif (
        shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    ):
        command = ["docker", "compose"]
    else:
        pytest.skip("there is no Docker Compose: scripts/install-compose brings it on Debian")
    own = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}

    def run(*words: str, profiles: tuple[str, ...] = (), **variables: str) -> "subprocess.CompletedProcess[str]":
        chosen = [word for profile in profiles for word in ("--profile", profile)]
        return subprocess.run(
            [*command, "--project-directory", str(REPOSITORY), "--env-file", os.devnull, *chosen, *words],
            env=own | variables,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture(scope="session")
def services(compose: Compose) -> dict[str, Any]:
    """All services of all profiles, every variable filled in with its default."""
    result = compose("config", "--format", "json", profiles=PROFILES)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["services"]
