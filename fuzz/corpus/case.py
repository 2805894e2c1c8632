"""One picture of the corpus, and what must become of it."""

from collections.abc import Callable
from dataclasses import dataclass

from fuzz.corpus.pictures import HEIGHT, WIDTH
from service.settings import DEFAULTS


@dataclass(frozen=True)
class Refused:
    """Told to the client with this status and code."""

    http: int
    code: str


@dataclass(frozen=True)
class Decoded:
    """A picture of this size, upright, which looks like `colours`: the middles of its left and right upper quarters."""

    width: int = WIDTH
    height: int = HEIGHT
    colours: tuple[tuple[int, int, int], tuple[int, int, int]] | None = None
    focal: bool = False  # EXIF told the focal length


@dataclass(frozen=True)
class Either:
    """A picture or a refusal of the picture: chance damage may do no harm. Never a fault of ours."""


@dataclass(frozen=True)
class Case:
    name: str
    content: Callable[[], bytes]
    expected: Refused | Decoded | Either
    large: bool = False  # takes megabytes or a second; decoded, but not sent over the network


RED_GREEN = ((255, 0, 0), (0, 255, 0))
DAMAGED = Refused(422, "invalid-image")
OTHER = Refused(415, "unsupported-media")
TOO_LARGE = Refused(413, "image-too-large")
BODY_LIMIT = DEFAULTS.max_body_bytes
