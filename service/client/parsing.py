"""Parsing replies: numbers into arrays of the documented shapes, and one error for everything malformed."""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from service.client.errors import BadReply, ClientError

PARSE_ERRORS = (KeyError, TypeError, ValueError, IndexError, AttributeError, zipfile.BadZipFile)


def floats(values: Sequence[Any], *shape: int) -> np.ndarray:
    """float32 of this shape."""
    return np.array(values, np.float32).reshape(shape)


def packed_floats(content: bytes, *shape: int) -> np.ndarray:
    """float32 of this shape from little-endian bytes."""
    return np.frombuffer(content, "<f4").astype(np.float32).reshape(shape)


@contextmanager
def parsing_reply(request_id: str = "") -> Iterator[None]:
    """Turns what goes wrong in parsing (missing keys, wrong types, wrong lengths) into BadReply."""
    try:
        yield
    except ClientError:
        raise
    except PARSE_ERRORS as error:
        said = f"{type(error).__name__}: {error}"[:200]
        raise BadReply(f"the reply does not have the documented form: {said}", request_id=request_id) from error
