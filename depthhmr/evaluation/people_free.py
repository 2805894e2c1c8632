"""Pictures without people, on which every reported person is false.

Two sets: a folder of the user's own photographs, and rendered places of depthhmr.synth from seeds that no split holds.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bodykit.errors import UserError
from bodykit.picture_files import PICTURE_SUFFIXES, picture_files
from depthhmr.evaluation.photos import UNLABELLED, Photo, PhotoPrediction
from depthhmr.synth.camera import sample_lenses
from depthhmr.synth.crowd import COUNT_CHANCE

if TYPE_CHECKING:
    from depthhmr.synth.scene import Generator

FIRST_SEED = 40_000_000  # beyond every split of depthhmr.synth.splits
RENDERED = 200  # pictures of the built-in set


@dataclass(frozen=True, eq=False)
class EmptyPlace:
    """A rendered picture without people: furniture, bushes and posts in a place."""

    seed: int
    rgb: np.ndarray  # uint8[S, S, 3]

    @property
    def name(self) -> str:
        return f"seed-{self.seed}"

    @property
    def joints(self) -> np.ndarray:
        return UNLABELLED

    @property
    def intrinsics(self) -> None:
        """None: the default camera, as for a photograph."""
        return None

    def pixels(self) -> np.ndarray:
        return self.rgb


@dataclass(frozen=True)
class FalsePeople:
    """False people of a set of pictures without people."""

    pictures: int
    false: int
    per_100: float  # false people per 100 pictures
    pictures_with_false: int


def empty_places(generator: "Generator", count: int = RENDERED) -> list[EmptyPlace]:
    """The first `count` pictures from seed 40,000,000 on for which the generator draws no people (one in 25)."""
    places: list[EmptyPlace] = []
    for seed in itertools.count(FIRST_SEED):
        if len(places) == count:
            break
        if _looks_empty(generator, seed) and not (sample := generator.sample(seed)).people:
            places.append(EmptyPlace(seed, sample.rgb))
    return places


def _looks_empty(generator: "Generator", seed: int) -> bool:
    """The generator's first draws alone: 0.1 ms instead of 25 for a rendered sample, which decides."""
    rng = np.random.Generator(np.random.PCG64(seed))
    sample_lenses(rng, 1, generator.size)
    return bool(rng.random() < COUNT_CHANCE[0])


def read_people_free(folder: Path) -> list[Photo]:
    """All pictures below a folder, by name. Raises UserError without any."""
    if not folder.is_dir():
        raise UserError(f"expected a folder of pictures without people at {folder}, found none")
    paths = picture_files(folder.rglob("*"))
    if not paths:
        raise UserError(f"expected pictures ({', '.join(PICTURE_SUFFIXES)}) in {folder}, found none")
    return [Photo(path, UNLABELLED) for path in paths]


def count_false(predictions: Sequence[PhotoPrediction], threshold: float) -> FalsePeople:
    """The people reported on pictures without people; a query is a person from `threshold` on."""
    reported = np.array([len(prediction.people(threshold)) for prediction in predictions], dtype=int)
    return FalsePeople(len(reported), int(reported.sum()), float(100 * reported.mean()), int((reported > 0).sum()))
