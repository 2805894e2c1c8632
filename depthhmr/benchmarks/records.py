"""One record for each true person of a public data set, and the tables that split them.

The records have the columns of `person_scores.PERSON` that a page ranks pictures by, so that `PersonScores` and
`picture_errors` work for public data sets as well.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from depthhmr.benchmarks.people import ABOUT, LABELS, People, nothing_about
from depthhmr.evaluation.evaluation import SPLITS, PeopleRow
from depthhmr.evaluation.metrics import procrustes_distance, root_distance
from depthhmr.evaluation.person_scores import PersonScores, picture_errors

ERRORS = ("mve", "mpjpe", "pa_mpjpe", "mpjpe_24", "pa_mpjpe_24", "root")  # with _24: of SMPL's joints, on 3DPW
PERSON = np.dtype(
    [
        ("image", "i4"),
        ("person", "i4"),
        ("query", "i4"),  # the prediction matched to the person; -1: missed
        *((name, "f8") for name in ERRORS),  # metres; NaN if the person was missed or has no pose of the body in use
        *((name, ABOUT[name]) for name in ABOUT.names or ()),
    ]
)
OCCLUSIONS = tuple((low, low + 10) for low in range(0, 90, 10))  # percent, from (excluded but for 0) to (included)
RANGES = ("distance", "height")  # the classes are those of rendered pictures


def records(true: People, image: int) -> np.ndarray:
    """PERSON records of the true people of a picture, all of them missed."""
    rows = np.zeros(len(true), PERSON)
    rows["image"], rows["person"], rows["query"] = image, np.arange(len(true)), -1
    for name in ERRORS:
        rows[name] = np.nan
    about = nothing_about(len(true)) if true.about is None else true.about
    for name in ABOUT.names or ():
        rows[name] = about[name]
    return rows


def root_and_shape(predicted: People, true: People, n: int, m: int) -> tuple[float, float]:
    """Distance of the pelvis joints, and of SMPL's joints after Procrustes, in metres."""
    first, second = predicted.joints_3d[n], true.joints_3d[m]
    return float(root_distance(first[0], second[0])), float(procrustes_distance(first[None], second[None])[0])


def pooled(rows: Sequence[np.ndarray], false: Sequence[int], ignored: Sequence[int]) -> PersonScores:
    """The records of all pictures together."""
    nothing = np.zeros(len(false), int)
    people = np.concatenate([np.zeros(0, PERSON), *rows])
    return PersonScores(people, np.array(false, int), np.array(ignored, int), nothing, nothing)


def ranking(scored: PersonScores) -> np.ndarray:
    """`picture_errors` [I]; without the people who were found but have no error."""
    people = scored.people
    return picture_errors(replace(scored, people=people[(people["query"] < 0) | ~np.isnan(people["mve"])]))


def tables(people: np.ndarray) -> dict[str, list[PeopleRow]]:
    """Every split with known values, by name; a single kind of people is no split."""
    splits = {name: [_row(title, people[inside]) for title, inside in classes(people, name)] for name in RANGES}
    splits["occlusion"] = [_row(title, people[inside]) for title, inside in classes(people, "occlusion")]
    for name in ("kid", *LABELS):
        kinds = classes(people, name)
        splits[name] = [_row(title, people[inside]) for title, inside in kinds] if len(kinds) > 1 else []
    return {name: rows for name, rows in splits.items() if any(row.people for row in rows)}


def classes(people: np.ndarray, name: str) -> list[tuple[str, np.ndarray]]:
    """Title and members, bool[people], of each class of a split."""
    values = people[name]
    if name == "occlusion":
        return [(f"{low} to {high} %", (values > (low or -1)) & (values <= high)) for low, high in OCCLUSIONS]
    if name in RANGES:
        return [(title, (values >= low) & (values < high)) for low, high, title in SPLITS[name][1]]
    return [(str(label), values == label) for label in np.unique(values) if label]


def _row(name: str, members: np.ndarray) -> PeopleRow:
    found = members[members["query"] >= 0]
    recall = len(found) / len(members) if len(members) else np.nan
    mve, mpjpe, pa_mpjpe = (1000 * mean(found[error]) for error in ("mve", "mpjpe", "pa_mpjpe"))
    roots = found["root"][~np.isnan(found["root"])]
    root = float(np.median(roots)) if len(roots) else np.nan
    return PeopleRow(name, len(members), recall, mve, mpjpe, pa_mpjpe, root)


def mean(values: np.ndarray) -> float:
    """Of the known values; NaN without any."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan
