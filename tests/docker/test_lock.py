"""The locks of the gateway's image: complete, by hash, and what pyproject.toml asks for."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
IMAGE = {"sys_platform": "linux", "platform_system": "Linux", "python_version": "3.11", "python_full_version": "3.11.9"}
LOCKS = {"requirements": ["dependencies", "triton", "otel"], "build": ["build-system"]}
PACKAGE = re.compile(r"([A-Za-z0-9._-]+)==([^ ]+)((?: --hash=sha256:[0-9a-f]{64})+)")


def text_of(name: str) -> str:
    return (REPOSITORY / "docker" / f"{name}.lock").read_text(encoding="utf-8")


def locked(name: str) -> dict[str, str]:
    """Version by package. Fails for a line that is anything but a package with its hashes."""
    lines = [line for line in text_of(name).splitlines() if not line.lstrip().startswith("#")]
    entries = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines()
    found = [PACKAGE.fullmatch(entry) for entry in entries if entry.strip()]
    assert None not in found, [entry[:80] for entry in entries if entry.strip() and not PACKAGE.fullmatch(entry)]
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def asked(name: str) -> list[Requirement]:
    command = [sys.executable, "docker/requirements.py", *LOCKS[name]]
    lines = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=20).stdout
    return [requirement for line in lines.splitlines() if applies(requirement := Requirement(line), "")]


def applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**IMAGE, "extra": extra})


def needed_by(package: str, extras: set[str]) -> list[Requirement]:
    """What an installed package asks for in its turn; nothing is known of one that is not installed here."""
    try:
        lines = importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [item for line in lines if any(applies(item := Requirement(line), extra) for extra in {"", *extras})]


@pytest.mark.parametrize("name", LOCKS)
def test_what_pyproject_asks_for_is_locked_within_its_bounds(name: str) -> None:
    versions = locked(name)

    for requirement in asked(name):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not in docker/{name}.lock: run scripts/lock"
        assert requirement.specifier.contains(version), f"{requirement} is locked as {version}: run scripts/lock"


@pytest.mark.parametrize("name", LOCKS)
def test_what_the_locked_packages_need_is_locked_too(name: str) -> None:
    versions, waiting, seen = locked(name), asked(name), set()
    while waiting:
        requirement = waiting.pop()
        package = canonicalize_name(requirement.name)
        if (package, *sorted(requirement.extras)) in seen:
            continue
        seen.add((package, *sorted(requirement.extras)))
        assert package in versions, f"{requirement} is not in docker/{name}.lock: run scripts/lock"
        if is_installed(package, versions[package]):
            waiting += needed_by(package, requirement.extras)

    assert len(seen) >= len(LOCKS[name]) + 2


def is_installed(package: str, version: str) -> bool:
    """Another release may have other needs, which would say nothing about the locked one."""
    try:
        return importlib.metadata.version(package) == version
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_index_no_address_and_no_folder(name: str) -> None:
    text = text_of(name)

    assert (
        "://" not in text and "--index" not in text and "--find-links" not in text and "/" not in text.split("\n", 1)[1]
    )


def test_the_image_is_installed_from_the_locks_and_by_hash_alone() -> None:
    text = re.sub(r"\\\n", "", (REPOSITORY / "docker" / "gateway.Dockerfile").read_text())
    installs = [part for part in re.split(r"&&|\n", text) if re.search(r"pip\b.* install", part)]

    assert len(installs) == 3
    for part in installs:
        assert "--no-index" in part or ("--require-hashes" in part and "--only-binary :all:" in part), part


def test_the_lock_holds_files_for_both_machines() -> None:
    """numpy has a wheel per machine; two files per release would be none of either."""
    block = text_of("requirements").split("numpy==")[1].split("\n    # via")[0]

    assert block.count("sha256:") > 10
