"""Differences of two engines' outputs on the same pictures, in meaningful units, and their limits.

Rounding may change the order of queries, so each person of the reference is matched among all queries of the other. A few
decisions are comparisons (which cell is a peak, which of two queries is in front): there the smallest difference leads to
another, equally good result. Such strays are counted and limited.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from bodykit.errors import UserError

LOW_SCORE = 0.3  # a query below is no person, and its pose is noise
TYPICAL = 95  # percentile that must be within the limit
STRAY = 10  # times the limit: a person this far off is a stray
STRAY_SHARE = 0.02  # of the people; measured 0.006 (docs/tensorrt.md)


@dataclass(frozen=True)
class Limit:
    """The limit of the typical difference of one output. The numbers are the changes of the network's outputs, rounded, when
    one colour value in a hundred rises by one grey level (docs/tensorrt.md): no camera repeats its pixels that well."""

    output: str
    measure: str
    unit: str
    limit: float


LIMITS = (
    Limit("scores", "score", "", 0.002),
    Limit("rotations", "angle of the worst joint", "degrees", 4.0),
    Limit("betas", "worst coefficient", "", 0.004),
    Limit("translation", "distance", "m", 0.015),
    Limit("boxes", "worst side", "px", 0.6),
    Limit("depth", "human cell", "m", 0.004),
)
REGION_LIMIT = 0.002  # share of the depth map's cells that may be human for one engine alone


@dataclass(frozen=True)
class Difference:
    """The spread of one output's differences over all people (over all human cells, for depth), without strays if few."""

    limit: Limit
    median: float
    typical: float
    worst: float

    @property
    def fits(self) -> bool:
        return self.typical <= self.limit.limit


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`."""

    pictures: int
    people: int
    strays: int
    region: float  # share of depth cells that are human for one side alone
    differences: tuple[Difference, ...]
    not_finite: Mapping[str, int]  # output -> pictures with a NaN or an infinity in it

    @property
    def strays_allowed(self) -> int:
        return math.ceil(STRAY_SHARE * self.people)

    def faults(self) -> list[str]:
        """One sentence for each exceeded limit; empty if the outputs agree."""
        found = [
            f"{name} is NaN or infinite in {count} of {self.pictures} pictures"
            for name, count in self.not_finite.items()
        ]
        found += [
            f"{item.limit.output} ({item.limit.measure}) differs by {item.typical:.3g} {item.limit.unit}".rstrip()
            + f" for 1 person in 20, {item.limit.limit:g} allowed (worst {item.worst:.3g})"
            for item in self.differences
            if not item.fits
        ]
        if self.strays > self.strays_allowed:
            found.append(f"{self.strays} of {self.people} people are strays, {self.strays_allowed} allowed")
        if self.region > REGION_LIMIT:
            found.append(f"{self.region:.2%} of the depth cells change sides, {REGION_LIMIT:.2%} allowed")
        return found

    def table(self) -> list[str]:
        """The comparison as lines of text."""
        rows = [f"{'output':<12} {'what':<25} {'median':>9} {'1 in 20':>9} {'worst':>9} {'allowed':>9}  unit"]
        for item in self.differences:
            numbers = "".join(f" {value:>9.2g}" for value in (item.median, item.typical, item.worst, item.limit.limit))
            rows.append(
                f"{item.limit.output:<12} {item.limit.measure:<25}{numbers}  {item.limit.unit}"
                + ("" if item.fits else "  TOO FAR")
            )
        rows.append(
            f"{self.people} people in {self.pictures} pictures; decided differently: {self.strays} "
            f"(at most {self.strays_allowed}); depth cells that change sides: {self.region:.3%} "
            f"(at most {REGION_LIMIT:.1%})"
        )
        return rows

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def compare(reference: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> Comparison:
    """Outputs of the contract for the same pictures, batch first. UserError if the reference finds nobody."""
    pictures = len(reference["scores"])
    broken = {name: ~np.isfinite(other[name]).reshape(pictures, -1).all(1) for name in reference}
    not_finite = {name: int(rows.sum()) for name, rows in broken.items() if rows.any()}
    other = {name: np.nan_to_num(values, nan=1e6, posinf=1e6, neginf=-1e6) for name, values in other.items()}
    people = [row for number in range(pictures) for row in _people_of(reference, other, number)]
    if not people:
        raise UserError(
            f"the network finds nobody with a score above {LOW_SCORE} in these {pictures} pictures; "
            "expected pictures with people in them (--images FOLDER)"
        )
    measured = np.array(people)  # [people, 5], in the order of LIMITS
    limits = np.array([item.limit for item in LIMITS[:-1]])
    stray = (measured > STRAY * limits).any(1)
    human, human_other = reference["depth"] > 0, other["depth"] > 0
    cells = np.abs(reference["depth"] - other["depth"])[human & human_other]
    found = Comparison(
        pictures=pictures,
        people=len(people),
        strays=int(stray.sum()),
        region=float((human != human_other).mean()),
        differences=(),
        not_finite=not_finite,
    )
    few = found.strays <= found.strays_allowed  # if there are more, they count like all others
    columns = [*(measured[~stray] if few else measured).T, cells]
    return replace(found, differences=tuple(map(_spread, LIMITS, columns)))


def _spread(limit: Limit, values: np.ndarray) -> Difference:
    if not len(values):
        return Difference(limit, 0.0, 0.0, 0.0)
    return Difference(limit, float(np.median(values)), float(np.percentile(values, TYPICAL)), float(values.max()))


def _people_of(
    reference: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], number: int
) -> list[tuple[float, ...]]:
    """Differences of one picture's people, each against the most similar free query of the other side."""
    scores, boxes = reference["scores"][number], reference["boxes"][number]
    free = np.ones(len(scores), bool)
    found: list[tuple[float, ...]] = []
    for query in np.argsort(-scores):
        if scores[query] < LOW_SCORE:
            break
        side = max(1.0, float((boxes[query, 2:] - boxes[query, :2]).max()))
        unlike = np.abs(other["boxes"][number] - boxes[query]).max(-1) / side
        unlike += np.abs(other["scores"][number] - scores[query])
        match = int(np.where(free, unlike, np.inf).argmin())
        free[match] = False
        pair = {
            name: (reference[name][number][query], other[name][number][match]) for name in reference if name != "depth"
        }
        found.append(
            (
                float(np.abs(np.subtract(*pair["scores"]))),
                float(_angles(*pair["rotations"]).max()),
                float(np.abs(np.subtract(*pair["betas"])).max()),
                float(np.linalg.norm(np.subtract(*pair["translation"]))),
                float(np.abs(np.subtract(*pair["boxes"])).max()),
            )
        )
    return found


def _angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between rotations [..., 3, 3]. By the chord: the arc cosine of a trace has steps of 0.04 degrees in float32."""
    chord = np.sqrt(np.square(a - b).sum((-1, -2)))
    return np.degrees(2 * np.arcsin(np.clip(chord / (2 * math.sqrt(2)), 0, 1)))
