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
    "depthhmr/evaluation": TORCH,
    "depthhmr/benchmarks": TORCH,
    "depthhmr/bake": TORCH,
    "service": {"depthhmr", "depthhmr_cli"} | TORCH,
    "service/client": {"fastapi", "starlette", "uvicorn", "pydantic", "pydantic_settings", "onnxruntime", "numba"}
    | TORCH,
}

# Folders and files of a package, lowest first. Each may import only from itself and from those above it in this list.
LAYERS = {
    "depthhmr": (
        "network",
        "body_id",
        "synth",
        "tensorrt",
        "evaluation",
        "data",
        "benchmarks",
        "bake",
        "export",
        "training",
        "ablation",
    ),
    "service": (
        "errors",
        "results",
        "limits",
        "settings",
        "options",
        "decoding",
        "process",
        "engines",
        "people",
        "following",
        "frame_stream",
        "telemetry",
        "access",
        "formats",
        "recovery",
        "rest",
        "rpc",
        "client",
        "serve",
    ),
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


@pytest.mark.parametrize("package", LAYERS)
def test_every_module_imports_only_from_layers_below_its_own(package: str) -> None:
    layers = LAYERS[package]
    modules = modules_of(REPOSITORY, [package])

    unknown = {layer_of(module) for module in modules} - {"", *layers}
    upward = [
        f"{module} imports {other}"
        for module, others in import_graph(modules).items()
        for other in others
        if layer_of(module) and layer_of(other) and layers.index(layer_of(other)) > layers.index(layer_of(module))
    ]

    assert unknown == set()
    assert upward == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = import_graph(modules_of(REPOSITORY, sorted(OURS)))

    assert len(graph) > 100
    assert circles(graph) == []


def test_a_circle_of_imports_is_found(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "one.py").write_text("from pack import two\n")
    (tmp_path / "pack" / "two.py").write_text("def late():\n    import pack.three\n")
    (tmp_path / "pack" / "three.py").write_text("from pack.one import anything\n")

    found = circles(import_graph(modules_of(tmp_path, ["pack"])))

    assert found == [["pack.one", "pack.three", "pack.two"]]


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


def modules_of(root: Path, packages: list[str]) -> dict[str, Path]:
    """Every module below `packages`, by its dotted name."""
    files = [file for package in packages for file in python_files(root / package)]
    return {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def layer_of(module: str) -> str:
    """The folder or file of its package that a module is in; empty for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def import_graph(modules: dict[str, Path]) -> dict[str, set[str]]:
    """For each module those of the others that it imports, anywhere in its file."""
    graph: dict[str, set[str]] = {}
    for module, file in modules.items():
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        names = {name for node in nodes for name in imported_modules(node)}

        graph[module] = {name for name in names if name in modules and name != module}
    return graph


def imported_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that reach each other."""
    reach = {module: reachable(graph, module) for module in graph}
    groups = {frozenset(other for other in reach[module] if module in reach[other]) for module in graph}
    return sorted(sorted(group) for group in groups if group)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """What `start` imports, directly or through others; `start` itself only in a circle."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for module in graph.get(waiting.pop(), set()) - found:
            found.add(module)
            waiting.append(module)
    return found
