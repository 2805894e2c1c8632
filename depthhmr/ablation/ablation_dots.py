"""The scores of an ablation as a picture: one dot per network, one row per variant. Needs matplotlib."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from depthhmr.ablation.ablation_page import MEASURES, Result, values
from depthhmr.ablation.variants import VARIANTS
from depthhmr.training.curves import FAINT, INK, RUN_COLOURS

SHOWN = MEASURES[:3]  # where depth should help; poses hardly change at small budgets


def draw_dots(results: Sequence[Result], picture: Path) -> None:
    """Writes a PNG; a dot is a seed, a bar the mean. Needs at least one result."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = {row["variant"] for row in results}
    variants = [variant for variant in VARIANTS if variant.name in names]
    figure = Figure(figsize=(12, 0.6 + 0.36 * len(variants)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, measure in zip(figure.subplots(1, len(SHOWN), sharey=True), SHOWN, strict=True):
        for row, variant in enumerate(variants):
            numbers = list(values(results, variant.name, measure).values())
            axes.scatter(numbers, np.full(len(numbers), row), s=26, color=RUN_COLOURS[0], alpha=0.75, linewidth=0)
            if numbers:
                axes.plot([np.mean(numbers)] * 2, [row - 0.3, row + 0.3], color=INK, linewidth=1.6)
        axes.set_title(f"{measure.title} ({'right' if measure.sign > 0 else 'left'} is better)", fontsize=10, color=INK)
        axes.set_yticks(range(len(variants)), [f"{v.letter}. {v.title}" for v in variants])
        axes.grid(axis="x", color=FAINT)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(colors=INK, length=0)
    axes.invert_yaxis()  # shared by all
    figure.savefig(picture)
