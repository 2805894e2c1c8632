"""Scores a network on labelled pictures. Needs the tensor contract alone: no torch, no service.

`predictions.collect` runs the network once; `score` and `best_threshold` work on its predictions. The measures are defined
in docs/evaluation.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bodykit.body import Body
from depthhmr.evaluation import metrics
from depthhmr.evaluation.person_scores import MIN_HEIGHT, PersonScores, match, measure_people
from depthhmr.evaluation.predictions import DepthTally, Predict, Prediction, collect

if TYPE_CHECKING:
    from depthhmr.synth.scene import Sample

DRAWS = 300  # of the bootstrap

# Name of a split -> column, and the edges and name of each class.
SPLITS: dict[str, tuple[str, tuple[tuple[float, float, str], ...]]] = {
    "distance": ("distance", ((0, 3, "under 3 m"), (3, 5, "3 to 5 m"), (5, 8, "5 to 8 m"), (8, np.inf, "over 8 m"))),
    "height": ("height", ((0, 0.4, "under 0.4"), (0.4, 0.7, "0.4 to 0.7"), (0.7, np.inf, "over 0.7"))),
    "visible": ("visible", ((0, 0.6, "under 60 %"), (0.6, 0.9, "60 to 90 %"), (0.9, np.inf, "over 90 %"))),
    "facing": ("towards", ((-np.inf, -0.5, "away"), (-0.5, 0.5, "sideways"), (0.5, np.inf, "to the camera"))),
}


@dataclass(frozen=True)
class PeopleRow:
    """One class of people; pose errors in millimetres and root errors in metres, over the people found. NaN without any."""

    name: str
    people: int
    recall: float
    mve: float
    mpjpe: float
    pa_mpjpe: float
    root_median: float


@dataclass(frozen=True)
class SplitRow(PeopleRow):
    """A class of rendered people, whose facing is known as well."""

    facing_median: float


@dataclass(frozen=True)
class Scores:
    """The scores of one network on one set. NaN if nobody was found."""

    f1: float
    precision: float
    recall: float
    mve: float  # mm
    mpjpe: float  # mm
    pa_mpjpe: float  # mm
    nmve: float  # mm, mve / f1
    nmje: float  # mm, mpjpe / f1
    root_mean: float  # m
    root_median: float  # m
    facing_mean: float  # degrees
    facing_median: float  # degrees
    facing_flipped: float  # share of the found people whose facing is more than 90 degrees off
    orientation_median: float  # degrees
    pcdr: float  # share of pairs in the right order of depth, missed people included
    pck: float  # at 5 % of the longer side of the box
    depth_error: float  # mean |z - z'| / z of the human depth map where both have a human
    depth_iou: float  # of the human region of that map
    threshold: float
    counts: dict[str, int]
    splits: dict[str, list[SplitRow]]
    intervals: dict[str, tuple[float, float]]  # 95 %, of the measures over people

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; NaN becomes null."""
        return without_nan(asdict(self))


def evaluate(
    predict: Predict,
    samples: Iterable["Sample"],
    body: Body,
    threshold: float,
    *,
    min_height: float = MIN_HEIGHT,
    batch: int = 8,
) -> Scores:
    """Runs the network on all samples and scores its people, those with a score of at least `threshold`."""
    return score(list(collect(predict, samples, body, batch=batch)), body, threshold, min_height=min_height)


def score(predictions: Sequence[Prediction], body: Body, threshold: float, *, min_height: float = MIN_HEIGHT) -> Scores:
    """The scores of these predictions; a query is a person from `threshold` on."""
    scored = measure_people(predictions, body, threshold, min_height=min_height)
    found, people = scored.found, scored.people
    depth = sum((prediction.depth for prediction in predictions), DepthTally())
    return Scores(
        **figures(scored),
        depth_error=depth.relative_error / depth.shared if depth.shared else np.nan,
        depth_iou=depth.shared / depth.either if depth.either else np.nan,
        threshold=threshold,
        counts={
            "images": len(predictions),
            "people": len(people),
            "ignored": int(scored.ignored.sum()),
            "found": len(found),
            "missed": len(people) - len(found),
            "false": int(scored.false.sum()),
            "pairs": int(scored.pairs.sum()),
        },
        splits={name: _split(people, column, classes) for name, (column, classes) in SPLITS.items()},
        intervals=intervals(scored),
    )


def figures(scored: PersonScores) -> dict[str, float]:
    """The fields of `Scores` that are computed over people, by name."""
    found = scored.found
    missed = len(scored.people) - len(found)
    precision, recall, f1 = metrics.precision_recall_f1(len(found), int(scored.false.sum()), missed)
    mve, mpjpe, pa_mpjpe = (1000 * _mean(found[name]) for name in ("mve", "mpjpe", "pa_mpjpe"))
    pairs = scored.pairs.sum()
    return {
        "f1": f1,
        "precision": precision,
        "recall": recall,
        "mve": mve,
        "mpjpe": mpjpe,
        "pa_mpjpe": pa_mpjpe,
        "nmve": mve / f1 if f1 else np.nan,
        "nmje": mpjpe / f1 if f1 else np.nan,
        "root_mean": _mean(found["root"]),
        "root_median": _median(found["root"]),
        "facing_mean": _mean(found["facing"]),
        "facing_median": _median(found["facing"]),
        "facing_flipped": _mean(found["facing"] > 90),
        "orientation_median": _median(found["orientation"]),
        "pcdr": float(scored.in_order.sum() / pairs) if pairs else np.nan,
        "pck": _mean(found["pck"]),
    }


def intervals(scored: PersonScores) -> dict[str, tuple[float, float]]:
    """95 % intervals of `figures`: percentile bootstrap over pictures, always with the same draws.

    Whole pictures are drawn, because people in one picture share its difficulty.
    """
    rng, count = np.random.default_rng(0), len(scored.false)
    draws = [figures(scored.pick(rng.integers(0, count, count))) for _ in range(DRAWS if count else 0)]
    names = draws[0] if draws else ()
    return {name: interval(np.array([draw[name] for draw in draws])) for name in names}


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 2.5 and 97.5 % quantiles of these draws; NaN if none is known."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)


def best_threshold(
    predictions: Sequence[Prediction], *, min_height: float = MIN_HEIGHT, thresholds: Sequence[float] | None = None
) -> tuple[float, list[tuple[float, float, float, float]]]:
    """The threshold of the best F1, and (threshold, precision, recall, F1) of every one tried.

    Use it on the `val` split: a threshold chosen on the reported people flatters the network.
    """
    rows = []
    for threshold in np.arange(0.05, 0.96, 0.05).round(2).tolist() if thresholds is None else thresholds:
        tally = np.zeros(3, dtype=int)
        for prediction in predictions:
            matching = match(prediction, threshold, min_height)[2]
            tally += len(matching.true), len(matching.false), len(matching.missed)
        rows.append((threshold, *metrics.precision_recall_f1(*tally.tolist())))
    return max(rows, key=lambda row: row[3])[0], rows


def _split(people: np.ndarray, column: str, classes: tuple[tuple[float, float, str], ...]) -> list[SplitRow]:
    rows = []
    for low, high, name in classes:
        members = people[(people[column] >= low) & (people[column] < high)]
        found = members[members["query"] >= 0]
        rows.append(
            SplitRow(
                name=name,
                people=len(members),
                recall=len(found) / len(members) if len(members) else np.nan,
                mve=1000 * _mean(found["mve"]),
                mpjpe=1000 * _mean(found["mpjpe"]),
                pa_mpjpe=1000 * _mean(found["pa_mpjpe"]),
                root_median=_median(found["root"]),
                facing_median=_median(found["facing"]),
            )
        )
    return rows


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else np.nan


def without_nan(value: Any) -> Any:
    """The same plain values with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value
