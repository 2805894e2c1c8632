"""Photographs as places: what a folder may hold, and that a picture is a function of its seed and the photographs."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodykit.body import load_body
from bodykit.errors import UserError
from bodykit.letterbox import PAD_GREY
from depthhmr.body_id import id_of
from depthhmr.data.shards import render_shard
from depthhmr.synth.backdrops import Backdrops, read
from depthhmr.synth.scene import Generator, Sample

SIZE = 64
SEEDS = range(12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs: a red one in a subfolder, whose left half is dark, and a blue one."""
    root = tmp_path_factory.mktemp("places")
    (root / "deep").mkdir()
    red = np.full((240, 320, 3), (200, 40, 30), np.uint8)
    red[:, :160] //= 2
    Image.fromarray(red).save(root / "deep" / "red.png")
    noise = np.random.default_rng(0).integers(0, 60, (300, 220, 3), dtype=np.uint8)
    Image.fromarray(noise + np.array([20, 60, 190], np.uint8)).save(root / "blue.JPG")
    (root / "LICENCE.txt").write_text("CC0")
    return root


@pytest.fixture(scope="module")
def always(folder: Path) -> Generator:
    return Generator(load_body(), SIZE, backdrops=Backdrops(folder, 1.0))


@pytest.fixture(scope="module")
def plain() -> Generator:
    return Generator(load_body(), SIZE)


@pytest.mark.slow
def test_a_seed_and_a_folder_give_the_same_bytes_in_another_process_and_order(
    always: Generator, folder: Path, same_elsewhere: Callable[[Generator, str], bool]
) -> None:
    assert same_elsewhere(always, f"Generator(load_body(), {SIZE}, backdrops=Backdrops(Path({str(folder)!r}), 1.0))")


def test_the_people_of_a_picture_are_the_same_with_and_without_a_backdrop(always: Generator, plain: Generator) -> None:
    for seed in SEEDS:
        with_, without = always.sample(seed).arrays(), plain.sample(seed).arrays()
        for name in without:
            assert np.array_equal(with_[name], without[name]) == (name != "rgb"), f"{name} of seed {seed}"


def test_pictures_that_keep_their_place_are_those_without_backdrops(
    plain: Generator, folder: Path, digest: Callable[[Sample], str]
) -> None:
    some = Generator(load_body(), SIZE, backdrops=Backdrops(folder, 0.5))

    same = [digest(some.sample(seed)) == digest(plain.sample(seed)) for seed in range(40)]

    assert 10 < sum(same) < 30


def test_where_nobody_stands_the_photograph_is_seen_and_bars_stay_grey(always: Generator) -> None:
    backdrops = always.backdrops
    assert backdrops is not None
    saturated = []
    for seed in range(60):
        sample = always.sample(seed)
        drawn = backdrops.draw(seed, SIZE, SIZE, SIZE)
        assert drawn is not None
        bars = (sample.rgb == PAD_GREY).all(axis=(1, 2))
        assert not sample.depth[bars].any()
        if not drawn[0].floor:
            seen = sample.rgb[(sample.person == 0) & (sample.rgb != PAD_GREY).any(axis=-1)].astype(int)
            saturated.append(np.median(seen.max(axis=1) - seen.min(axis=1)))
    # both photographs have strong colours; a twentieth of the pictures are grey all over, and some are pale
    assert np.mean(np.array(saturated) > 30) > 0.7


def test_a_dark_red_place_makes_the_people_darker_and_redder(tmp_path: Path, plain: Generator) -> None:
    Image.new("RGB", (240, 240), (60, 18, 14)).save(tmp_path / "cave.png")
    cave = Generator(load_body(), SIZE, backdrops=Backdrops(tmp_path, 1.0))
    shares = []
    for seed in SEEDS:
        dark, usual = cave.sample(seed), plain.sample(seed)
        who = dark.person > 0
        if who.sum() > 100:
            red = [float((s.rgb[who, 0].astype(float) + 1).mean() / (s.rgb[who, 2].mean() + 1)) for s in (dark, usual)]
            shares.append(red[0] / red[1])

    assert np.median(shares) > 1.2


def test_photographs_are_read_upright_in_three_colours_and_at_most_1024_pixels_long(tmp_path: Path) -> None:
    image = Image.new("L", (2000, 500), 90)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    image.save(tmp_path / "tower.jpg", exif=exif)
    Image.new("RGBA", (300, 300), (10, 20, 30, 0)).save(tmp_path / "glass.webp")

    assert read(tmp_path / "tower.jpg").shape == (1024, 256, 3)
    assert read(tmp_path / "glass.webp").shape == (300, 300, 3)


def test_a_panorama_serves_at_its_height(tmp_path: Path) -> None:
    Image.effect_noise((6000, 300), 50).save(tmp_path / "coast.png")

    backdrops = Backdrops(tmp_path, 1.0)

    assert read(tmp_path / "coast.png").shape == (200, 4000, 3)
    for seed in range(20):
        drawn = backdrops.draw(seed, 96, 64, 96)
        assert drawn is not None
        assert drawn[0].rgb.shape == (64, 96, 3)


def test_a_share_of_a_shard_has_backdrops_and_the_shard_says_whose(tmp_path: Path, folder: Path) -> None:
    backdrops = Backdrops(folder, 1.0)

    usual = render_shard(tmp_path / "usual", 0, 4, SIZE)
    placed = render_shard(tmp_path / "placed", 0, 4, SIZE, backdrops=backdrops)

    facts = {"first_seed": 0, "count": 4, "size": SIZE, "body": id_of(load_body())}
    assert json.loads((usual / "shard.json").read_text()) == facts
    assert json.loads((placed / "shard.json").read_text())["backdrops"]["sha256"] == backdrops.sha256
    for name in ("depth", "joints_3d", "visible", "count"):
        assert np.array_equal(np.load(usual / f"{name}.npy"), np.load(placed / f"{name}.npy"))
    assert (np.load(usual / "rgb.npy") != np.load(placed / "rgb.npy")).any(axis=(1, 2, 3)).all()


def test_another_photograph_or_name_is_another_folder(tmp_path: Path) -> None:
    Image.new("RGB", (240, 240), (60, 18, 14)).save(tmp_path / "a.png")
    first = Backdrops(tmp_path).sha256
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    renamed = Backdrops(tmp_path).sha256
    Image.new("RGB", (240, 240), (60, 18, 15)).save(tmp_path / "b.png")

    assert len({first, renamed, Backdrops(tmp_path).sha256}) == 3


def broken_folders(root: Path) -> Iterator[tuple[str, Path, str]]:
    yield "none", root / "none", "found none"
    (root / "empty").mkdir()
    (root / "empty" / "notes.txt").write_text("no pictures yet")
    yield "empty", root / "empty", r"expected photographs without people \(.jpg, .png or .webp\)"
    (root / "text").mkdir()
    (root / "text" / "a.jpg").write_text("<html>")
    yield "text", root / "text", r"a\.jpg, it cannot be read"
    (root / "cut").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)).save(root / "whole.jpg")
    (root / "cut" / "b.jpg").write_bytes((root / "whole.jpg").read_bytes()[:9000])
    yield "cut short", root / "cut", r"b\.jpg, it cannot be read"
    (root / "small").mkdir()
    Image.new("RGB", (900, 199)).save(root / "small" / "c.png")
    yield "small", root / "small", "at least 200 pixels a side, .*c.png has 199"


def test_a_folder_that_cannot_serve_is_refused_and_the_file_named(tmp_path: Path) -> None:
    for what, folder, message in broken_folders(tmp_path):
        with pytest.raises(UserError, match=message):
            Backdrops(folder)
            pytest.fail(what)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_beyond_all_pictures_is_refused(folder: Path, share: float) -> None:
    with pytest.raises(UserError, match="share of backdrops above 0 and at most 1"):
        Backdrops(folder, share)


def test_the_depth_of_everything_is_refused_with_backdrops(folder: Path) -> None:
    with pytest.raises(ValueError, match="the depth of a photograph is unknown"):
        Generator(load_body(), SIZE, whole_depth=True, backdrops=Backdrops(folder))
