"""Reading an answer: numbers into arrays of the shape that the contract gives them, and one error for all that is not so."""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from service.client.errors import BadReply, ClientError

NOT_UNDERSTOOD = (KeyError, TypeError, ValueError, IndexError, AttributeError, zipfile.BadZipFile)


def floats(values: Sequence[Any], *shape: int) -> np.ndarray:
    """float32 of this shape."""
    return np.array(values, np.float32).reshape(shape)


def packed_floats(content: bytes, *shape: int) -> np.ndarray:
    """float32 of this shape from little-endian bytes."""
    return np.frombuffer(content, "<f4").astype(np.float32).reshape(shape)


@contextmanager
def understanding(request_id: str = "") -> Iterator[None]:
    """Around code that reads an answer: whatever is missing in it, or of another kind, is a BadReply."""
    try:
        yield
    except ClientError:
        raise
    except NOT_UNDERSTOOD as error:
        said = f"{type(error).__name__}: {error}"[:200]
        raise BadReply(f"the answer is not what the contract says: {said}", request_id=request_id) from error
