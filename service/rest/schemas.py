"""The wire format, for the OpenAPI document. Replies are written by service.formats; tests hold both together."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from service.formats.formats import FORMATS
from service.rest.options import INCLUDE, INTRINSICS
from service.rest.uploads import FORM, PART, RAW_TYPES

Vector = list[float]


class BodyRef(BaseModel):
    name: str
    version: str
    sha256: str


class ModelRef(BaseModel):
    name: str
    version: str
    sha256: str
    body: BodyRef


class ImageSize(BaseModel):
    """Pixels, after EXIF orientation."""

    width: int
    height: int


class CameraOut(BaseModel):
    """Pinhole intrinsics in pixels of the upright image."""

    fx: float
    fy: float
    cx: float
    cy: float
    source: Literal["given", "exif", "exif-focal-plane", "default"] = Field(
        description="the caller, the 35 mm equivalent in EXIF, its focal length and sensor resolution, or 60 degrees"
    )
    note: str = Field(description="why EXIF may be wrong; empty where nothing is odd")


class FrameOut(BaseModel):
    axes: str
    units: str
    translation: str


class PersonOut(BaseModel):
    id: int = Field(description="0 is the nearest")
    score: float
    box: Vector = Field(description="x0, y0, x1, y1 in pixels of the upright image; may reach beyond it")
    translation: Vector = Field(description="[3] pelvis, metres")
    global_orient: Vector = Field(description="[3] axis-angle")
    body_pose: list[Vector] = Field(description="[23][3] axis-angle, relative to the parent joint")
    betas: Vector = Field(description="[10]")
    joints_3d: list[Vector] = Field(description="[24][3] metres")
    joints_2d: list[Vector] = Field(description="[24][2] pixels of the upright image")
    height_m: float = Field(description="stature in the rest pose")
    vertices: list[Vector] | None = Field(None, description="[V][3] metres, with include=vertices")


class DepthOut(BaseModel):
    """Human depth, metres, 0 where there is no human; with include=depth."""

    height: int
    width: int
    values: list[Vector]
    region: Vector = Field(description="x0, y0, x1, y1: what the map covers, in pixels of the upright image")


class TimingsOut(BaseModel):
    """Milliseconds."""

    decode: float
    queue: float
    infer: float
    post: float


class ReconstructReply(BaseModel):
    request_id: str
    model: ModelRef
    image: ImageSize
    camera: CameraOut
    frame: FrameOut
    joint_names: list[str]
    people: list[PersonOut] = Field(description="near to far")
    depth: DepthOut | None = None
    timings_ms: TimingsOut


class FieldProblem(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldProblem] | None = None
    retry_after_s: int | None = None


class BatchItem(BaseModel):
    """Either `result`, as of a single image, or `problem`."""

    index: int
    name: str = Field(description="file name of the part, as given")
    status: int = Field(description="what the image alone would have been answered with")
    result: ReconstructReply | None = None
    problem: Problem | None = None


class BatchReply(BaseModel):
    request_id: str
    results: list[BatchItem] = Field(description="one per image, in the order of the request")


_NUMBER: dict[str, Any] = {"type": "number"}
OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "threshold": (
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "score from which a person counts; default: the model's own",
    ),
    "max_people": ({"type": "integer", "minimum": 1}, "keep the surest so many"),
    "include": (
        {"type": "array", "items": {"type": "string", "enum": list(INCLUDE)}},
        "what to add to the JSON; repeated, or one list with commas",
    ),
    "fov_degrees": (
        {"type": "number", "minimum": 1, "maximum": 175},
        "field of view across the longer side, instead of fx, fy, cx, cy",
    ),
    "timeout_s": (
        {"type": "number", "exclusiveMinimum": 0},
        "seconds after which the answer is worthless; never more than the service's own limit",
    ),
    **dict.fromkeys(INTRINSICS, (_NUMBER, "pixels of the upright image; all four together")),
    "mesh": ({"type": "string", "enum": ["glb", "obj", "ply"]}, "format of the single people in a ZIP"),
}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/problem+json": {"schema": Problem.model_json_schema()}}}
    for status, text in {
        400: "broken message",
        401: "no valid API key, where keys are asked for",
        406: "no such output format",
        408: "the body came too slowly",
        413: "too many bytes or pixels",
        415: "not a JPEG, PNG or WebP image",
        422: "a wrong option, or an image that cannot be decoded",
        502: "the engine gave an unusable answer",
        503: "starting, overloaded or without engine; Retry-After says when to ask again",
        504: "took too long",
    }.items()
}

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": ReconstructReply,
        "description": "People, in the format that Accept asks for",
        "content": {item.media_type: BINARY for item in FORMATS if item.media_type != "application/json"},
    },
    **PROBLEMS,
}

_FORM: dict[str, Any] = {
    "type": "object",
    "required": [PART],
    "properties": {PART: {"type": "string", "format": "binary"}, **{name: spec[0] for name, spec in OPTIONS.items()}},
}
REQUEST: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": text}
        for name, (schema, text) in OPTIONS.items()
    ],
    "requestBody": {
        "required": True,
        "content": {FORM: {"schema": _FORM}, **dict.fromkeys(RAW_TYPES, BINARY)},
    },
}

_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
BATCH_REQUEST: dict[str, Any] = {
    "parameters": REQUEST["parameters"],
    "requestBody": {
        "required": True,
        "content": {FORM: {"schema": {**_FORM, "properties": {**_FORM["properties"], PART: _FILES}}}},
    },
}
BATCH_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": BatchReply, "description": "People or problem of each image"},
    **PROBLEMS,
}
