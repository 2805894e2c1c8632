"""The import rules: the network and the service never import each other, and the service runs without torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

OURS = {"bodykit", "depthhmr", "service", "depthhmr_cli"}
TORCH = {"torch", "torchvision", "smplx", "onnx"}
WEB = {"fastapi", "starlette", "uvicorn", "pydantic", "pydantic_settings", "onnxruntime", "grpc", "tritonclient"}

# Files or folders -> the top-level packages that nothing in them may import, not even inside a function.
FORBIDDEN = {
    "bodykit": (OURS - {"bodykit"}) | TORCH | WEB,
    "depthhmr": {"service", "depthhmr_cli"} | (WEB - {"onnxruntime"}),  # the export is checked against ONNX Runtime
    "depthhmr/synth": TORCH,
    "depthhmr/tensorrt": TORCH - {"onnx"},
    "depthhmr/evaluation/metrics.py": TORCH,
    "depthhmr/evaluation/evaluation.py": TORCH,
    "depthhmr/evaluation/tracking_scores.py": TORCH,
    "service": {"depthhmr", "depthhmr_cli"} | TORCH,
    "service/client": {"fastapi", "starlette", "uvicorn", "pydantic", "pydantic_settings", "onnxruntime", "numba"}
    | TORCH,
}

RUN_WITHOUT_TORCH = [
    "service.serve",
    "depthhmr_cli.main",
    "depthhmr.synth.scene",
    "depthhmr.evaluation.evaluation",
    "depthhmr.tensorrt.build",
]


@pytest.mark.parametrize("place", FORBIDDEN)
def test_nothing_imports_what_its_package_may_not(place: str) -> None:
    files = python_files(REPOSITORY / place)

    found = [f"{file.relative_to(REPOSITORY)} imports {name}" for file, name in breaches(files, FORBIDDEN[place])]

    assert files, f"there is no Python file under {place}"
    assert found == []


def test_a_forbidden_import_is_found_wherever_it_hides(tmp_path: Path) -> None:
    (tmp_path / "sly.py").write_text(
        "import numpy\n"
        "from . import torch\n"  # a sibling of that name is no breach
        "def late():\n"
        "    import torch.nn as nn\n"
        "    from service.rest import app\n"
    )

    found = [name for _, name in breaches(python_files(tmp_path), {"torch", "service"})]

    assert found == ["torch", "service"]


@pytest.mark.parametrize("module", RUN_WITHOUT_TORCH)
def test_module_is_imported_on_a_machine_without_torch(module: str) -> None:
    result = import_without_torch(module)

    assert result.returncode == 0, result.stderr


def test_importing_without_torch_fails_for_a_module_that_needs_it() -> None:
    result = import_without_torch("depthhmr.network.skinning")

    assert result.returncode != 0
    assert "import of torch halted" in result.stderr


def import_without_torch(module: str) -> "subprocess.CompletedProcess[str]":
    """Import `module` in a fresh interpreter in which `import torch` fails."""
    program = f"import sys; sys.modules['torch'] = None; import {module}"
    return subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


def python_files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def breaches(files: list[Path], forbidden: set[str]) -> Iterator[tuple[Path, str]]:
    """Each import of a forbidden package: the file and the package's name."""
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for name in imported_packages(node):
                if name in forbidden:
                    yield file, name


def imported_packages(node: ast.AST) -> list[str]:
    """The top-level packages that an import statement names; relative imports stay inside their package."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.partition(".")[0]]
    return []
