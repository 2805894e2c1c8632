"""Reads the pickles of data sets without running any code from them.

A pickle can call any function. This reader accepts numpy's array constructors and, on request, substitutes for pandas'
tables and torch's tensors; every other name is an error. Neither pandas nor chumpy needs to be installed.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bodykit.errors import UserError
from bodykit.smpl_file import ArrayUnpickler

Row = Mapping[str, Any]


def read_pickle(path: Path) -> Any:
    """What a pickle holds: numbers, texts, lists, dictionaries, arrays; tensors become arrays, tables stay `Table`.

    Raises UserError if the file cannot be read, is damaged, or needs any other name.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    return _load(content, path)


def read_table(path: Path) -> list[Row]:
    """The rows of a pickled pandas table, each a mapping from column to cell. Raises UserError."""
    table = read_pickle(path)
    if not isinstance(table, Table):
        raise UserError(f"{path} holds a {type(table).__name__}, expected a pickled pandas table")
    try:
        return table.rows()
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"{path}: this release of pandas wrote its table in an unknown way: {error!r}") from error


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Entries of an npz file by name, those of Python objects too (`np.load(..., allow_pickle=True)` would run them).

    A single object in an array without axes is returned itself. Raises UserError, also for a missing entry.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            present = set(archive.namelist())
            missing = [name for name in names if f"{name}.npy" not in present]
            if missing:
                there = ", ".join(sorted(name.removesuffix(".npy") for name in present))
                raise UserError(f"{path} has no {', '.join(missing)}; it holds {there}")
            return {name: _read_npy(archive.read(f"{name}.npy"), path) for name in names}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise UserError(f"{path} is no npz file: {error}") from error


def _read_npy(content: bytes, path: Path) -> Any:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    if not dtype.hasobject:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    array = _load(content[stream.tell() :], path)
    return array[()] if isinstance(array, np.ndarray) and shape == () else array


def _load(content: bytes, path: Path) -> Any:
    try:
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except ModuleNotFoundError:
        raise  # torch, for tensors: the command names the extra that brings it
    except Exception as error:  # a damaged pickle can raise any error
        raise UserError(f"{path} is no readable pickle: {error}") from error


class Table:
    """pandas.core.frame.DataFrame: named columns over rows."""

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.manager: _Manager = state["_mgr"] if "_mgr" in state else state["_data"]

    def rows(self) -> list[Row]:
        """Every row, from column to cell."""
        names = [str(name) for name in self.manager.axes[0]]
        columns: dict[str, np.ndarray] = {}
        for values, place in self.manager.blocks:
            for row, index in enumerate(np.arange(len(names))[place]):
                columns[names[index]] = values[row]
        return [{name: columns[name][i] for name in names} for i in range(len(self.manager.axes[1]))]


class _Manager:
    """pandas' BlockManager: columns of one type lie together in a block [columns, rows], with their positions.

    Written as arguments since pandas 1.3, as a state before.
    """

    def __init__(self, blocks: Any = (), axes: Any = ()) -> None:
        self.blocks, self.axes = blocks, axes

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if len(state) >= 4:
            written = state[3]["0.14.1"]
            self.axes = written["axes"]
            self.blocks = [(block["values"], block["mgr_locs"]) for block in written["blocks"]]


class _Index:
    """pandas' index classes, which are only named."""


def _block(values: Any, place: Any, *_: Any) -> tuple[Any, Any]:
    """pandas._libs.internals._unpickle_block."""
    return values, place


def _index(_: type, parts: Mapping[str, Any]) -> Any:
    """pandas.core.indexes.base._new_Index: its labels."""
    if "data" in parts:
        return parts["data"]
    return range(parts["start"], parts["stop"], parts["step"])


def _storage(content: bytes) -> Any:
    """torch.storage._load_from_bytes, with the loader of torch that builds tensors and nothing else."""
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> np.ndarray:
    """torch._utils._rebuild_tensor_v2, as an array."""
    import torch._utils

    return torch._utils._rebuild_tensor(storage, offset, size, stride).detach().numpy()


def _parameter(data: np.ndarray, *_: Any) -> np.ndarray:
    """torch._utils._rebuild_parameter."""
    return data


class _Unpickler(pickle.Unpickler):
    KNOWN: Mapping[tuple[str, str], Callable[..., Any]] = {
        **{name: found for name, found in ArrayUnpickler.KNOWN.items() if name[0] != "copy_reg"},
        ("builtins", "slice"): slice,
        ("collections", "OrderedDict"): OrderedDict,
        ("pandas.core.frame", "DataFrame"): Table,
        ("pandas.core.internals.managers", "BlockManager"): _Manager,
        ("pandas.core.internals", "BlockManager"): _Manager,
        ("pandas._libs.internals", "_unpickle_block"): _block,
        ("pandas.core.indexes.base", "_new_Index"): _index,
        ("torch.storage", "_load_from_bytes"): _storage,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch._utils", "_rebuild_parameter"): _parameter,
    }

    def find_class(self, module: str, name: str) -> Any:
        module = ArrayUnpickler.RENAMED.get(module, module).replace("numpy._core", "numpy.core")
        if (module, name) in self.KNOWN:
            return self.KNOWN[module, name]
        if module.startswith("pandas.core.indexes.") and name.endswith("Index"):
            return _Index
        raise UserError(f"the pickle asks for {module}.{name}, which is neither an array nor a table; not loaded")
