"""Reads a licensed user's own SMPL file (.pkl or .npz) as a `Body`. Runs no code from the file.

The official pickles were written by Python 2 with scipy and chumpy objects inside. A pickle can call any
function, so this reader accepts numpy's array constructors and inert stand-ins for the rest, and refuses all other names.
"""

import hashlib
import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from bodykit.body import BETAS, JOINTS, PARENTS, POSE_FEATURES, Body, SparseRows, check_body
from bodykit.errors import UserError

LICENSE = "SMPL body model licence (not free, no redistribution)"
KEYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
MAX_INFLUENCES = 4


def read_smpl_file(path: Path, *, name: str | None = None) -> Body:
    """The body in an SMPL file with 24 joints; the first 10 shape directions are kept. `name`: default the file's stem.

    Raises UserError if the file cannot be read, is no SMPL model, or needs any other name.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    read = _read_npz if zipfile.is_zipfile(io.BytesIO(content)) else _read_pickle
    entries = read(content, path)
    missing = [key for key in KEYS if key not in entries]
    if missing:
        raise UserError(f"{path} is not an SMPL model: it has no {', '.join(missing)}")
    arrays = {key: _array(entries[key], key, path) for key in KEYS}
    provenance = {"source": path.name, "source_sha256": hashlib.sha256(content).hexdigest()}
    return _assemble(arrays, path, name=name or path.stem.lower(), provenance=provenance)


def _assemble(arrays: Mapping[str, np.ndarray], path: Path, *, name: str, provenance: dict[str, str]) -> Body:
    _check_tree(arrays["kintree_table"], path)
    template = arrays["v_template"].astype(np.float64)
    vertices = len(template)
    shapes = {
        "v_template": (vertices, 3),
        "J_regressor": (JOINTS, vertices),
        "weights": (vertices, JOINTS),
        "posedirs": (vertices, 3, POSE_FEATURES),
        "f": (len(arrays["f"]), 3),
    }
    for key, shape in shapes.items():
        if arrays[key].shape != shape:
            raise UserError(f"{path}: {key} has shape {list(arrays[key].shape)}, expected {list(shape)}")
    shapedirs = arrays["shapedirs"].astype(np.float64)
    if shapedirs.ndim != 3 or shapedirs.shape[:2] != (vertices, 3) or shapedirs.shape[2] < BETAS:
        wanted = f"[{vertices}, 3, {BETAS} or more]"
        raise UserError(f"{path}: shapedirs has shape {list(shapedirs.shape)}, expected {wanted}")
    shapedirs = shapedirs[:, :, :BETAS]
    regressor = arrays["J_regressor"].astype(np.float64)
    index, value = _four_influences(arrays["weights"].astype(np.float64), path)
    body = Body(
        name=name,
        version="1",
        license=LICENSE,
        sha256="",
        template=template.astype(np.float32),
        faces=arrays["f"].astype(np.int32),
        shapedirs=shapedirs.astype(np.float32),
        joint_template=(regressor @ template).astype(np.float32),
        joint_shapedirs=np.einsum("jv,vck->jck", regressor, shapedirs).astype(np.float32),
        joint_regressor=SparseRows.from_dense(regressor),
        weight_index=index,
        weight_value=value,
        posedirs=SparseRows.from_dense(np.swapaxes(arrays["posedirs"], 1, 2)),
        provenance=MappingProxyType(provenance),
    )
    check_body(body, origin=str(path))
    return body


def _check_tree(kintree: np.ndarray, path: Path) -> None:
    if kintree.ndim != 2 or kintree.shape[1] != JOINTS:
        count = kintree.shape[-1] if kintree.ndim else 0
        raise UserError(f"{path} has {count} joints, expected SMPL's {JOINTS} (SMPL-H and SMPL-X are not supported)")
    if tuple(int(parent) for parent in kintree[0, 1:]) != PARENTS[1:]:
        raise UserError(f"{path}: kintree_table does not hold SMPL's joint tree")


def _four_influences(weights: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    index = np.argsort(-weights, axis=1, kind="stable")[:, :MAX_INFLUENCES]
    value = np.take_along_axis(weights, index, axis=1)
    lost = float(np.max(weights.sum(axis=1) - value.sum(axis=1)))
    if lost > 1e-3:
        raise UserError(f"{path}: a vertex follows more than {MAX_INFLUENCES} joints (the others hold {lost:.3f})")
    return index.astype(np.int32), (value / value.sum(axis=1, keepdims=True)).astype(np.float32)


def _read_npz(content: bytes, path: Path) -> Mapping[str, Any]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {key: archive[key] for key in KEYS if key in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _read_pickle(content: bytes, path: Path) -> Mapping[str, Any]:
    try:
        entries = ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle can raise any error
        raise UserError(f"{path} is neither an npz nor a readable pickle: {error}") from error
    if not isinstance(entries, dict):
        raise UserError(f"{path} is not an SMPL model: expected a dictionary, got {type(entries).__name__}")
    return entries


class _Inert:
    """Inert substitute for an object of scipy or chumpy: keeps its state, does nothing."""

    def __init__(self, *_: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class _SparseColumns(_Inert):
    """scipy.sparse.csc_matrix."""


class _SparseRows(_Inert):
    """scipy.sparse.csr_matrix."""


class _Chumpy(_Inert):
    """Any chumpy object: `x` of a plain array, `a` and `idxs` of a selection from another."""


def _reconstruct(kind: type, base: type, state: Any) -> Any:
    """copy_reg._reconstructor, for inert classes only."""
    if not issubclass(kind, _Inert):
        raise UserError(f"the pickle builds an object of {kind.__name__}, expected arrays only")
    return kind()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """_codecs.encode: how Python 3 writes bytes into an old pickle."""
    return text.encode(encoding)


class ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and the substitutes above; refuses every other name."""

    KNOWN: Mapping[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        ("numpy.core.multiarray", "scalar"): np._core.multiarray.scalar,  # type: ignore[attr-defined]
        ("numpy.core.numeric", "_frombuffer"): np._core.numeric._frombuffer,  # type: ignore[attr-defined]
        ("copy_reg", "_reconstructor"): _reconstruct,
        ("_codecs", "encode"): _encode,
        ("builtins", "object"): object,
    }
    RENAMED: Mapping[str, str] = {"__builtin__": "builtins", "copyreg": "copy_reg"}

    def find_class(self, module: str, name: str) -> Any:
        module = self.RENAMED.get(module, module).replace("numpy._core", "numpy.core")
        if (module, name) in self.KNOWN:
            return self.KNOWN[module, name]
        if module.startswith("scipy.sparse") and name in ("csc_matrix", "csr_matrix"):
            return _SparseColumns if name == "csc_matrix" else _SparseRows
        if module.split(".")[0] == "chumpy":
            return _Chumpy
        raise UserError(f"the pickle asks for {module}.{name}, which no SMPL model needs; not loaded")


def _array(value: Any, key: str, path: Path) -> np.ndarray:
    """A numeric array out of an array or a stand-in."""
    try:
        array = np.asarray(_plain(value))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path}: cannot make an array of {key}: {error!r}") from error
    if array.dtype.kind not in "fiu":
        raise UserError(f"{path}: {key} holds {array.dtype}, expected numbers")
    return array


def _plain(value: Any) -> Any:
    if isinstance(value, _Chumpy):
        if "x" in value.state:
            return _plain(value.state["x"])
        chosen = np.asarray(_plain(value.state["a"])).ravel()[np.asarray(value.state["idxs"])]
        return chosen.reshape(value.state.get("preferred_shape", chosen.shape))
    if isinstance(value, _SparseColumns | _SparseRows):
        return _dense(value)
    return value


def _dense(sparse: _SparseColumns | _SparseRows) -> np.ndarray:
    state = sparse.state
    rows, columns = state["_shape"] if "_shape" in state else state["shape"]
    by_column = isinstance(sparse, _SparseColumns)
    major = np.repeat(np.arange(columns if by_column else rows), np.diff(state["indptr"]))
    full = np.zeros((rows, columns))
    where = (state["indices"], major) if by_column else (major, state["indices"])
    np.add.at(full, where, state["data"])
    return full
