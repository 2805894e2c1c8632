"""Depth maps for packed shards: the DAH step over whole data sets.

A picture gets a target if all its people are known in 3D and in metres, as only then 0 elsewhere is true. Others keep
`known_depth` false.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from bodykit.body import Body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.letterbox import Letterbox
from bodykit.picture_files import UNREADABLE
from depthhmr.data.dah import Refined, isolate, refine
from depthhmr.data.dah_sheet import Shown
from depthhmr.data.pack import ORIGINS, Origin, fit_map
from depthhmr.data.shards import refuse_shards_of_other_bodies

SUFFIXES = (".npy", ".png")
ASPECT = 0.03  # how much the proportions of a map and its picture may differ: networks round to multiples of 14


@dataclass
class Tally:
    """Counts of pictures, maps and people."""

    made: int = 0
    kept: int = 0  # had a true depth map already
    unknown: int = 0  # not everyone is known in 3D
    without_map: int = 0
    rejected: int = 0  # maps that do not show the people, or run the wrong way
    people: int = 0
    trusted: int = 0
    rows: list[Shown] = field(default_factory=list)  # of the first pictures, for the sheet


class DepthMaps:
    """A folder of maps, each named as its picture (NAME.npy with floats, or NAME.png in grey), at any depth of folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                self._by_stem[path.stem].append(path)
        if not self._by_stem:
            raise UserError(f"expected depth maps ({' or '.join(SUFFIXES)}) under {folder}, found none")

    def of(self, origin: Origin, size: int) -> np.ndarray | None:
        """The map of a picture in its letterboxed square, NaN in the padding; None without one."""
        path = self.find(Path(origin.path))
        if path is None:
            return None
        values = np.rot90(read_map(path), -origin.quarter_turns)
        height, width = values.shape
        if abs(width / height * origin.height / origin.width - 1) > ASPECT:
            shape = f"{origin.width} x {origin.height}"
            raise UserError(f"{path} has {width} x {height} pixels; expected the proportions of its picture, {shape}")
        return fit_map(values, Letterbox(origin.width, origin.height, size), np.nan)

    def find(self, picture: Path) -> Path | None:
        """The map whose last folders match the picture's best. Raises UserError for a tie."""
        found = self._by_stem.get(picture.stem, [])
        shared = [_shared_folders(picture, path) for path in found]
        best = [path for path, count in zip(found, shared, strict=True) if count == max(shared)]
        if len(best) > 1:
            raise UserError(f"both {best[0]} and {best[1]} could belong to {picture}; expected one map per picture")
        return best[0] if best else None


def read_map(path: Path) -> np.ndarray:
    """float32 [H, W] out of an npy file or a grey picture. Raises UserError."""
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            with Image.open(path) as image:
                values = np.asarray(image)
    except (*UNREADABLE, EOFError) as error:
        raise UserError(f"cannot read the depth map {path}: {error}") from error
    values = np.squeeze(values)
    if values.ndim != 2 or values.dtype.kind not in "fiu" or 0 in values.shape:
        raise UserError(f"{path} holds {values.dtype} {list(values.shape)}, expected one number per pixel, [H, W]")
    return values.astype(np.float32)


def _shared_folders(picture: Path, path: Path) -> int:
    count = 0
    for ours, theirs in zip(picture.parent.parts[::-1], path.parent.parts[::-1], strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def make_targets(
    folder: Path, body: Body, maps: DepthMaps | None, *, inverse: bool = True, again: bool = False, show: int = 0,
    progress: bool = False,
) -> Tally:  # fmt: skip
    """Rewrites `depth` and `known_depth` of all shards of a folder; `again`: also where a depth map exists.

    Raises UserError for a folder without packed shards, or with shards of another body.
    """
    shards = sorted(path for path in folder.iterdir() if (path / "shard.json").exists()) if folder.is_dir() else []
    if not shards:
        raise UserError(f"expected shards of `depthhmr data pack` in {folder}, found none")
    refuse_shards_of_other_bodies(folder, body)
    tally = Tally()
    for shard in tqdm(shards, unit="shard", disable=not progress, dynamic_ncols=True):
        _of_shard(shard, body, maps, inverse, again, show, tally)
    return tally


def _of_shard(
    shard: Path, body: Body, maps: DepthMaps | None, inverse: bool, again: bool, show: int, tally: Tally
) -> None:
    if not (shard / "known_depth.npy").exists():
        raise UserError(f"{shard} was rendered and has true depth maps, expected a packed shard")
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in shard.glob("*.npy")}
    origins = [Origin(**item) for item in json.loads((shard / ORIGINS).read_text())]
    depth, known = np.array(arrays["depth"]), np.array(arrays["known_depth"])
    size = depth.shape[-1]
    for row in _eligible(arrays, known, again, tally):
        people = int(arrays["count"][row])
        camera = Intrinsics(*(float(value) for value in arrays["intrinsics"][row]))
        joints = arrays["joints_3d"][row, :people]
        isolated = isolate(
            body, arrays["betas"][row, :people], arrays["rotations"][row, :people], joints[:, 0], camera, size
        )
        isolated = isolated.within(content_of(origins[row], size))
        monocular = maps.of(origins[row], size) if maps is not None else None
        if monocular is None:
            refined = Refined(isolated.depth, isolated.person, None, np.zeros(people, bool))
        else:
            refined = refine(isolated, people, monocular, inverse=inverse)
        tally.made += 1
        tally.people += people
        tally.trusted += int(refined.trusted.sum())
        tally.without_map += monocular is None
        tally.rejected += monocular is not None and refined.aligned is None
        depth[row], known[row] = refined.depth, True
        if len(tally.rows) < show:
            rgb = np.array(arrays["rgb"][row])
            tally.rows.append(Shown(rgb, camera, monocular, inverse, isolated, refined))
    for name, values in (("depth", depth), ("known_depth", known)):
        partial = shard / f".{name}.npy"
        with partial.open("wb") as file:
            np.save(file, values)
        partial.replace(shard / f"{name}.npy")  # readers of the old file keep it


def content_of(origin: Origin, size: int) -> np.ndarray:
    """Where a letterboxed picture is not padding, bool [S, S]."""
    box = Letterbox(origin.width, origin.height, size)
    (width, height), (left, top) = box.content, box.offset
    inside = np.zeros((size, size), bool)
    inside[top : top + height, left : left + width] = True
    return inside


def _eligible(arrays: dict[str, np.ndarray], known: np.ndarray, again: bool, tally: Tally) -> Iterator[int]:
    for row, count in enumerate(arrays["count"]):
        if not count:
            continue
        if known[row] and not again:
            tally.kept += 1
        elif arrays["everyone"][row] and arrays["metric"][row] and arrays["known_3d"][row, :count].all():
            yield row
        else:
            tally.unknown += 1
