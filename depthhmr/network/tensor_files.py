"""Files of named tensors: PyTorch's own (`.pth`, `.pt`, `.bin`) and safetensors. Nothing in them is executed."""

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bodykit.errors import UserError

SAFETENSORS_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
MOST_HEADER_BYTES = 100_000_000  # the format's own limit


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. UserError when there is no such file, or it is damaged or something else."""
    if not path.is_file():
        raise UserError(f"expected a file of weights at {path}, found {'a folder' if path.is_dir() else 'none'}")
    content = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    if not isinstance(content, dict) or not content:
        raise UserError(f"expected {path} to hold tensors by name, it holds {_kind(content)}")
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise UserError(f"expected {path} to hold tensors by name, under {name!r} it holds {_kind(value)}")
    return content


def _kind(value: object) -> str:
    return "nothing" if value == {} else f"a {type(value).__name__}"


def _pickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"expected {path} to hold tensors alone, as a checkpoint does; it holds something else"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise UserError(f"{path} is no PyTorch checkpoint, or it is cut short: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _safetensors(path: Path) -> dict[str, Tensor]:
    """The format: length of the header (uint64, little-endian), header (JSON), then the bytes of all tensors."""
    content = bytearray(path.read_bytes())
    if len(content) < 8:
        raise UserError(f"{path} is no safetensors file: it ends after {len(content)} bytes")
    (length,) = struct.unpack_from("<Q", content)
    if length > min(MOST_HEADER_BYTES, len(content) - 8):
        raise UserError(f"{path} is no safetensors file, or it is cut short: its header would be {length} bytes long")
    try:
        header = json.loads(content[8 : 8 + length])
        entries = {name: _place(entry) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no safetensors file: its header cannot be read ({_first_line(error)})") from error
    body = memoryview(content)[8 + length :]
    tensors = {}
    for name, (dtype, shape, first, last) in entries.items():
        if dtype not in SAFETENSORS_DTYPES:
            raise UserError(f"expected {name} in {path} to be of {', '.join(SAFETENSORS_DTYPES)}, it is of {dtype}")
        kind, count = SAFETENSORS_DTYPES[dtype], torch.Size(shape).numel()
        if not 0 <= first <= last <= len(body):
            raise UserError(f"{path} is cut short: {name} ends {last - len(body)} bytes after the file")
        if last - first != count * kind.itemsize:
            raise UserError(f"{name} in {path} has {last - first} bytes, expected {count * kind.itemsize} for {shape}")
        flat = torch.frombuffer(body, dtype=kind, count=count, offset=first) if count else torch.empty(0, dtype=kind)
        tensors[name] = flat.reshape(shape)
    return tensors


def _place(entry: dict[str, Any]) -> tuple[str, tuple[int, ...], int, int]:
    """Type, shape, first and last byte of a tensor."""
    shape = tuple(int(length) for length in entry["shape"])
    first, last = (int(offset) for offset in entry["data_offsets"])
    if min(shape, default=0) < 0:
        raise ValueError(f"a shape of {shape}")
    return entry["dtype"], shape, first, last
