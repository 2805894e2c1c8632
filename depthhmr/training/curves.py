"""Draws the log of one or more training runs as a picture: the loss, and the measures on the validation images.

A log has one JSON object per line: `step`, `images`, `minutes`, and either `loss.*` or `val.*` values.
Needs matplotlib.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bodykit.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT = "#333333", "#dddddd"
RUN_COLOURS = ("#2f6fb3", "#d9822b", "#3d9a68", "#b84a6e")
SMOOTHING = 0.05  # of the length of the run: half-width of the running mean of the loss
MARKERS_BELOW = 30  # validations; a dot on each of more than these is clutter


@dataclass(frozen=True)
class Panel:
    """One validation measure. `goal` says which way is better."""

    key: str
    title: str
    goal: str


PANELS = (
    Panel("val.f1", "people found, F1", "up"),
    Panel("val.mpjpe", "joints, MPJPE in mm", "down"),
    Panel("val.pa_mpjpe", "pose, PA-MPJPE in mm", "down"),
    Panel("val.root_median", "place, median in m", "down"),
    Panel("val.facing_median", "facing, median in degrees", "down"),
)


def draw_curves(logs: Mapping[str, Path], picture: Path) -> None:
    """Writes a PNG of 6 panels; `logs` are log.jsonl files by the name of their run, drawn in this order.

    Raises UserError for a log that is missing or has nothing to draw.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    runs = {name: read_log(path) for name, path in logs.items()}
    figure = Figure(figsize=(12, 6.4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    first, *others = figure.subplots(2, 3).ravel()
    _draw_loss(first, runs)
    for axes, panel in zip(others, PANELS, strict=True):
        _draw_measure(axes, panel, runs)
    longest = max(record["images"] for records in runs.values() for record in records) / 1000
    for axes in (first, *others):
        axes.set_xlim(0, 1.14 * longest)  # the space at the end is for the last value
    if len(runs) > 1:
        first.legend(frameon=False, fontsize=9)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, metadata={"Software": None})


def read_log(path: Path) -> list[dict[str, float]]:
    """The records of a log; a last line that is still being written is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"cannot read the training log {path}: {error.strerror or error}") from error
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise UserError(f"{path}: line {number} is not JSON: {line[:60]!r}") from error
    if not records:
        raise UserError(f"the training log {path} is empty")
    return records


def column(records: list[dict[str, float]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Thousands of images and the values of the records that have `key`."""
    having = [record for record in records if record.get(key) is not None]
    return np.array([record["images"] / 1000 for record in having]), np.array([record[key] for record in having])


def total_loss(records: list[dict[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Thousands of images and the sum of all `loss.*` of a record."""
    sums = [
        (record["images"] / 1000, sum(value for key, value in record.items() if key.startswith("loss.")))
        for record in records
        if any(key.startswith("loss.") for key in record)
    ]
    images, loss = np.array(sums).reshape(-1, 2).T
    return images, loss


def _draw_loss(axes: "Axes", runs: Mapping[str, list[dict[str, float]]]) -> None:
    for colour, (name, records) in zip(_colours(runs), runs.items(), strict=True):
        images, loss = total_loss(records)
        axes.plot(images, loss, color=colour, alpha=0.3, linewidth=0.8)
        axes.plot(images, running_mean(loss), color=colour, linewidth=1.8, label=name)
    if all(line.get_ydata().size and np.nanmin(line.get_ydata()) > 0 for line in axes.lines):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
    _dress(axes, "training loss, all terms")


def _draw_measure(axes: "Axes", panel: Panel, runs: Mapping[str, list[dict[str, float]]]) -> None:
    curves = [column(records, panel.key) for records in runs.values()]
    highest = max((values[-1] for _, values in curves if len(values)), default=0)
    for colour, (images, values) in zip(_colours(runs), curves, strict=True):
        marker = "o" if len(values) < MARKERS_BELOW else None
        axes.plot(images, values, color=colour, linewidth=1.8, marker=marker, markersize=3.5)
        if len(values) and np.isfinite(values[-1]):
            end = (images[-1], values[-1])
            side = "bottom" if values[-1] >= highest else "top"  # keeps the last numbers of two runs apart
            style = {"textcoords": "offset points", "color": colour, "fontsize": 9, "va": side}
            axes.annotate(f"{values[-1]:.3g}", end, (5, 0), **style)
    if panel.goal == "up":
        axes.set_ylim(0, 1)
    else:
        axes.set_ylim(bottom=0)
    _dress(axes, panel.title)


def _dress(axes: "Axes", title: str) -> None:
    axes.set_title(title, fontsize=10.5, color=INK, loc="left")
    axes.set_xlabel("thousand images", fontsize=9, color=INK)
    axes.tick_params(labelsize=9, colors=INK)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _colours(runs: Mapping[str, object]) -> list[str]:
    return [RUN_COLOURS[i % len(RUN_COLOURS)] for i in range(len(runs))]


def running_mean(values: np.ndarray) -> np.ndarray:
    """The mean over a window around each value that shrinks at both ends."""
    half = int(len(values) * SMOOTHING)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    low = np.maximum(np.arange(len(values)) - half, 0)
    high = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)
