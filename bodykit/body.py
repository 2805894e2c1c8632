"""The body model: a template mesh, its shape and pose directions, and its joints. Read from and written to one npz.

Rest frame: x to the person's left, y up, z to the front, metres, arms out in a T, pelvis joint at the origin.
The layout is SMPL's (24 joints, 10 shape numbers), but sparse where SMPL's is dense.
"""

import hashlib
import io
import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zipfile import BadZipFile

import numpy as np

from bodykit.errors import UserError

JOINT_NAMES: tuple[str, ...] = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)
PARENTS: tuple[int, ...] = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
JOINTS = len(JOINT_NAMES)
JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}
SIDES = {"left": "right", "right": "left"}
# For each joint the one on the other side of the body; the joint itself on the middle line.
MIRRORED_JOINTS = tuple(
    JOINT[f"{SIDES[side]}_{part}" if side in SIDES else name]
    for name in JOINT_NAMES
    for side, _, part in [name.partition("_")]
)
BETAS = 10
POSE_FEATURES = 9 * (JOINTS - 1)


@dataclass(frozen=True)
class SparseRows:
    """A sparse matrix in compressed sparse rows.

    Row r has the columns `column[offset[r]:offset[r + 1]]` and, for each of them, a value or a vector in `value`.
    """

    offset: np.ndarray  # [rows + 1] int32
    column: np.ndarray  # [entries] int32
    value: np.ndarray  # [entries, ...] float32

    def rows_of_entries(self) -> np.ndarray:
        """The row index of every entry, [entries]."""
        return np.repeat(np.arange(len(self.offset) - 1), np.diff(self.offset))

    def dense(self, columns: int) -> np.ndarray:
        """The full array [rows, columns, ...]."""
        full = np.zeros((len(self.offset) - 1, columns, *self.value.shape[1:]), self.value.dtype)
        full[self.rows_of_entries(), self.column] = self.value
        return full

    @classmethod
    def from_dense(cls, full: np.ndarray) -> "SparseRows":
        """Keeps the entries of an array [rows, columns, ...] that are not all zero."""
        used = full != 0 if full.ndim == 2 else np.any(full != 0, axis=tuple(range(2, full.ndim)))
        offset = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
        rows, columns = np.nonzero(used)
        return cls(offset.astype(np.int32), columns.astype(np.int32), full[rows, columns].astype(np.float32))


@dataclass(frozen=True)
class Body:
    """One body model. V vertices, F faces, 24 joints, 10 shape numbers; metres throughout."""

    name: str
    version: str
    license: str
    sha256: str  # of the file; "" for a body that was built in memory
    template: np.ndarray  # [V, 3] mean person in the rest pose
    faces: np.ndarray  # [F, 3] int32, counter-clockwise from outside
    shapedirs: np.ndarray  # [V, 3, 10] metres per unit of beta
    joint_template: np.ndarray  # [24, 3]
    joint_shapedirs: np.ndarray  # [24, 3, 10]
    joint_regressor: SparseRows  # [24, V]: joint_template = joint_regressor @ template
    weight_index: np.ndarray  # [V, 4] int32 joints that move a vertex
    weight_value: np.ndarray  # [V, 4] their shares, summing to 1
    posedirs: SparseRows  # [V, 207, 3]: displacement per entry of (R - identity) of joints 1..23, row-major
    vertex_ids: MappingProxyType[str, int] = field(default_factory=lambda: MappingProxyType({}))  # landmarks
    provenance: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    parents: tuple[int, ...] = PARENTS

    def __repr__(self) -> str:
        return f"Body({self.name!r}, version={self.version!r}, {len(self.template)} vertices, {len(self.faces)} faces)"


@cache
def load_body(path: Path | None = None) -> Body:
    """Reads a body file; None reads the free body of the package. Cached per path.

    Raises UserError if the file is missing, is not a body file, or is inconsistent.
    """
    source = files("bodykit").joinpath("data/free_body.npz") if path is None else Path(path)
    try:
        content = source.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the body file {source}: {error.strerror or error}") from error
    return decode_body(content, origin=str(source))


def decode_body(content: bytes, *, origin: str) -> Body:
    """The body in the bytes of an npz file; `origin` names it in error messages."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        header = json.loads(str(arrays["header"]))
        body = Body(
            name=header["name"],
            version=header["version"],
            license=header["license"],
            sha256=hashlib.sha256(content).hexdigest(),
            template=_floats(arrays["template"]),
            faces=_indices(arrays["faces"]),
            shapedirs=_floats(arrays["shapedirs"]),
            joint_template=_floats(arrays["joint_template"]),
            joint_shapedirs=_floats(arrays["joint_shapedirs"]),
            joint_regressor=_read_sparse(arrays, "joint_regressor"),
            weight_index=_indices(arrays["weight_index"]),
            weight_value=_floats(arrays["weight_value"]),
            posedirs=_read_sparse(arrays, "posedirs"),
            vertex_ids=MappingProxyType({name: int(index) for name, index in header["vertex_ids"].items()}),
            provenance=MappingProxyType(header["provenance"]),
        )
    except (KeyError, TypeError, ValueError, OSError, EOFError, BadZipFile) as error:
        raise UserError(
            f"{origin} is not a body file (an npz written by `depthhmr body bake` or `depthhmr body import`): {error}"
        ) from error
    check_body(body, origin=origin)
    return body


def encode_body(body: Body) -> bytes:
    """The bytes of the npz file of a body. The same body gives the same bytes."""
    header = {
        "name": body.name,
        "version": body.version,
        "license": body.license,
        "vertex_ids": dict(body.vertex_ids),
        "provenance": dict(body.provenance),
    }
    narrow = np.uint16 if len(body.template) <= 2**16 else np.uint32
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        header=np.array(json.dumps(header, sort_keys=True)),
        template=body.template,
        faces=body.faces.astype(narrow),
        shapedirs=body.shapedirs,
        joint_template=body.joint_template,
        joint_shapedirs=body.joint_shapedirs,
        weight_index=body.weight_index.astype(np.uint8),
        weight_value=body.weight_value,
        **_written_sparse("joint_regressor", body.joint_regressor, narrow),
        **_written_sparse("posedirs", body.posedirs, np.uint8),
    )
    return buffer.getvalue()


def check_body(body: Body, *, origin: str) -> None:
    """Raises UserError unless every array has its shape, every number is finite and every index is in range."""
    vertices = len(body.template)
    expected = {
        "template": (body.template.shape, (vertices, 3)),
        "faces": (body.faces.shape, (len(body.faces), 3)),
        "shapedirs": (body.shapedirs.shape, (vertices, 3, BETAS)),
        "joint_template": (body.joint_template.shape, (JOINTS, 3)),
        "joint_shapedirs": (body.joint_shapedirs.shape, (JOINTS, 3, BETAS)),
        "joint_regressor": (body.joint_regressor.offset.shape, (JOINTS + 1,)),
        "weight_index": (body.weight_index.shape, (vertices, 4)),
        "weight_value": (body.weight_value.shape, (vertices, 4)),
        "posedirs": (body.posedirs.offset.shape, (vertices + 1,)),
    }
    for name, (shape, wanted) in expected.items():
        if shape != wanted:
            raise UserError(f"{origin}: {name} has shape {list(shape)}, expected {list(wanted)}")
    limits = {
        "faces": (body.faces, vertices),
        "weight_index": (body.weight_index, JOINTS),
        "joint_regressor": (body.joint_regressor.column, vertices),
        "posedirs": (body.posedirs.column, POSE_FEATURES),
        "vertex_ids": (np.array(list(body.vertex_ids.values()), np.int64), vertices),
    }
    for name, (index, limit) in limits.items():
        if index.size and not 0 <= index.min() <= index.max() < limit:
            raise UserError(f"{origin}: {name} holds an index outside 0..{limit - 1}")
    for name, rows in (("joint_regressor", body.joint_regressor), ("posedirs", body.posedirs)):
        if rows.offset[0] != 0 or rows.offset[-1] != len(rows.column) or np.any(np.diff(rows.offset) < 0):
            raise UserError(f"{origin}: the row offsets of {name} do not fit its {len(rows.column)} entries")
        if len(rows.value) != len(rows.column):
            raise UserError(f"{origin}: {name} has {len(rows.column)} columns but {len(rows.value)} values")
    numbers = {
        "template": body.template,
        "shapedirs": body.shapedirs,
        "joint_template": body.joint_template,
        "joint_shapedirs": body.joint_shapedirs,
        "joint_regressor": body.joint_regressor.value,
        "weight_value": body.weight_value,
        "posedirs": body.posedirs.value,
    }
    for name, values in numbers.items():
        if not np.isfinite(values).all():
            raise UserError(f"{origin}: {name} holds values that are not finite, expected numbers")
    if not np.allclose(body.weight_value.sum(axis=1), 1, atol=1e-4):
        raise UserError(f"{origin}: the skinning weights of some vertex do not sum to 1")


def _floats(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)


def _indices(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.int32)


def _read_sparse(arrays: dict[str, np.ndarray], name: str) -> SparseRows:
    offset = np.concatenate([[0], np.cumsum(arrays[f"{name}_count"], dtype=np.int64)])
    return SparseRows(_indices(offset), _indices(arrays[f"{name}_column"]), _floats(arrays[f"{name}_value"]))


def _written_sparse(name: str, rows: SparseRows, column_type: type) -> dict[str, np.ndarray]:
    return {
        f"{name}_count": np.diff(rows.offset).astype(np.uint16),
        f"{name}_column": rows.column.astype(column_type),
        f"{name}_value": rows.value,
    }
