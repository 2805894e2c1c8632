"""What a caller may ask for, as keyword arguments. Whether the values make sense is for the service to say."""

from collections.abc import Mapping
from typing import Literal, TypedDict, cast

from service.client.errors import InvalidUse
from service.client.results import Camera

OverloadPolicy = Literal["block", "drop-oldest"]


class ImageOptions(TypedDict, total=False):
    """What is wanted of an image; everything has a default."""

    threshold: float | None  # score from which a person counts, above 0 up to 1; default: the network's own
    max_people: int | None  # keep the surest so many
    fov_degrees: float | None  # field of view across the longer side; default: from EXIF, else 60
    camera: Camera | None  # intrinsics in pixels of the upright image, instead
    vertices: bool  # the mesh of every person
    depth: bool  # the map of people's distances
    glb: bool  # the scene as a GLB file


class CallOptions(ImageOptions, total=False):
    """And of the call. `timeout_s` is the whole budget, which all attempts share; it goes to the service, too."""

    timeout_s: float  # default: the client's
    request_id: str  # stands in the service's log: letters, digits and ._:- only; default: made up


class StreamOptions(ImageOptions, total=False):
    """And of a stream."""

    policy: OverloadPolicy  # default: block
    max_in_flight: int  # frames in work at once; default: the service's
    track: bool  # give people ids that stay theirs
    max_gap_s: float  # how long a person may be unseen and still be known again; with track
    smooth: bool  # take the jitter out; needs track
    strength: float  # 1 is the default, more is calmer and later, 0.1 to 10; with smooth
    timeout_s: float | None  # of the whole stream; default: none
    request_id: str


IMAGE_OPTIONS = ImageOptions.__annotations__.keys()


def image_options(options: Mapping[str, object]) -> ImageOptions:
    """The options of the image among others. Raises InvalidUse for two cameras."""
    chosen = cast(ImageOptions, {name: value for name, value in options.items() if name in IMAGE_OPTIONS})
    if chosen.get("camera") is not None and chosen.get("fov_degrees") is not None:
        raise InvalidUse("give either camera or fov_degrees, got both")
    return chosen


def check_known(options: Mapping[str, object], known: type) -> None:
    """Raise TypeError, as Python does for any other function, when `options` holds a name that is not in `known`."""
    names = known.__annotations__  # a TypedDict's holds the inherited ones, too
    if unknown := [name for name in options if name not in names]:
        raise TypeError(f"there is no option {unknown[0]!r}; there are {', '.join(sorted(names))}")
