import asyncio
import dataclasses
import gc

import numpy as np
import pytest
from PIL import PngImagePlugin

from bodykit.body import load_body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.manifest import BodyId, Manifest
from fuzz.corpus import CASES
from service.decoding.images import ImageLimits
from service.engines.fake import FakeEngine, nobody
from service.errors import (
    DeadlineExceeded,
    EngineBadOutput,
    EngineUnavailable,
    InvalidImage,
    Overloaded,
    Starting,
)
from service.options import Options
from service.recovery import MeshRecovery

pytestmark = pytest.mark.anyio


class StallingEngine(FakeEngine):
    """Answers only once `go` is set."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(lambda tensors: nobody(manifest))
        self.go = asyncio.Event()
        self.calls = 0

    async def infer(self, tensors, call):
        self.calls += 1
        await self.go.wait()
        return await super().infer(tensors, call)


@pytest.fixture
def manifest(model_dir) -> Manifest:
    return Manifest.read(model_dir)


def recovery_over(engine, manifest, **options) -> MeshRecovery:
    return MeshRecovery(engine, manifest, load_body(), limits=ImageLimits(), **options)


async def recover(core, content, **options):
    return await core.recover(content, Options(**options), lambda recovery: recovery)


async def test_recover_finds_the_people_of_the_picture(core, people_jpeg):
    found = await recover(core, people_jpeg)

    assert (found.width, found.height) == (96, 64)
    assert [float(person.translation[2]) for person in found.people] == [2.0, 3.0]
    # The network places people on the rays through the quadrants' centres: a quarter and three quarters of the width.
    assert [person.joints_2d[0, 0] for person in found.people] == pytest.approx([72, 24], abs=0.01)
    assert found.vertices is None and found.depth is None
    assert found.timings.infer > 0 and found.timings.decode > 0


async def test_recover_returns_no_people_for_an_empty_scene(core, empty_jpeg):
    assert (await recover(core, empty_jpeg)).people == ()


async def test_a_picture_squeezed_to_half_its_width_gives_the_same_people(core, people_picture, encoded):
    whole = await recover(core, encoded(people_picture(96, 64), "PNG"), intrinsics=Intrinsics(80, 80, 48, 32))
    squeezed = await recover(core, encoded(people_picture(48, 64), "PNG"), intrinsics=Intrinsics(40, 80, 24, 32))

    assert len(whole.people) == 2
    for narrow, wide in zip(squeezed.people, whole.people, strict=True):
        assert narrow.translation == pytest.approx(wide.translation, abs=1e-5)
        assert narrow.joints_2d == pytest.approx(wide.joints_2d * [0.5, 1], abs=1e-3)
        assert narrow.box == pytest.approx(wide.box * [0.5, 1, 0.5, 1], abs=1e-3)


async def test_the_camera_is_the_given_one_then_exif_then_the_default(core, people_picture, encoded):
    from PIL import Image

    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 50
    content = encoded(people_picture(96, 64), exif=exif)
    given = Intrinsics(80, 81, 40, 30)

    sources = [
        (await recover(core, content, intrinsics=given)).camera,
        (await recover(core, content, fov_degrees=90)).camera,
        (await recover(core, content)).camera,
        (await recover(core, encoded(people_picture(96, 64)))).camera,
    ]

    assert [camera.source for camera in sources] == ["given", "given", "exif", "default"]
    assert sources[0].intrinsics == given
    assert sources[1].intrinsics.fx == pytest.approx(48)
    assert sources[2].intrinsics.fx == pytest.approx(50 * np.hypot(96, 64) / 43.2666)
    assert sources[3].intrinsics == Intrinsics.from_fov(96, 64, 60)


async def test_a_shorter_focal_length_spreads_the_people(core, people_jpeg):
    wide, narrow = [await recover(core, people_jpeg, fov_degrees=fov) for fov in (90, 30)]

    assert abs(wide.people[0].translation[0]) > 2 * abs(narrow.people[0].translation[0])


async def test_vertices_and_depth_come_when_asked_for(core, people_jpeg):
    found = await recover(core, people_jpeg, vertices=True, depth=True)

    assert found.vertices.shape == (2, len(core.body.template), 3)
    assert found.depth.values.shape == (8, 8)


async def test_a_request_may_lower_the_models_threshold_and_cap_the_people(core, people_jpeg):
    everyone = await recover(core, people_jpeg, threshold=1e-6)
    surest = await recover(core, people_jpeg, max_people=1)

    assert len(everyone.people) == 3 and len(surest.people) == 1


async def test_before_the_first_inference_requests_are_refused(manifest, people_jpeg):
    core = recovery_over(FakeEngine(lambda tensors: nobody(manifest)), manifest)

    with pytest.raises(Starting):
        await recover(core, people_jpeg)
    assert not core.ready
    await core.warm_up()
    assert core.ready and (await recover(core, people_jpeg)).people == ()
    await core.aclose()


async def test_one_image_too_many_is_refused_at_once(manifest, people_jpeg):
    engine = StallingEngine(manifest)
    core = recovery_over(engine, manifest, max_concurrency=2)
    core.warm = True
    waiting = [asyncio.create_task(recover(core, people_jpeg)) for _ in range(2)]
    await asyncio.sleep(0.05)

    with pytest.raises(Overloaded) as caught:
        await recover(core, people_jpeg)

    assert caught.value.retry_after_s >= 1
    engine.go.set()
    assert [found.people for found in await asyncio.gather(*waiting)] == [(), ()]
    assert (await recover(core, people_jpeg)).people == ()
    await core.aclose()


async def test_only_as_many_images_as_it_wants_reach_the_engine(manifest, people_jpeg):
    engine = StallingEngine(manifest)
    core = recovery_over(engine, manifest)
    core.warm = True
    waiting = [asyncio.create_task(recover(core, people_jpeg)) for _ in range(4)]
    await asyncio.sleep(0.1)

    assert engine.calls == engine.concurrency == 1
    engine.go.set()
    await asyncio.gather(*waiting)
    assert engine.calls == 4
    await core.aclose()


async def test_a_slow_engine_ends_in_a_deadline_and_frees_its_place(manifest, people_jpeg):
    engine = StallingEngine(manifest)
    core = recovery_over(engine, manifest, max_concurrency=1, timeout_s=0.1)
    core.warm = True

    with pytest.raises(DeadlineExceeded, match=r"within 0\.1 s"):
        await recover(core, people_jpeg)

    engine.go.set()
    assert (await recover(core, people_jpeg)).people == ()
    await core.aclose()


async def test_a_disconnected_clients_queued_work_is_dropped(manifest, people_jpeg):
    engine = StallingEngine(manifest)
    core = recovery_over(engine, manifest)
    core.warm = True
    first = asyncio.create_task(recover(core, people_jpeg))
    while engine.calls == 0:  # either may be decoded first
        await asyncio.sleep(0.01)
    second = asyncio.create_task(recover(core, people_jpeg))
    await asyncio.sleep(0.1)

    second.cancel()
    engine.go.set()
    await first
    await asyncio.wait([second])

    assert second.cancelled() and engine.calls == 1
    await core.aclose()


@pytest.mark.parametrize("error", [EngineUnavailable("gone"), EngineBadOutput("nonsense")])
async def test_errors_of_the_engine_reach_the_caller(manifest, people_jpeg, error):
    def handler(tensors):
        raise error

    core = recovery_over(FakeEngine(handler), manifest)
    core.warm = True

    with pytest.raises(type(error)):
        await recover(core, people_jpeg)
    await core.aclose()


async def test_one_bad_image_does_not_disturb_its_neighbours(core, people_jpeg):
    results = await asyncio.gather(
        *(recover(core, content) for content in (people_jpeg, people_jpeg[:-100], people_jpeg)), return_exceptions=True
    )

    assert isinstance(results[1], InvalidImage)
    assert [len(results[index].people) for index in (0, 2)] == [2, 2]


async def test_an_error_keeps_nothing_of_the_picture_that_it_is_about(core):
    """Even without the garbage collector: the reference cycle of an error and its frames would hold up to 64 MB of text."""
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(InvalidImage) as caught:
            await recover(core, CASES["80 MB of text in a PNG of 80 kB"].content())
        left = [thing for thing in gc.get_objects() if type(thing) is PngImagePlugin.PngStream]
    finally:
        gc.enable()

    assert left == [] and isinstance(caught.value.__cause__, ValueError)


async def test_every_outcome_is_counted(core, people_jpeg):
    await recover(core, people_jpeg)
    with pytest.raises(InvalidImage):
        await recover(core, b"")

    text = core.metrics.text().decode()

    assert 'depthhmr_images_total{outcome="ok"} 1.0' in text
    assert 'depthhmr_images_total{outcome="invalid-image"} 1.0' in text
    assert 'depthhmr_stage_seconds_count{stage="infer"} 1.0' in text
    assert "depthhmr_people_sum 2.0" in text
    assert "depthhmr_images_in_work 0.0" in text


def test_a_network_for_another_body_is_refused(manifest):
    other = dataclasses.replace(manifest, body=BodyId("smpl", "1.1", "00" * 32))

    with pytest.raises(UserError, match=r"trained for the body smpl 1\.1 .* loaded body is free"):
        recovery_over(FakeEngine(lambda tensors: tensors), other)
