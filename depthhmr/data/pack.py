"""Pictures of any reader into shards of the form of depthhmr/data/shards.py, with the arrays that mark what is labelled.

Beside the arrays of a rendered shard, with P = MAX_PEOPLE: joints_2d float32 [N, P, 24, 2] pixels of rgb, known_2d bool
[N, P, 24], known_3d bool [N, P] (rotations, betas and joints_3d are true), layer int16 [N, P] (-1 unknown), everyone,
metric and known_depth bool [N]. A joint that is labelled nearby, as LSP's hips are, has its pixel in joints_2d and is not
known; one without a label has 0, 0. `pictures.json` names the files that the samples came from.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from bodykit.body import BETAS, JOINTS, Body, load_body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.letterbox import Letterbox, letterbox
from depthhmr.body_id import id_of
from depthhmr.data.picture import NO_LAYER, Person, Picture
from depthhmr.data.shards import MAX_PEOPLE, SHARD

ORIGINS = "pictures.json"
BLOCK = 16 * SHARD  # pictures shuffled together; the labels of a large data set do not fit into memory

ARRAYS: dict[str, tuple[type, tuple[int, ...]]] = {  # name -> type and shape of a sample
    "intrinsics": (np.float32, (4,)),
    "count": (np.int16, ()),
    "visible": (np.float32, (MAX_PEOPLE,)),
    "rotations": (np.float32, (MAX_PEOPLE, JOINTS, 3, 3)),
    "betas": (np.float32, (MAX_PEOPLE, BETAS)),
    "joints_3d": (np.float32, (MAX_PEOPLE, JOINTS, 3)),
    "joints_2d": (np.float32, (MAX_PEOPLE, JOINTS, 2)),
    "known_2d": (np.bool_, (MAX_PEOPLE, JOINTS)),
    "known_3d": (np.bool_, (MAX_PEOPLE,)),
    "layer": (np.int16, (MAX_PEOPLE,)),
    "everyone": (np.bool_, ()),
    "metric": (np.bool_, ()),
    "known_depth": (np.bool_, ()),
}


@dataclass(frozen=True)
class Origin:
    """The file of a sample, and its size in pixels after the quarter turns (clockwise)."""

    path: str
    width: int
    height: int
    quarter_turns: int = 0


@dataclass(frozen=True)
class Packed:
    """What was written."""

    pictures: int
    people: int
    posed: int  # of them known in 3D
    left_out: int  # people beyond MAX_PEOPLE in a picture
    shards: int


def pack(
    pictures: Iterable[Picture], folder: Path, *, size: int, seed: int = 0, progress: bool = False,
    body: Body | None = None,
) -> Packed:  # fmt: skip
    """Writes all pictures as shards of nearly equal length into a new or empty folder, shuffled by `seed` block by block.

    People in 3D are of `body`, the free one when None.
    Raises UserError without pictures, for an unreadable one, or if the folder is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"expected a new or empty folder, so that two data sets are never mixed, got {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    body = load_body() if body is None else body
    rng = np.random.default_rng(seed)
    written = people = posed = left_out = shards = 0
    with tqdm(unit="picture", disable=not progress, dynamic_ncols=True) as bar:
        for block in blocks(pictures, BLOCK):
            for rows in np.array_split(rng.permutation(len(block)), -(-len(block) // SHARD)):
                with ShardWriter(folder, written, len(rows), size, body) as writer:
                    for index in rows:
                        kept = writer.add(block[index])
                        people += len(kept)
                        posed += sum(person.pose is not None for person in kept)
                        left_out += len(block[index].people) - len(kept)
                        bar.update()
                written, shards = written + len(rows), shards + 1
    if not written:
        raise UserError("expected at least 1 picture to pack, got none")
    return Packed(written, people, posed, left_out, shards)


def blocks(pictures: Iterable[Picture], length: int) -> Iterator[list[Picture]]:
    """Lists of `length` pictures; the last is longer or, where all fit, shorter, so that no shard is tiny."""
    held: list[Picture] = []
    for picture in pictures:
        held.append(picture)
        if len(held) == 2 * length:
            yield held[:length]
            held = held[length:]
    if held:
        yield held


class ShardWriter:
    """One shard, filled picture by picture and moved into place at the end; an error leaves nothing behind.

    The arrays are files from the start: a shard of any size takes no memory, and most file systems store no zeros.
    """

    def __init__(self, root: Path, first: int, count: int, size: int, body: Body) -> None:
        self._body = id_of(body)
        self.count, self.size, self.row = count, size, 0
        self._final = root / f"{first:010d}"
        self._partial = root / f".{first:010d}.{os.getpid()}"
        self._partial.mkdir(parents=True)
        self._first = first
        self._origins: list[Origin] = []
        shapes = {"rgb": (np.uint8, (size, size, 3)), "depth": (np.float16, (size, size)), **ARRAYS}
        self.arrays = {
            name: np.lib.format.open_memmap(self._partial / f"{name}.npy", "w+", kind, (count, *shape))
            for name, (kind, shape) in shapes.items()
        }
        self.arrays["rotations"][:] = np.eye(3, dtype=np.float32)
        self.arrays["joints_3d"][:] = 1
        self.arrays["layer"][:] = NO_LAYER

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
            return
        assert self.row == self.count, f"expected {self.count} pictures, got {self.row}"
        for values in self.arrays.values():
            values.flush()
        facts = {"first_seed": self._first, "count": self.count, "size": self.size, "body": self._body}
        (self._partial / "shard.json").write_text(json.dumps(facts))
        (self._partial / ORIGINS).write_text(json.dumps([asdict(origin) for origin in self._origins]))
        self._partial.rename(self._final)

    def add(self, picture: Picture) -> list[Person]:
        """Letterboxes a picture into the next row, with its labels. -> the people kept."""
        row, arrays = self.row, self.arrays
        pixels = picture.pixels()
        square, box = letterbox(pixels, self.size)
        arrays["rgb"][row] = square
        camera = picture.intrinsics or Intrinsics.from_fov(box.width, box.height)
        arrays["intrinsics"][row] = box.intrinsics(camera).array()
        self._origins.append(Origin(str(picture.path), box.width, box.height, picture.quarter_turns))
        people = nearest_the_eye(picture.people)
        arrays["count"][row] = len(people)
        arrays["everyone"][row] = picture.everyone and len(people) == len(picture.people)
        arrays["metric"][row] = picture.metric
        arrays["known_depth"][row] = picture.everyone and not picture.people  # no people, so no depth anywhere
        if picture.depth is not None:
            arrays["depth"][row], arrays["known_depth"][row] = fit_depth(picture.depth(), box, picture.path), True
        for i, person in enumerate(people):
            self._add_person(row, i, person, box)
        self.row += 1
        return people

    def _add_person(self, row: int, i: int, person: Person, box: Letterbox) -> None:
        arrays = self.arrays
        given = np.isfinite(person.joints_2d).all(axis=1)
        arrays["joints_2d"][row, i] = np.where(given[:, None], box.from_image(person.joints_2d), 0)
        arrays["known_2d"][row, i] = person.known_2d
        arrays["visible"][row, i], arrays["layer"][row, i] = person.visible, person.layer
        if person.pose is not None:
            arrays["known_3d"][row, i] = True
            arrays["rotations"][row, i] = person.pose.rotations
            arrays["betas"][row, i] = person.pose.betas
            arrays["joints_3d"][row, i] = person.pose.joints_3d


def nearest_the_eye(people: Sequence[Person]) -> list[Person]:
    """The MAX_PEOPLE of them that cover most of the picture, in their order."""
    if len(people) <= MAX_PEOPLE:
        return list(people)
    extents = [_extent(person.joints_2d) for person in people]
    kept = sorted(np.argsort(-np.array(extents), kind="stable")[:MAX_PEOPLE])
    return [people[i] for i in kept]


def _extent(joints: np.ndarray) -> float:
    """Longer side of the box around the labelled joints [24, 2], pixels; 0 without any."""
    given = joints[np.isfinite(joints).all(axis=1)]
    return float(np.ptp(given, axis=0).max()) if len(given) else 0.0


def fit_depth(depth: np.ndarray, box: Letterbox, path: Path) -> np.ndarray:
    """A depth map of the picture in the letterboxed square, float32 [S, S]. By nearest neighbour: depths never mix."""
    if depth.shape != (box.height, box.width):
        wanted = f"[{box.height}, {box.width}] as of {path}"
        raise UserError(f"a depth map has shape {list(depth.shape)}, expected {wanted}")
    return fit_map(depth, box, 0)


def fit_map(values: np.ndarray, box: Letterbox, outside: float) -> np.ndarray:
    """A map [h, w] of the whole picture in the letterboxed square, float32 [S, S], `outside` where there is padding."""
    content = Image.fromarray(values.astype(np.float32)).resize(box.content, Image.Resampling.NEAREST)
    square = np.full((box.size, box.size), outside, np.float32)
    (width, height), (left, top) = box.content, box.offset
    square[top : top + height, left : left + width] = np.asarray(content)
    return square
