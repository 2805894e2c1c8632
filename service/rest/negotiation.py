"""Chooses the media type of a response by the Accept header (RFC 9110, section 12.5.1)."""

import math
from collections.abc import Sequence

from service.errors import NotAcceptable


def choose(accept: str, offered: Sequence[str]) -> str:
    """The offered media type with the highest quality; among equals the first one.

    An empty header accepts anything. Raises NotAcceptable when none of them is accepted.
    """
    ranges = [parsed for item in accept.split(",") if (parsed := _media_range(item))]
    if not ranges:
        if accept.strip():
            raise NotAcceptable(_sentence(accept, offered))
        return offered[0]
    quality = {media_type: _quality(media_type, ranges) for media_type in offered}
    best = max(offered, key=lambda media_type: quality[media_type])
    if quality[best] <= 0:
        raise NotAcceptable(_sentence(accept, offered))
    return best


def _media_range(item: str) -> tuple[str, float] | None:
    """`image/*;q=0.5` -> ("image/*", 0.5); None for anything else."""
    name, *parameters = (part.strip().lower() for part in item.split(";"))
    main, slash, sub = name.partition("/")
    if not (main and slash and sub) or (main == "*" and sub != "*"):
        return None
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return None
            return (name, quality) if math.isfinite(quality) and 0 <= quality <= 1 else None
    return name, 1.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """By the most specific matching range, so that `image/png;q=0, */*` excludes PNG."""
    for pattern in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        found = [quality for name, quality in ranges if name == pattern]
        if found:
            return max(found)
    return 0.0


def _sentence(accept: str, offered: Sequence[str]) -> str:
    return f"can answer with {', '.join(offered)}; the request accepts only {accept[:200]}"
