"""The results of an ablation as tables: the scores of every variant, by distance, size and occlusion, and the claims.

A claim is judged by paired differences: two networks with the same seed saw the same samples in the same order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from depthhmr.ablation.variants import CLAIMS, VARIANTS, AblationClaim

Result = dict[str, Any]  # as ablation.score_one gives it
SURE = 0.95
ENOUGH_SEEDS = 3  # two may agree by chance, and their interval is then narrow


@dataclass(frozen=True)
class Measure:
    """One figure of a result; `sign` is 1 where more is better and -1 where less is."""

    title: str
    read: Callable[[Result], float | None]
    digits: int
    sign: int


def _score(whose: str, name: str, title: str, digits: int, sign: int) -> Measure:
    return Measure(title, lambda result: result[whose][name], digits, sign)


def _class(whose: str, split: str, row: str, name: str, title: str, digits: int, sign: int) -> Measure:
    def read(result: Result) -> float | None:
        rows = {entry["name"]: entry for entry in result[whose]["splits"][split]}
        value: float | None = rows[row][name]
        return value

    return Measure(title, read, digits, sign)


def recall_of(split: str, row: str) -> Measure:
    """Of one class of people, at the threshold where as many are missed as are false."""
    return _class("scores", split, row, "recall", f"recall, {row}", 2, 1)


def root_of(split: str, row: str) -> Measure:
    """Of one class of people, all of them."""
    return _class("everyone", split, row, "root_median", f"root, {row}", 2, -1)


MEASURES = (
    _score("scores", "f1", "F1", 3, 1),
    _score("everyone", "root_median", "root, m", 3, -1),
    _score("everyone", "pcdr", "PCDR0.2", 3, 1),
    _score("everyone", "mpjpe", "MPJPE, mm", 1, -1),
    _score("everyone", "pa_mpjpe", "PA-MPJPE, mm", 1, -1),
)
CLASSES = {
    "distance": ("under 3 m", "3 to 5 m", "5 to 8 m", "over 8 m"),
    "visible": ("under 60 %", "60 to 90 %", "over 90 %"),
    "height": ("under 0.4", "0.4 to 0.7", "over 0.7"),
}
WITHIN_NOISE = "within noise"
HARD = (("distance", "5 to 8 m"), ("visible", "under 60 %"), ("height", "under 0.4"))  # where the paper sees the gain


def values(results: Sequence[Result], variant: str, measure: Measure) -> dict[int, float]:
    """The figure of every seed of a variant that has one."""
    found = {row["seed"]: measure.read(row) for row in results if row["variant"] == variant}
    return {seed: value for seed, value in found.items() if value is not None}


def spread(numbers: Sequence[float], digits: int) -> str:
    """Mean ± standard deviation; without the latter for a single number."""
    if not numbers:
        return "–"
    mean = f"{np.mean(numbers):.{digits}f}"
    return f"{mean} ± {np.std(numbers, ddof=1):.{digits}f}" if len(numbers) > 1 else mean


@dataclass(frozen=True)
class Difference:
    """The gain of one variant over another, by seed; above zero it supports the claim."""

    gains: tuple[float, ...]
    mean: float
    half_width: float  # of the interval of 95 % (Student's t); infinite for one seed

    @property
    def verdict(self) -> str:
        if len(self.gains) < ENOUGH_SEEDS:
            return "too few seeds"
        if abs(self.mean) <= self.half_width:
            return WITHIN_NOISE
        return "yes" if self.mean > 0 else "no, the opposite"


def difference(results: Sequence[Result], claim: AblationClaim, measure: Measure) -> Difference | None:
    """None without a seed of both."""
    from scipy.stats import t

    better, worse = (values(results, name, measure) for name in (claim.better, claim.worse))
    gains = tuple(measure.sign * (better[seed] - worse[seed]) for seed in sorted(better.keys() & worse.keys()))
    if not gains:
        return None
    count = len(gains)
    half_width = t.ppf((1 + SURE) / 2, count - 1) * np.std(gains, ddof=1) / count**0.5 if count > 1 else np.inf
    return Difference(gains, float(np.mean(gains)), float(half_width))


def tables(results: Sequence[Result]) -> str:
    """All tables, in Markdown."""
    parts = [
        "## Scores\n\n" + score_table(results),
        *(
            f"## By {title}\n\nRecall, and the median distance of the roots in metres.\n\n"
            + class_table(results, split)
            for split, title in (("distance", "distance"), ("visible", "visible share"), ("height", "height"))
        ),
        f"## Claims\n\nA cell without a verdict is {WITHIN_NOISE}: its interval holds zero.\n\n" + claim_table(results),
        "## Claims, where people are far, hidden or small\n\n" + hard_table(results),
    ]
    return "\n\n".join(parts) + "\n"


def score_table(results: Sequence[Result]) -> str:
    rows = []
    for variant in VARIANTS:
        own = [row for row in results if row["variant"] == variant.name]
        if own:
            cells = [spread(list(values(own, variant.name, m).values()), m.digits) for m in MEASURES]
            size = f"{own[0]['parameters'] / 1e6:.3f}"
            rows.append([f"{variant.letter}. {variant.title}", size, str(len(own)), *cells])
    return table(["variant", "parameters, M", "seeds", *(m.title for m in MEASURES)], rows)


def class_table(results: Sequence[Result], split: str) -> str:
    """Recall / median root distance of every class of one split."""
    people = {entry["name"]: entry["people"] for entry in results[0]["scores"]["splits"][split]} if results else {}
    rows = []
    for variant in VARIANTS:
        if any(row["variant"] == variant.name for row in results):
            cells = []
            for name in CLASSES[split]:
                recall = values(results, variant.name, recall_of(split, name))
                root = values(results, variant.name, root_of(split, name))
                cells.append(f"{spread(list(recall.values()), 2)} / {spread(list(root.values()), 2)}")
            rows.append([variant.letter, *cells])
    heads = [f"{name} ({people.get(name, 0)} people)" for name in CLASSES[split]]
    return table(["variant", *heads], rows)


def claim_table(results: Sequence[Result]) -> str:
    """Gains of the better over the worse variant with 95 % intervals, oriented so that more supports the claim."""
    return _gains(results, MEASURES)


def hard_table(results: Sequence[Result]) -> str:
    return _gains(results, [measure(split, name) for split, name in HARD for measure in (recall_of, root_of)])


def _gains(results: Sequence[Result], measures: Sequence[Measure]) -> str:
    letters = {variant.name: variant.letter for variant in VARIANTS}
    rows = []
    for claim in CLAIMS:
        cells = []
        for measure in measures:
            found = difference(results, claim, measure)
            if found is None:
                cells.append("–")
                continue
            width = "" if np.isinf(found.half_width) else f" ± {found.half_width:.{measure.digits}f}"
            verdict = "" if found.verdict == WITHIN_NOISE else f": {found.verdict}"
            cells.append(f"{found.mean:+.{measure.digits}f}{width}{verdict}")
        rows.append([f"{claim.text} ({letters[claim.better]} against {letters[claim.worse]})", *cells])
    return table(["claim", *(measure.title for measure in measures)], rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
