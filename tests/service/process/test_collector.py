"""The garbage collector beside an event loop."""

import gc
import itertools

import pytest

from service.process.collector import LONG_S, MANY, MOST, THRESHOLDS, short_collections


@pytest.fixture(autouse=True)
def plain_collector():
    gc.collect()
    gc.unfreeze()
    yield
    gc.unfreeze()


def ticks(seconds: float):
    """A clock that has gone on by so much whenever it is read."""
    return itertools.count(0.0, seconds).__next__


def test_what_is_there_is_left_out_and_comes_back_afterwards():
    before = gc.get_threshold()
    with short_collections():
        assert gc.get_freeze_count() > 10_000 and gc.get_threshold() == THRESHOLDS
    assert gc.get_freeze_count() == 0 and gc.get_threshold() == before


def test_survivors_of_a_long_collection_are_left_out_of_the_next_and_rings_of_later_are_found():
    with short_collections(ticks(2 * LONG_S)):
        before = gc.get_freeze_count()
        kept = [[] for _ in range(MANY + 1)]
        gc.collect()
        assert gc.get_freeze_count() >= before + len(kept)

        ring: list = []
        ring.append(ring)
        del ring
        assert gc.collect() >= 1


@pytest.mark.parametrize(
    ("seconds", "generation", "count"),
    [(0.5 * LONG_S, 2, MANY + 1), (2 * LONG_S, 1, MANY + 1), (2 * LONG_S, 0, MANY + 1), (2 * LONG_S, 2, MANY // 4)],
)
def test_short_collections_young_objects_and_what_is_in_work_change_nothing(seconds, generation, count):
    with short_collections(ticks(seconds)):
        before = gc.get_freeze_count()
        gc.disable()  # until the one collection that is meant
        kept = [[] for _ in range(count)]
        gc.collect(generation)
        gc.enable()
        assert gc.get_freeze_count() <= before and kept


def test_it_is_done_a_limited_number_of_times():
    kept = []
    with short_collections(ticks(2 * LONG_S)):
        for _ in range(MOST + 1):
            before = gc.get_freeze_count()
            kept.append([[] for _ in range(MANY + 1)])
            gc.collect()
        assert gc.get_freeze_count() <= before
