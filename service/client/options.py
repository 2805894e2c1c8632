"""The keyword arguments of a call. The service validates their values."""

from collections.abc import Mapping
from typing import Literal, TypedDict, cast

from service.client.errors import InvalidUse
from service.client.results import Camera

OverloadPolicy = Literal["block", "drop-oldest"]


class ImageOptions(TypedDict, total=False):
    """Options of one image; all have defaults."""

    threshold: float | None  # minimum score of a person, above 0 up to 1; default: the model's
    max_people: int | None  # keep at most this many people, those with the highest scores
    fov_degrees: float | None  # field of view across the longer side; default: from EXIF, else 60
    camera: Camera | None  # intrinsics in pixels of the upright image, instead of fov_degrees
    vertices: bool  # return the mesh of every person
    depth: bool  # return the depth map of the people
    glb: bool  # return the scene as a GLB file


class CallOptions(ImageOptions, total=False):
    """And of the call. `timeout_s` covers all attempts together and is also sent to the service."""

    timeout_s: float  # default: the client's
    request_id: str  # appears in the service's log: letters, digits and ._:- only; default: generated


class StreamOptions(ImageOptions, total=False):
    """And of a stream."""

    policy: OverloadPolicy  # default: block
    max_in_flight: int  # frames processed at once; default: the service's
    track: bool  # give people stable ids
    max_gap_s: float  # how long a person may be out of sight and keep the id; with track
    smooth: bool  # remove jitter; needs track
    strength: float  # 0.1 to 10, default 1; higher is smoother with more lag; with smooth
    timeout_s: float | None  # of the whole stream; default: none
    request_id: str


IMAGE_OPTIONS = ImageOptions.__annotations__.keys()


def image_options(options: Mapping[str, object]) -> ImageOptions:
    """The image options among `options`. Raises InvalidUse when both camera and fov_degrees are given."""
    chosen = cast(ImageOptions, {name: value for name, value in options.items() if name in IMAGE_OPTIONS})
    if chosen.get("camera") is not None and chosen.get("fov_degrees") is not None:
        raise InvalidUse("give either camera or fov_degrees, got both")
    return chosen


def check_known(options: Mapping[str, object], known: type) -> None:
    """Raise TypeError, as Python does for unexpected keyword arguments, for a name in `options` that `known` lacks."""
    names = known.__annotations__  # includes the inherited ones
    if unknown := [name for name in options if name not in names]:
        raise TypeError(f"unknown option {unknown[0]!r}; the options are {', '.join(sorted(names))}")
