"""Checkpoint files: replaced in one step, read without executing anything."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from bodykit.errors import UserError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a kill at any moment leaves the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load(path: Path, *keys: str) -> dict[str, Any]:
    """A checkpoint with at least these keys, on the processor. UserError where there is none."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        first = (str(error).splitlines() or ["it is cut"])[0]
        raise UserError(f"{path} is no checkpoint that PyTorch can read: {first[:200]}") from error
    missing = [key for key in keys if not isinstance(state, dict) or key not in state]
    if missing:
        raise UserError(f"{path} is no checkpoint of `depthhmr train`: it lacks {', '.join(missing)}")
    return dict(state)
