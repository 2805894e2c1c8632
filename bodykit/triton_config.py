"""Triton's configuration files from the manifest: three configurations of one model folder.

`config.pbtxt` runs the graph by ONNX Runtime on processors, `configs/gpu.pbtxt` a TensorRT plan on a GPU, and
`configs/pybe.pbtxt` the graph by a Python model, for servers that have only that backend. Triton takes
`configs/NAME.pbtxt` with `--model-config-name=NAME`. Tensors, batching and queue are the same in all three.
Source: Triton's model_config.proto and docs/user_guide/model_configuration.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bodykit.manifest import Manifest, TensorSpec

MAX_BATCH = 8  # larger batches gain little on a GPU and delay every response in them
# With one instance and two priorities, Triton 2.51 at times leaves a waiting request for half a second: a tenth of the
# calls of 8 clients, none of them with two instances (docs/triton.md).
INSTANCES = 2
INTERACTIVE, BULK = 1, 2  # Triton's priorities: 1 is the highest, 0 stands for the default
# Waiting requests per priority level. At 8 a batch that is 8 batches; requests beyond are better refused immediately.
MAX_QUEUE = 64
# A request may ask for a shorter timeout than this, never a longer one, so this is the longest useful deadline.
QUEUE_TIMEOUT_S = 60
DTYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}
SHA256_PARAMETER = "sha256"  # of the graph, so that a client can tell which network is served

PYTHON_MODEL = Path("1") / "model.py"
PYTHON_MODEL_TEXT = '''"""What Triton's Python backend loads; the package `depthhmr` must be installed in the server's Python."""

from service.engines.triton_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


@dataclass(frozen=True)
class Server:
    """What differs between the ways to run the model."""

    path: Path  # below the model folder
    purpose: str
    backend: str
    model_file: str
    kind: str


SERVERS = (
    Server(Path("config.pbtxt"), "ONNX Runtime on processors", "onnxruntime", "model.onnx", "KIND_CPU"),
    Server(
        Path("configs") / "gpu.pbtxt",
        "a TensorRT plan, built on the GPU that serves it",
        "tensorrt",
        "model.plan",
        "KIND_GPU",
    ),
    Server(Path("configs") / "pybe.pbtxt", "ONNX Runtime in the Python backend", "python", "model.py", "KIND_CPU"),
)


def triton_files(manifest: Manifest) -> dict[Path, str]:
    """Every file that Triton needs beside the graph: path below the model folder -> content."""
    return {server.path: "\n".join(_lines(manifest, server)) + "\n" for server in SERVERS} | {
        PYTHON_MODEL: PYTHON_MODEL_TEXT
    }


def write_triton_files(manifest: Manifest, folder: Path) -> list[Path]:
    """Write `triton_files` into the model folder and return their paths."""
    written = []
    for relative, text in triton_files(manifest).items():
        path = Path(folder) / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _lines(manifest: Manifest, server: Server) -> Iterator[str]:
    yield f"# {server.purpose}. Written by `depthhmr triton files` from manifest.json: change that, not this."
    yield f'name: "{manifest.name}"'
    yield f'backend: "{server.backend}"'
    yield f'default_model_filename: "{server.model_file}"'
    yield f"max_batch_size: {MAX_BATCH}"
    for side, specs in (("input", manifest.inputs), ("output", manifest.outputs)):
        yield f"{side} ["
        yield ",\n".join(f'  {{ name: "{spec.name}" {_type(spec)} }}' for spec in specs)
        yield "]"
    yield f"instance_group [ {{ kind: {server.kind} count: {INSTANCES} }} ]"
    yield "version_policy { latest { num_versions: 1 } }"
    # No max_queue_delay: a single client would pay it in full. Requests that arrive during a batch are merged anyway.
    yield "dynamic_batching {"
    yield f"  priority_levels: {BULK}"
    yield f"  default_priority_level: {BULK}"
    yield "  default_queue_policy {"
    yield "    timeout_action: REJECT"
    yield f"    default_timeout_microseconds: {QUEUE_TIMEOUT_S * 1_000_000}"
    yield "    allow_timeout_override: true"
    yield f"    max_queue_size: {MAX_QUEUE}"
    yield "  }"
    yield "}"
    yield "model_warmup ["
    yield ",\n".join(_warm_up(manifest, batch) for batch in (1, MAX_BATCH))
    yield "]"
    yield f'parameters {{ key: "{SHA256_PARAMETER}" value {{ string_value: "{manifest.sha256}" }} }}'


def _type(spec: TensorSpec) -> str:
    dims = ", ".join(str(axis) for axis in spec.shape[1:])  # without the batch axis
    return f"data_type: {DTYPES[spec.dtype]} dims: [ {dims} ]"


def _warm_up(manifest: Manifest, batch: int) -> str:
    inputs = "\n".join(
        f'    inputs {{ key: "{spec.name}" value {{ {_type(spec)} random_data: true }} }}' for spec in manifest.inputs
    )
    return f'  {{\n    name: "batch {batch}" batch_size: {batch}\n{inputs}\n  }}'
