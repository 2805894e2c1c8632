"""manifest.json: what a model folder holds, and the tensor contract between the network and the engines.

A model folder is Triton's layout: `manifest.json` beside `1/model.onnx`. The export writes it and every engine reads
it; names, shapes and the input size are defined here alone.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from bodykit.errors import UserError

FILE_NAME = "manifest.json"
ONNX_PATH = Path("1") / "model.onnx"
DTYPES = ("uint8", "float32")
INPUT_NAMES = ("image", "intrinsics")
OWN_GRAPH = "own"  # as the name of a variant: none
OUTPUT_NAMES = ("scores", "rotations", "betas", "translation", "boxes", "depth")


class ManifestError(UserError):
    """The model folder is incomplete, or does not match its manifest."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, numpy dtype and shape of one tensor; -1 is a free axis (the batch)."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def matches(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == len(self.shape) and all(
            wanted in (-1, got) for wanted, got in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True)
class BodyId:
    """The body whose betas and joints the network predicts."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Variant:
    """Another graph of the same network, with the same tensors: made faster or smaller, at a price that `parity` states."""

    name: str
    precision: str  # of its weights and its arithmetic: int8, bfloat16, ...
    graph: str  # path in the model folder
    sha256: str
    parity: Mapping[str, Any]  # how far its answers lie from those of the manifest's own graph, and over what

    def __post_init__(self) -> None:
        if not self.name or self.name == OWN_GRAPH:
            raise ManifestError(f"a variant needs a name other than {OWN_GRAPH!r}, got {self.name!r}")
        _check_graph_path(self.graph)
        if not self.parity:
            raise ManifestError(f"the variant {self.name} must state its parity with the network's own graph")


@dataclass(frozen=True)
class Manifest:
    """The facts of one exported network. `sha256` is that of the file `graph`; `scores` are its benchmark figures."""

    name: str
    version: str
    preset: str
    input_size: int  # S, pixels
    queries: int  # K
    threshold: float  # score from which a query counts as a person, (0, 1]
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    body: BodyId
    data: str
    license: str
    sha256: str
    scores: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    graph: str = ONNX_PATH.as_posix()  # path in the model folder
    variants: tuple[Variant, ...] = ()

    def __post_init__(self) -> None:
        _check_graph_path(self.graph)
        if len(names := {variant.name for variant in self.variants}) < len(self.variants):
            raise ManifestError(f"the variants must have different names, got {', '.join(sorted(names))}")
        if self.input_size < 1 or self.queries < 1:
            raise ManifestError(f"input_size and queries must be at least 1, got {self.input_size} and {self.queries}")
        if not 0 < self.threshold <= 1:
            raise ManifestError(f"threshold must lie in (0, 1], got {self.threshold}")
        _require_tensors("inputs", self.inputs, INPUT_NAMES)
        _require_tensors("outputs", self.outputs, OUTPUT_NAMES)
        image = self.tensor("image")
        if image.shape != (-1, self.input_size, self.input_size, 3):
            raise ManifestError(
                f"tensor image must have shape [-1, {self.input_size}, {self.input_size}, 3], got {list(image.shape)}"
            )

    def tensor(self, name: str) -> TensorSpec:
        """The input or output of that name; KeyError if there is none."""
        for spec in (*self.inputs, *self.outputs):
            if spec.name == name:
                return spec
        raise KeyError(name)

    def choose(self, variant: str | None) -> "Manifest":
        """The manifest of that variant, whose graph, hash and precision stand where the own graph's stood; None and `own`
        leave all as it is. Raises ManifestError when there is none of that name.
        """
        if variant is None or variant == OWN_GRAPH:
            return self
        for found in self.variants:
            if found.name == variant:
                return replace(self, precision=found.precision, graph=found.graph, sha256=found.sha256)
        known = ", ".join([OWN_GRAPH, *(found.name for found in self.variants)])
        raise ManifestError(f"the network {self.name} {self.version} has no variant {variant!r}; it has {known}")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read `folder`/manifest.json. Raises ManifestError if it is missing, unreadable or incomplete."""
        path = Path(folder) / FILE_NAME
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ManifestError(f"there is no model in {folder}: {FILE_NAME} is missing") from error
        except (OSError, ValueError) as error:
            raise ManifestError(f"{path} cannot be read as JSON: {error}") from error
        if not isinstance(raw, dict):
            raise ManifestError(f"{path} must hold a JSON object, got {type(raw).__name__}")
        try:
            return cls.from_json(raw)
        except ManifestError as error:
            raise ManifestError(f"{path}: {error}") from error

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Manifest":
        """Build from the parsed JSON object; unknown fields are ignored, so that newer files load."""
        try:
            return cls(
                name=str(raw["name"]),
                version=str(raw["version"]),
                preset=str(raw["preset"]),
                input_size=int(raw["input_size"]),
                queries=int(raw["queries"]),
                threshold=float(raw["threshold"]),
                opset=int(raw["opset"]),
                inputs=tuple(_tensor(item) for item in raw["inputs"]),
                outputs=tuple(_tensor(item) for item in raw["outputs"]),
                body=BodyId(*(str(raw["body"][key]) for key in ("name", "version", "sha256"))),
                data=str(raw["data"]),
                license=str(raw["license"]),
                sha256=str(raw["sha256"]),
                scores=dict(raw.get("scores") or {}),
                precision=str(raw.get("precision", "float32")),
                graph=str(raw.get("graph", ONNX_PATH.as_posix())),
                variants=tuple(_variant(item) for item in raw.get("variants") or ()),
            )
        except KeyError as error:
            raise ManifestError(f"the field {error.args[0]!r} is missing") from error
        except (TypeError, ValueError) as error:
            raise ManifestError(f"a field has the wrong form: {error}") from error

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def write(self, folder: Path) -> Path:
        """Write `folder`/manifest.json and return its path; creates the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE_NAME
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")
        return path

    def verified_onnx(self, folder: Path) -> bytes:
        """The bytes of `folder`/1/model.onnx, checked against their sha256. Raises ManifestError otherwise."""
        path = Path(folder) / self.graph
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ManifestError(f"the network {path} cannot be read: {error.strerror or error}") from error
        found = sha256_of(content)
        if found != self.sha256:
            raise ManifestError(
                f"{path} is not the network of its manifest (truncated, or replaced?): expected sha256 {self.sha256}, "
                f"got {found} over {len(content)} bytes"
            )
        return content


def sha256_of(content: bytes) -> str:
    """Hexadecimal sha256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def _variant(raw: Mapping[str, Any]) -> Variant:
    name, precision, graph, sha256 = (str(raw[key]) for key in ("name", "precision", "graph", "sha256"))
    return Variant(name, precision, graph, sha256, dict(raw["parity"]))


def _check_graph_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise ManifestError(f"a graph must be a file in the model folder, got {path!r}")


def _tensor(raw: Mapping[str, Any]) -> TensorSpec:
    spec = TensorSpec(str(raw["name"]), str(raw["dtype"]), tuple(int(axis) for axis in raw["shape"]))
    if spec.dtype not in DTYPES:
        raise ManifestError(f"tensor {spec.name} has dtype {spec.dtype}, expected one of {', '.join(DTYPES)}")
    return spec


def _require_tensors(what: str, specs: tuple[TensorSpec, ...], names: tuple[str, ...]) -> None:
    found = {spec.name for spec in specs}
    if missing := [name for name in names if name not in found]:
        raise ManifestError(f"{what} lack {', '.join(missing)}; they list {', '.join(sorted(found)) or 'nothing'}")
