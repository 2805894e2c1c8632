from collections.abc import Callable

import numpy as np
import pytest

from bodykit.body import load_body
from bodykit.camera import Intrinsics
from bodykit.letterbox import PAD_GREY
from bodykit.raster import rasterise
from bodykit.skinning import pose_joints, pose_vertices
from depthhmr.synth.scene import Generator, Sample

SIZE = 96
SEEDS = range(40)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator(load_body(), SIZE)


@pytest.fixture(scope="module")
def samples(generator: Generator) -> list[Sample]:
    return [generator.sample(seed) for seed in SEEDS]


@pytest.mark.slow
def test_a_seed_gives_the_same_bytes_in_another_process_and_order(
    generator: Generator, same_elsewhere: Callable[[Generator, str], bool]
) -> None:
    assert same_elsewhere(generator, f"Generator(load_body(), {SIZE})")


def test_shapes_and_types_are_as_documented(samples: list[Sample]) -> None:
    for sample in samples:
        people = sample.people
        assert (sample.rgb.shape, sample.rgb.dtype) == ((SIZE, SIZE, 3), np.uint8)
        assert (sample.depth.shape, sample.depth.dtype) == ((SIZE, SIZE), np.float32)
        assert (sample.person.shape, sample.person.dtype) == ((SIZE, SIZE), np.uint8)
        assert (sample.intrinsics.shape, sample.intrinsics.dtype) == ((4,), np.float32)
        shapes = {name: array.shape for name, array in sample.arrays().items()}
        assert shapes["rotations"] == (people, 24, 3, 3)
        assert shapes["betas"] == (people, 10)
        assert shapes["joints_3d"] == (people, 24, 3)
        assert shapes["joints_2d"] == (people, 24, 2)
        assert shapes["boxes"] == (people, 4)
        assert shapes["visible"] == shapes["height_px"] == (people,)
        for name in ("rotations", "betas", "translation", "joints_3d", "joints_2d", "boxes", "visible", "height_px"):
            assert getattr(sample, name).dtype == np.float32, name
            assert np.isfinite(getattr(sample, name)).all(), name


def test_empty_pictures_and_crowds_both_occur(samples: list[Sample], generator: Generator) -> None:
    counts = [sample.people for sample in samples]
    # about one picture in 25 shows nobody; the first such seed is far within a hundred
    empty = next(sample for sample in (generator.sample(seed) for seed in range(100)) if sample.people == 0)

    assert max(counts) >= 5
    assert not empty.depth.any()
    assert not empty.person.any()


def test_joints_follow_from_pose_and_shape_and_project_to_the_pixels(samples: list[Sample]) -> None:
    for sample in samples:
        joints = pose_joints(load_body(), sample.betas, sample.rotations, sample.translation)
        np.testing.assert_allclose(sample.joints_3d, joints, atol=1e-4)
        before = joints[..., 2] > 0.1
        camera = Intrinsics(*sample.intrinsics.tolist())
        np.testing.assert_allclose(sample.joints_2d[before], camera.project(joints)[before], rtol=1e-4, atol=0.02)


def test_joints_lie_inside_their_boxes(samples: list[Sample]) -> None:
    for sample in samples:
        for i in range(sample.people):
            if sample.joints_3d[i, :, 2].min() < 0.3:
                continue  # part of the body is beside the camera
            low, high = sample.boxes[i, :2], sample.boxes[i, 2:]
            assert (sample.joints_2d[i] >= low - 0.5).all()
            assert (sample.joints_2d[i] <= high + 0.5).all()


def test_person_pixels_lie_inside_their_boxes_and_only_they_have_depth(samples: list[Sample]) -> None:
    for sample in samples:
        assert np.array_equal(sample.depth > 0, sample.person > 0)
        for i in range(sample.people):
            rows, columns = np.nonzero(sample.person == i + 1)
            if len(rows):
                x0, y0, x1, y1 = sample.boxes[i]
                assert x0 - 1 <= columns.min() and columns.max() + 1 <= x1 + 1
                assert y0 - 1 <= rows.min() and rows.max() + 1 <= y1 + 1


def test_depth_is_that_of_the_posed_mesh_but_for_clothes(samples: list[Sample]) -> None:
    body = load_body()
    for sample in samples[:12]:
        vertices, _ = pose_vertices(body, sample.betas, sample.rotations, sample.translation)
        camera = Intrinsics(*sample.intrinsics.tolist())
        for i in range(sample.people):
            seen = sample.person == i + 1
            if seen.sum() < 200:
                continue
            bare = rasterise(vertices[i], body.faces, camera, SIZE, SIZE)
            both = seen & (bare.face >= 0)
            # clothes are a little nearer than the skin; skirts and hair hang up to a thigh's thickness before it
            assert both.sum() > 0.5 * seen.sum()
            assert abs(np.median(sample.depth[both] - bare.depth[both])) < 0.06


def test_who_is_seen_whole_is_visible_and_who_has_no_pixel_is_not(samples: list[Sample]) -> None:
    for sample in samples:
        for i in range(sample.people):
            pixels = int((sample.person == i + 1).sum())
            assert 0 <= sample.visible[i] <= 1
            if pixels == 0 and sample.height_px[i] > 20:
                assert sample.visible[i] < 0.1
            if pixels > 300:
                assert sample.visible[i] > 0.02
    assert np.concatenate([sample.visible for sample in samples]).max() > 0.95


def test_the_bars_of_letterboxed_pictures_are_grey_and_empty(samples: list[Sample]) -> None:
    barred = [sample for sample in samples if (sample.rgb[0] == PAD_GREY).all() and (sample.rgb[-1] == PAD_GREY).all()]

    assert barred
    for sample in barred:
        assert not sample.person[0].any()
        assert not sample.depth[-1].any()


def test_half_of_the_pictures_show_somebody_large(samples: list[Sample]) -> None:
    def tallest(sample: Sample) -> float:
        seen = np.minimum(sample.boxes[:, 3], SIZE) - np.maximum(sample.boxes[:, 1], 0)
        return float(np.where(sample.visible > 0.1, seen, 0).max(initial=0))

    assert np.mean([tallest(sample) > 0.45 * SIZE for sample in samples]) > 0.5


def test_a_picture_too_small_to_show_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 pixels, got 8"):
        Generator(load_body(), 8)
