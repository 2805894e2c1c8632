"""Rendered training samples on disk: written by background processes, read by the trainer while more are written.

A shard is a folder of plain arrays with a fixed number of samples of consecutive seeds. Shard i of a split (and of a body and a
folder of backdrops) always holds the same bytes, so a lost cache costs time alone. Shards of other sources (depthhmr.data) have
additional arrays that mark what is labelled; without them everything is.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bodykit.body import Body, load_body
from bodykit.errors import UserError
from depthhmr.body_id import id_of, refuse_other_body
from depthhmr.synth.splits import SPLITS

if TYPE_CHECKING:
    from depthhmr.synth.backdrops import Backdrops

SHARD = 512  # samples
MAX_PEOPLE = 12


def render_shard(
    root: Path, first_seed: int, count: int, size: int, *, whole_depth: bool = False,
    backdrops: "Backdrops | None" = None, body: Body | None = None,
) -> Path:  # fmt: skip
    """Renders seeds [first_seed, first_seed + count) and moves them into place in one step.

    `whole_depth` adds the depth of everything in the picture, for training without DAH; `backdrops` puts photographs
    of unknown depth behind a share of the pictures; `body` is the free one when None.
    """
    from depthhmr.synth.scene import Generator

    final = root / f"{first_seed:010d}"
    if final.exists():
        return final
    body = load_body() if body is None else body
    generator = Generator(body, size, whole_depth=whole_depth, backdrops=backdrops)
    arrays: dict[str, np.ndarray] = {
        "rgb": np.zeros((count, size, size, 3), np.uint8),
        "depth": np.zeros((count, size, size), np.float16),
        "intrinsics": np.zeros((count, 4), np.float32),
        "count": np.zeros(count, np.int16),
        "visible": np.zeros((count, MAX_PEOPLE), np.float32),
        "rotations": np.tile(np.eye(3, dtype=np.float32), (count, MAX_PEOPLE, 24, 1, 1)),
        "betas": np.zeros((count, MAX_PEOPLE, 10), np.float32),
        "joints_3d": np.ones((count, MAX_PEOPLE, 24, 3), np.float32),
    }
    if whole_depth:
        arrays["whole_depth"] = np.zeros((count, size, size), np.float16)
    for row in range(count):
        sample = generator.sample(first_seed + row)
        people = min(MAX_PEOPLE, len(sample.betas))
        arrays["rgb"][row], arrays["depth"][row] = sample.rgb, sample.depth
        arrays["intrinsics"][row], arrays["count"][row] = sample.intrinsics, people
        if sample.whole_depth is not None:
            arrays["whole_depth"][row] = sample.whole_depth
        for name in ("visible", "rotations", "betas", "joints_3d"):
            arrays[name][row, :people] = getattr(sample, name)[:people]
    partial = root / f".{first_seed:010d}.{os.getpid()}"
    partial.mkdir(parents=True, exist_ok=True)
    for name, values in arrays.items():
        np.save(partial / f"{name}.npy", values)
    facts: dict[str, Any] = {"first_seed": first_seed, "count": count, "size": size, "body": id_of(body)}
    if backdrops is not None:
        facts["backdrops"] = backdrops.facts
    (partial / "shard.json").write_text(json.dumps(facts))
    if final.exists():
        shutil.rmtree(partial)
    else:
        partial.rename(final)
    return final


def keep_rendering(
    root: Path, first: int, step: int, limit: int, size: int, share: float, parent: int,
    behind: tuple[Path, float] | None = None, body: Path | None = None,
) -> None:  # fmt: skip
    """The loop of a renderer process: shards first, first + step, ... of the training split, from the newest in the cache on.

    Fills the cache up to `limit` shards at full speed, then replaces the oldest shard in `share` of its time, so that the
    trainer gets new pictures all the time. `behind` is a folder of backdrops and their share, `body` a body file. Ends with
    the process `parent`, or at the end of the split, as the seeds after it belong to other splits.
    """
    from depthhmr.synth.backdrops import Backdrops

    os.nice(19)
    backdrops = None if behind is None else Backdrops(*behind)
    newest = max((int(path.name) // SHARD for path in _shards(root) if path.name.isdigit()), default=-1)
    for index in range(first, sum(SPLITS["train"]) // SHARD, step):
        if os.getppid() != parent:
            return
        if index <= newest:
            continue
        shards = sorted(_shards(root))
        started = time.monotonic()
        render_shard(root, index * SHARD, SHARD, size, backdrops=backdrops, body=load_body(body))
        if len(shards) >= limit:
            _remove(shards[0])
            busy = time.monotonic() - started
            pause_until = time.monotonic() + busy * (1 - share) / share
            while time.monotonic() < pause_until and os.getppid() == parent:
                time.sleep(1.0)


def _shards(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")] if root.exists() else []


def _remove(shard: Path) -> None:
    """Renamed first, so that no reader finds half of it."""
    hidden = shard.with_name(f".{shard.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):  # another renderer has removed it
        shard.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def _arrays_of(shard: Path) -> dict[str, np.ndarray]:
    """The arrays of a shard by name; none for a folder that is no shard or has gone. UserError for a damaged one."""
    if not (shard / "shard.json").exists():
        return {}
    arrays: dict[str, np.ndarray] = {}
    for file in shard.glob("[!.]*.npy"):
        try:
            arrays[file.stem] = np.load(file, mmap_mode="r")
        except FileNotFoundError:
            return {}
        except (ValueError, EOFError) as error:
            raise UserError(f"expected an array in {file}, it is damaged ({error}); delete {shard}") from error
    if arrays and "count" not in arrays:
        raise UserError(f"expected count.npy among the arrays of {shard}, found none; delete the folder")
    return arrays


def refuse_shards_of_other_bodies(root: Path, body: Body) -> None:
    """UserError if a shard of the folder has 3D people of another body."""
    for shard in sorted(_shards(root)):
        with contextlib.suppress(FileNotFoundError):  # no shard, or a renderer has removed it
            stated = json.loads((shard / "shard.json").read_text()).get("body")
            known = shard / "known_3d.npy"
            if not known.exists() or np.load(known).any():
                refuse_other_body(shard, stated, body)


class ShardPool:
    """Random samples from all shards that are in a folder at the moment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: dict[Path, dict[str, np.ndarray]] = {}
        self._checked = 0.0

    def refresh(self, every: float = 10.0) -> int:
        """Looks for new and removed shards, at most once in `every` seconds. Returns their number.

        Raises UserError for a damaged array.
        """
        now = time.monotonic()
        if now - self._checked >= every or not self._open:
            self._checked = now
            present = set(_shards(self.root))
            self._open = {path: arrays for path, arrays in self._open.items() if path in present}
            for path in present - self._open.keys():
                if arrays := _arrays_of(path):
                    self._open[path] = arrays
        return len(self._open)

    def wait_for(self, count: int, patience: float = 1800.0) -> None:
        """Blocks until there are `count` shards."""
        deadline = time.monotonic() + patience
        while self.refresh(every=1.0) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"expected {count} shards in {self.root} within {patience:.0f} s, found {len(self._open)}"
                )
            time.sleep(1.0)

    def draw(self, rng: np.random.Generator, count: int, shards_per_batch: int = 8) -> dict[str, np.ndarray]:
        """`count` samples from a few random shards, as arrays with a leading axis of `count`."""
        self.refresh()
        paths = sorted(self._open)
        chosen = [paths[i] for i in rng.integers(0, len(paths), min(shards_per_batch, count))]
        parts: list[dict[str, np.ndarray]] = []
        for path, share in zip(chosen, np.array_split(np.arange(count), len(chosen)), strict=True):
            arrays = self._open[path]
            held = len(arrays["count"])
            rows = np.sort(rng.choice(held, len(share), replace=len(share) > held))
            parts.append({name: values[rows] for name, values in arrays.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True, eq=False)
class Source:
    """A pool, its share of all samples, and how its samples are varied."""

    pool: ShardPool
    share: float
    vary: Callable[[dict[str, np.ndarray], np.random.Generator], dict[str, np.ndarray]] | None = None


class Mixture:
    """Random samples from several sources, each with its share."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def draw(self, rng: np.random.Generator, count: int) -> list[dict[str, np.ndarray]]:
        """`count` samples, one dict of arrays for every source drawn from."""
        counts = rng.multinomial(count, [source.share for source in self._sources])
        parts = []
        for source, n in zip(self._sources, counts, strict=True):
            if n:
                arrays = source.pool.draw(rng, int(n))
                parts.append(source.vary(arrays, rng) if source.vary else arrays)
        return parts
