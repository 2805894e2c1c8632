"""The cache of rendered shards goes on where it was, and what is damaged in it is named."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bodykit.errors import UserError
from depthhmr.data import shards
from depthhmr.data.shards import SHARD, ShardPool, keep_rendering
from depthhmr.synth.splits import SPLITS

LIMIT = 4


def write_shard(root: Path, index: int, count: int = 8) -> Path:
    """A shard with two small arrays."""
    folder = root / f"{index * SHARD:010d}"
    folder.mkdir(parents=True)
    for name in ("count", "rgb"):
        np.save(folder / f"{name}.npy", np.full((count, 4), index, np.int16))
    (folder / "shard.json").write_text(json.dumps({"first_seed": index * SHARD, "count": count, "size": 2}))
    return folder


def held(root: Path) -> list[int]:
    return sorted(int(path.name) // SHARD for path in root.iterdir())


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The shards that a renderer has made, in order; nothing is really drawn."""
    made: list[int] = []

    def render(root: Path, first_seed: int, count: int, size: int, **_: object) -> Path:
        made.append(first_seed // SHARD)
        assert len(made) < 50, f"expected a renderer that ends, it has made {made}"
        return write_shard(root, first_seed // SHARD)

    monkeypatch.setattr(shards, "render_shard", render)
    monkeypatch.setattr("os.nice", lambda _: 0)
    return made


def render_until(monkeypatch: pytest.MonkeyPatch, root: Path, end: int, first: int = 0, step: int = 1) -> None:
    """A renderer that is alone, works all of its time and finds `end` shards in the split."""
    monkeypatch.setitem(SPLITS, "train", (0, end * SHARD + SHARD - 1))
    keep_rendering(root, first, step, LIMIT, 2, share=1.0, parent=os.getppid())


def test_a_resumed_renderer_goes_on_behind_its_newest_shard(
    tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    render_until(monkeypatch, tmp_path, 10)
    assert held(tmp_path) == [6, 7, 8, 9]

    render_until(monkeypatch, tmp_path, 13)

    assert drawn == list(range(13)), "a shard is rendered once"
    assert held(tmp_path) == [9, 10, 11, 12], "the oldest go, whatever was rendered before the pause"


def test_renderers_that_were_cut_in_the_first_fill_go_on_filling(
    tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in (0, 1, 2):
        write_shard(tmp_path, index)

    render_until(monkeypatch, tmp_path, 4, first=1, step=2)

    assert drawn == [3] and held(tmp_path) == [0, 1, 2, 3]


def test_a_renderer_ends_with_its_split(tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    render_until(monkeypatch, tmp_path, 2)
    assert drawn == [0, 1], "a third shard would hold seeds behind the split"


def test_a_shard_goes_out_of_sight_before_it_is_taken_apart(
    tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        shards.shutil, "rmtree", lambda path, **_: seen.append((path.name, ShardPool(tmp_path).refresh()))
    )

    render_until(monkeypatch, tmp_path, LIMIT + 1)

    assert seen == [(f".{0:010d}.{os.getpid()}", LIMIT)]


def test_a_folder_that_is_no_shard_is_passed_over(tmp_path: Path) -> None:
    write_shard(tmp_path, 1)
    (write_shard(tmp_path, 0) / "shard.json").unlink()

    drawn = ShardPool(tmp_path).draw(np.random.default_rng(0), 16)

    assert np.unique(drawn["count"]).tolist() == [1]


@pytest.mark.parametrize("left", [150, 40, 0])
def test_a_damaged_array_is_named(tmp_path: Path, left: int) -> None:
    path = write_shard(tmp_path, 0) / "rgb.npy"
    path.write_bytes(path.read_bytes()[:left])

    with pytest.raises(UserError, match=r"expected an array in .*/0000000000/rgb\.npy, it is damaged"):
        ShardPool(tmp_path).refresh()


def test_a_shard_that_has_lost_an_array_is_named(tmp_path: Path) -> None:
    (write_shard(tmp_path, 0) / "count.npy").unlink()

    with pytest.raises(UserError, match=r"expected count\.npy among the arrays of .*/0000000000, found none"):
        ShardPool(tmp_path).refresh()
