"""The model folder of a checked graph: 1/model.onnx, manifest.json and Triton's files."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bodykit.body import Body
from bodykit.errors import UserError
from bodykit.manifest import ONNX_PATH, OUTPUT_NAMES, BodyId, Manifest, TensorSpec, sha256_of
from bodykit.triton_config import write_triton_files
from depthhmr.export.form import output_shapes
from depthhmr.export.report import Report

SCORE_DIGITS = 4
PHOTO_MARK = "people_free"  # a key that only reports of `depthhmr evaluate --photos` have


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts of the manifest that the graph does not hold."""

    name: str = "depthhmr"
    version: str = "1"
    preset: str
    threshold: float  # score from which a query counts as a person, (0, 1]
    data: str  # what it was trained on
    license: str = "Apache-2.0"
    scores: Mapping[str, float] = field(default_factory=dict)


class NetworkRejected(UserError):
    """The graph failed checks; nothing was written."""

    def __init__(self, report: Report, folder: Path) -> None:
        failed = report.failed
        first = "; ".join(f"{check.name}: expected {check.expected}, got {check.got}" for check in failed)
        super().__init__(
            f"{len(failed)} of {len(report.checks)} checks failed, nothing was written to {folder}: {first}"
        )
        self.report = report


def write_folder(content: bytes, report: Report, facts: Facts, body: Body, folder: Path) -> Path:
    """Writes or replaces the folder -> the graph. Raises NetworkRejected unless every check passed."""
    if not report.passed:
        raise NetworkRejected(report, folder)
    manifest = manifest_of(content, report, facts, body)
    graph = folder / ONNX_PATH
    graph.parent.mkdir(parents=True, exist_ok=True)
    partial = graph.with_name(f".{graph.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, graph)
    manifest.write(folder)
    write_triton_files(manifest, folder)
    return graph


def manifest_of(content: bytes, report: Report, facts: Facts, body: Body) -> Manifest:
    """The manifest of a graph that passed. Raises ManifestError for invalid facts."""
    size, shapes = report.size, output_shapes(report.queries, report.map_shape)
    return Manifest(
        name=facts.name,
        version=facts.version,
        preset=facts.preset,
        input_size=size,
        queries=report.queries,
        threshold=facts.threshold,
        opset=report.opset,
        inputs=(TensorSpec("image", "uint8", (-1, size, size, 3)), TensorSpec("intrinsics", "float32", (-1, 4))),
        outputs=tuple(TensorSpec(name, "float32", (-1, *shapes[name])) for name in OUTPUT_NAMES),
        body=BodyId(body.name, body.version, body.sha256),
        data=facts.data,
        license=facts.license,
        sha256=sha256_of(content),
        scores=facts.scores,
    )


def read_scores(path: Path) -> dict[str, float]:
    """The figures of a JSON file of `depthhmr evaluate`; those on photographs begin with photo_. Raises UserError for others."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the scores {path}: {error}") from error
    if not isinstance(raw, dict):
        raise UserError(
            f"expected the JSON object that `depthhmr evaluate --json` writes in {path}, got {type(raw).__name__}"
        )
    figures = _photo_figures(raw) if PHOTO_MARK in raw else raw
    return {
        name: round(value, SCORE_DIGITS)
        for name, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _photo_figures(raw: Mapping[str, Any]) -> dict[str, Any]:
    shares = {f"photo_pck_torso_{share}": value for share, value in raw.get("pck", {}).items()}
    false = {f"photo_false_per_100_{name}": row["per_100"] for name, row in raw[PHOTO_MARK].items()}
    return {"photo_recall": raw.get("recall")} | shares | false
