"""The Triton engine against a real server that works."""

import asyncio
import io
import time

import numpy as np
import pytest
from PIL import Image

from bodykit.manifest import Manifest
from bodykit.triton_config import MAX_BATCH
from depthhmr_cli.running import DEMO_IMAGE
from service.engines.base import Call, output_names
from service.engines.embedded import EmbeddedEngine
from service.engines.triton import TritonEngine
from service.options import Options
from service.settings import Settings, default_model_dir

pytestmark = [pytest.mark.anyio, pytest.mark.triton, pytest.mark.slow]

TOLERANCE = 1e-4  # metres, entries of rotation matrices, scores; pixels are compared relative to the side of the input


@pytest.fixture
def manifest() -> Manifest:
    return Manifest.read(default_model_dir())


@pytest.fixture
async def engine(default_triton, manifest):
    opened = TritonEngine(default_triton.url, manifest)
    yield opened
    await opened.aclose()


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    """Real pictures: the demo image whole, and parts of it."""
    whole = Image.open(DEMO_IMAGE)
    width, height = whole.size
    boxes = [
        (0, 0, width, height),
        (0, 0, width // 2, height),
        (width // 4, 0, width, height),
        (0, height // 4, width, height),
    ]
    return [jpeg(whole.crop(box)) for box in boxes]


def jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def tensors_of(core, photo: bytes) -> dict[str, np.ndarray]:
    return dict(core._prepare(photo, Options())[2])


async def test_both_engines_see_the_same_in_real_pictures(engine, manifest, photos, core_over, default_triton):
    embedded = EmbeddedEngine.open(Settings(), manifest, default_model_dir())
    call = Call.within(20, output_names(manifest))
    async with core_over(default_triton, model_dir=default_model_dir()) as core:
        for photo in photos:
            tensors = tensors_of(core, photo)

            here, there = embedded.run(tensors), await engine.infer(tensors, call)

            assert here["scores"].max() > 0.5, "nobody in the picture: it would prove little"
            for name in output_names(manifest):
                scale = manifest.input_size if name == "boxes" else 1.0
                assert np.abs(here[name] - there[name]).max() / scale < TOLERANCE, name
    await embedded.aclose()


async def test_a_whole_batch_may_be_sent_as_one_call(engine, manifest):
    rng = np.random.default_rng(0)
    size = manifest.input_size
    images = rng.integers(0, 256, (MAX_BATCH, size, size, 3), dtype=np.uint8)
    tensors = {"image": images, "intrinsics": np.full((MAX_BATCH, 4), float(size), np.float32)}

    together = await engine.infer(tensors, Call.within(20, ("scores", "depth")))

    assert sorted(together) == ["depth", "scores"]
    for row in range(MAX_BATCH):
        one = {name: array[row : row + 1] for name, array in tensors.items()}
        alone = await engine.infer(one, Call.within(20, ("scores", "depth")))
        assert np.abs(alone["depth"][0] - together["depth"][row]).max() < TOLERANCE


async def test_only_the_wanted_outputs_travel(engine, manifest):
    tensors = {
        "image": np.zeros((1, manifest.input_size, manifest.input_size, 3), np.uint8),
        "intrinsics": np.full((1, 4), 100.0, np.float32),
    }

    assert list(await engine.infer(tensors, Call.within(20, ("scores",)))) == ["scores"]


async def test_simultaneous_requests_are_merged_and_the_metrics_say_so(core_over, default_triton, photos):
    async with core_over(default_triton, model_dir=default_model_dir()) as core:
        before = core.engine.stats.batches

        for _ in range(5):  # one round may happen to find the server idle each time
            await asyncio.gather(*(core.recover(photos[k % 4], Options(), people_of) for k in range(MAX_BATCH)))
        batches = await settled(core, before, images=5 * MAX_BATCH)

        runs, images = sum(batches.values()), sum(size * count for size, count in batches.items())
        assert images >= 5 * MAX_BATCH  # the probe's pictures are counted, too
        assert runs < images and max(batches) > 1
        size = max(batches)
        assert f'depthhmr_engine_batches_total{{size="{size}"}}' in core.metrics.text().decode()


async def test_the_images_of_one_batch_call_are_merged(core_over, default_triton, photos):
    async with core_over(default_triton, model_dir=default_model_dir()) as core:
        before = core.engine.stats.batches

        results = await core.recover_each([photos[k % 4] for k in range(24)], Options(bulk=True), people_of)
        batches = await settled(core, before, images=24)

        assert [len(people) for people in results] == [len(results[k % 4]) for k in range(24)]
        assert sum(batches.values()) < sum(size * count for size, count in batches.items())


def people_of(recovery):
    return recovery.people


async def settled(core, before: dict[int, int], *, images: int) -> dict[int, int]:
    """New runs by batch size. Triton books an answer a little after it has sent it, so wait until all are in."""
    end = time.monotonic() + 10
    while True:
        after = core.engine.stats.batches
        new = {size: count - before.get(size, 0) for size, count in after.items() if count > before.get(size, 0)}
        if sum(size * count for size, count in new.items()) >= images or time.monotonic() > end:
            return new
        await asyncio.sleep(0.05)
