"""One picture of what `depthhmr stream` is given."""

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Picture:
    """One image file, and when it was taken: seconds since the first one."""

    content: bytes
    time_s: float
