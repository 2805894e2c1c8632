"""How the embedded engine shares its processors out. Counts, never clocks: a run meets another one, or it does not."""

import asyncio
import threading

import numpy as np
import pytest

from bodykit.manifest import Manifest
from service.engines.base import Call, Tensors, output_names
from service.engines.embedded import EmbeddedEngine, widths
from service.engines.run_watch import RunWatch
from service.options import Options
from service.serve import open_core
from service.settings import Settings

pytestmark = pytest.mark.anyio
MEET_S = 30.0  # a failure takes this long, a success no time


class Meeting:
    """A session whose runs begin when `count` of them have come together."""

    def __init__(self, session, count: int) -> None:
        self._session, self._barrier = session, threading.Barrier(count, timeout=MEET_S)
        self.runs = 0

    def run(self, *arguments):
        self.runs += 1
        self._barrier.wait()
        return self._session.run(*arguments)


def engine_of(model_dir, threads: int) -> tuple[EmbeddedEngine, Manifest]:
    manifest = Manifest.read(model_dir)
    return EmbeddedEngine(manifest.verified_onnx(model_dir), manifest, threads=threads), manifest


def picture(manifest: Manifest, seed: int = 0) -> Tensors:
    size = manifest.input_size
    image = np.random.default_rng(seed).integers(0, 256, (1, size, size, 3), np.uint8)
    return {"image": image, "intrinsics": np.full((1, 4), size, np.float32)}


def call(manifest: Manifest, images_in_work: int = 1) -> Call:
    return Call(Call.within(MEET_S, ()).deadline, output_names(manifest), images_in_work=images_in_work)


@pytest.mark.parametrize(
    ("threads", "expected"), [(1, [1]), (2, [2, 1]), (4, [4, 2, 1]), (6, [6, 3, 1]), (7, [7, 3, 1])]
)
def test_runs_have_all_threads_or_half_of_them_and_so_on_down_to_one(threads, expected):
    assert widths(threads) == expected


@pytest.mark.parametrize(("threads", "sessions"), [(1, 1), (2, 2), (4, 3)])
async def test_the_graph_is_loaded_once_for_each_share_of_threads_and_never_again(model_dir, threads, sessions):
    engine, manifest = engine_of(model_dir, threads)
    before = dict(engine._sessions)

    for images in (1, 2, 3, 8):
        await engine.infer(picture(manifest), call(manifest, images))

    assert engine._sessions == before and len(before) == sessions
    await engine.aclose()


@pytest.mark.parametrize("threads", [1, 2, 3])
async def test_as_many_waiting_images_as_there_are_threads_are_run_at_once(model_dir, threads):
    """Each run waits for the others: one after another they would never end."""
    engine, manifest = engine_of(model_dir, threads)
    meeting = engine._sessions[1] = Meeting(engine._sessions[1], threads)

    images = [engine.infer(picture(manifest), call(manifest, threads)) for _ in range(3 * threads)]
    await asyncio.gather(*images)

    assert engine.concurrency == threads and meeting.runs == 3 * threads
    await engine.aclose()


async def test_two_requests_are_run_at_once_by_the_whole_service(model_dir, people_jpeg):
    core = open_core(Settings(model_dir=model_dir, threads=2, workers=2))
    await core.warm_up()
    meeting = core.engine._sessions[1] = Meeting(core.engine._sessions[1], 2)
    requests = [core.recover(people_jpeg, Options(), lambda recovery: len(recovery.people)) for _ in range(2)]

    assert await asyncio.gather(*requests) == [2, 2]

    assert meeting.runs == 2
    await core.aclose()


@pytest.mark.parametrize(
    ("threads", "images", "width"),
    [(2, 1, 2), (2, 2, 1), (2, 9, 1), (4, 1, 4), (4, 2, 2), (4, 3, 1), (4, 4, 1), (6, 2, 3), (1, 1, 1), (1, 5, 1)],
)
async def test_an_image_is_run_on_its_share_of_the_threads(model_dir, threads, images, width):
    engine, manifest = engine_of(model_dir, threads)
    for name in engine._sessions:
        engine._sessions[name] = Meeting(engine._sessions[name], 1)

    await engine.infer(picture(manifest), call(manifest, images))

    assert {name: session.runs for name, session in engine._sessions.items() if session.runs} == {width: 1}
    await engine.aclose()


async def test_the_engine_counts_what_nobody_told_it_of(model_dir):
    """A caller may be one of several that know nothing of each other."""
    engine, manifest = engine_of(model_dir, 2)
    wide = engine._sessions[2] = Meeting(engine._sessions[2], 1)
    narrow = engine._sessions[1] = Meeting(engine._sessions[1], 1)

    await asyncio.gather(*[engine.infer(picture(manifest), call(manifest)) for _ in range(4)])

    assert (wide.runs, narrow.runs) == (1, 3)
    await engine.aclose()


async def test_every_share_of_threads_answers_the_same(model_dir):
    engine, manifest = engine_of(model_dir, 4)

    answers = [await engine.infer(picture(manifest, 1), call(manifest, images)) for images in (1, 2, 4)]

    for answer in answers[1:]:
        for name, values in answer.items():
            np.testing.assert_allclose(values, answers[0][name], rtol=1e-4, atol=1e-5, err_msg=name)
    await engine.aclose()


async def test_images_side_by_side_are_counted_one_by_one(model_dir):
    engine, manifest = engine_of(model_dir, 3)

    await asyncio.gather(*[engine.infer(picture(manifest), call(manifest)) for _ in range(30)])

    assert engine.stats.batches == {1: 30}
    await engine.aclose()


def test_a_watch_counts_its_looks_at_the_oldest_run():
    watch = RunWatch()
    assert watch.look() == 0
    with watch.running():
        assert [watch.look(), watch.look()] == [1, 2]
        with watch.running():
            assert watch.look() == 3
        assert watch.look() == 4
    assert watch.look() == 0


def test_short_runs_beside_a_stuck_one_do_not_hide_it():
    watch = RunWatch()
    with watch.running():
        for look in range(1, 6):
            with watch.running():
                pass
            assert watch.look() == look
