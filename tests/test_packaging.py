"""The distribution: what the wheel carries, what the gateway's requirements leave out, and the files of the law."""

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from service import __version__

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ["bodykit", "depthhmr", "service", "depthhmr_cli"]

# What runs with nothing but the gateway's requirements.
GATEWAY = [
    "bodykit",
    "service",
    "depthhmr/synth",
    "depthhmr/evaluation/metrics.py",
    "depthhmr/evaluation/evaluation.py",
    "depthhmr/evaluation/tracking_scores.py",
]
NEVER_IN_THE_GATEWAY = {"torch", "torchvision", "smplx", "onnx", "trimesh", "matplotlib"}
# Imported late, when that engine is chosen: the client by the extra `triton`; the other exists in Triton's own process.
ONLY_WITH_TRITON = {"tritonclient", "triton_python_backend_utils"}
ONLY_WITH_CLIENT = {"httpx"}  # imported late, when an address begins with http: the extra `client`
ONLY_WITH_HEIF = {"pillow_heif"}  # imported where it is installed: the extra `heif`
ONLY_WITH_USD = {"pxr"}  # imported late, for USDZ files: the extra `usd`
ONLY_WITH_TRACES = {"opentelemetry"}  # imported late, when the setting asks for traces: the extra `otel`
# Imported by us, required by what we require. The folder `google` is shared by several distributions.
COME_ALONG = {"starlette": "fastapi", "anyio": "fastapi", "google": "protobuf", "cryptography": "pyjwt"}


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    assert path.name == f"depthhmr-{__version__}-py3-none-any.whl"
    return path


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> set[str]:
    """The names of its files."""
    return set(zipfile.ZipFile(wheel_file).namelist())


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_wheel_carries_every_module_of_the_four_packages(wheel: set[str]) -> None:
    packages = ["bodykit", "depthhmr", "service", "depthhmr_cli"]
    modules = {
        file.relative_to(REPOSITORY).as_posix() for name in packages for file in (REPOSITORY / name).rglob("*.py")
    }

    assert modules - wheel == set()


def test_wheel_carries_the_body(wheel: set[str]) -> None:
    assert "bodykit/data/free_body.npz" in wheel


@pytest.mark.slow
def test_wheel_works_away_from_the_checkout(wheel_file: Path, tmp_path: Path) -> None:
    """The default model and the demo image come with it. What it requires is that of this environment."""
    zipfile.ZipFile(wheel_file).extractall(tmp_path / "installed")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    program = """
import bodykit, sys
from depthhmr_cli.main import main
from depthhmr_cli.running import DEMO_IMAGE
assert "installed" in bodykit.__file__, bodykit.__file__
sys.exit(main(["reconstruct", str(DEMO_IMAGE), "-o", "people.json"]))
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "PYTHONSAFEPATH": "1"}

    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert json.loads((elsewhere / "people.json").read_text())["people"]


def test_wheel_carries_the_web_page(wheel: set[str]) -> None:
    page = REPOSITORY / "service" / "rest" / "page"
    files = {
        file.relative_to(REPOSITORY).as_posix() for file in page.iterdir() if file.suffix in (".html", ".js", ".css")
    }

    assert files
    assert files <= wheel


def test_wheel_carries_the_licence_and_the_notice(wheel: set[str]) -> None:
    assert {f"depthhmr-{__version__}.dist-info/licenses/{name}" for name in ("LICENSE", "NOTICE")} <= wheel


def test_wheel_carries_nothing_else(wheel: set[str]) -> None:
    places = {name.partition("/")[0] for name in wheel}

    assert places == {*PACKAGES, f"depthhmr-{__version__}.dist-info"}


def test_gateway_requirements_leave_out_what_only_training_needs(project: dict) -> None:
    names = {requirement_name(line) for line in project["dependencies"]}

    assert names & NEVER_IN_THE_GATEWAY == set()


def test_gateway_imports_nothing_that_its_requirements_do_not_bring(project: dict) -> None:
    required = {requirement_name(line) for line in project["dependencies"]}
    distributions = packages_distributions()

    imported = {name for place in GATEWAY for file in python_files(place) for name in third_party_imports(file)}
    imported -= ONLY_WITH_TRITON | ONLY_WITH_CLIENT | ONLY_WITH_HEIF | ONLY_WITH_USD | ONLY_WITH_TRACES
    brought = {name: COME_ALONG.get(name) or distributions.get(name, [name])[0].lower() for name in imported}

    assert {name for name, distribution in brought.items() if distribution.replace("_", "-") not in required} == set()


def test_every_torch_requirement_is_the_same_exact_release(project: dict) -> None:
    lines = [line for extra in project["optional-dependencies"].values() for line in extra]

    torch = {line for line in lines if requirement_name(line) == "torch"}

    assert len(torch) == 1
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", torch.pop())


def test_missing_extras_are_advised_by_their_real_names(project: dict) -> None:
    from depthhmr_cli.main import EXTRAS

    assert set(EXTRAS.values()) <= set(project["optional-dependencies"])


def test_changelog_speaks_of_this_version_or_of_what_is_to_come() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()

    assert "## [Unreleased]" in changelog or f"## [{__version__}]" in changelog


def test_licence_is_the_standard_text_of_apache_2() -> None:
    digest = hashlib.sha256((REPOSITORY / "LICENSE").read_bytes()).hexdigest()

    # Of https://www.apache.org/licenses/LICENSE-2.0.txt
    assert digest == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def requirement_name(line: str) -> str:
    return re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower()


def python_files(place: str) -> list[Path]:
    path = REPOSITORY / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def third_party_imports(file: Path) -> set[str]:
    """The top-level packages that a file imports and that are neither ours nor Python's."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - set(PACKAGES)
