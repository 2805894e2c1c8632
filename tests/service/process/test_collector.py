"""The garbage collector beside an event loop."""

import gc
import itertools

import pytest

from service.process.collector import LONG_COLLECTION_S, MAX_FREEZES, MIN_SURVIVORS, THRESHOLDS, short_collections


@pytest.fixture(autouse=True)
def plain_collector():
    gc.collect()
    gc.unfreeze()
    yield
    gc.unfreeze()


def ticks(seconds: float):
    """A clock that advances by `seconds` at every reading."""
    return itertools.count(0.0, seconds).__next__


def test_existing_objects_are_frozen_within_the_block_only():
    before = gc.get_threshold()
    with short_collections():
        assert gc.get_freeze_count() > 10_000 and gc.get_threshold() == THRESHOLDS
    assert gc.get_freeze_count() == 0 and gc.get_threshold() == before


def test_survivors_of_a_long_collection_are_frozen_and_later_reference_cycles_are_found():
    with short_collections(ticks(2 * LONG_COLLECTION_S)):
        before = gc.get_freeze_count()
        kept = [[] for _ in range(MIN_SURVIVORS + 1)]
        gc.collect()
        assert gc.get_freeze_count() >= before + len(kept)

        cycle: list = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() >= 1


@pytest.mark.parametrize(
    ("seconds", "generation", "count"),
    [
        (0.5 * LONG_COLLECTION_S, 2, MIN_SURVIVORS + 1),
        (2 * LONG_COLLECTION_S, 1, MIN_SURVIVORS + 1),
        (2 * LONG_COLLECTION_S, 0, MIN_SURVIVORS + 1),
        (2 * LONG_COLLECTION_S, 2, MIN_SURVIVORS // 4),
    ],
)
def test_short_collections_young_generations_and_few_survivors_freeze_nothing(seconds, generation, count):
    with short_collections(ticks(seconds)):
        before = gc.get_freeze_count()
        gc.disable()  # until the collection under test
        kept = [[] for _ in range(count)]
        gc.collect(generation)
        gc.enable()
        assert gc.get_freeze_count() <= before and kept


def test_the_number_of_freezes_is_limited():
    kept = []
    with short_collections(ticks(2 * LONG_COLLECTION_S)):
        for _ in range(MAX_FREEZES + 1):
            before = gc.get_freeze_count()
            kept.append([[] for _ in range(MIN_SURVIVORS + 1)])
            gc.collect()
        assert gc.get_freeze_count() <= before
