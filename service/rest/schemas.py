"""The models of the replies, for the OpenAPI document. Replies are written by service.formats; tests compare both."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    note: str = Field(description="why EXIF may be wrong; usually empty")


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
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldProblem] | None = None
    retry_after_s: int | None = Field(None, description="seconds after which a retry makes sense")


class BatchItem(BaseModel):
    """Either `result`, as for a single image, or `problem`."""

    index: int
    name: str = Field(description="file name of the part")
    status: int = Field(description="HTTP status of a request with this image alone")
    result: ReconstructReply | None = None
    problem: Problem | None = None


class BatchReply(BaseModel):
    request_id: str
    results: list[BatchItem] = Field(description="one per image, in the order of the request")


class Live(BaseModel):
    status: Literal["live"]


class Started(BaseModel):
    status: Literal["started"]


class ReadyReply(BaseModel):
    status: Literal["ready"]


class Version(BaseModel):
    name: str
    version: str
    engine: str = Field(description="embedded or triton")


class Models(BaseModel):
    models: list[ModelRef] = Field(description="the loaded network")


class ModelManifest(BaseModel):
    """The manifest of a network: tensors, training data, benchmark scores."""

    model_config = ConfigDict(extra="allow")

    name: str
    version: str
    sha256: str


class BodyFacts(BaseModel):
    """The body that the results refer to."""

    name: str
    version: str
    sha256: str
    license: str
    joint_names: list[str]
    parents: list[int] = Field(description="parent of each joint; -1 for the pelvis")
    vertex_count: int
    face_count: int
    frame: FrameOut
    faces: list[list[int]] | None = Field(None, description="[F][3] vertex indices, with include=faces")


class ModelLicense(BaseModel):
    name: str
    license: str
    data: Any = Field(description="what the network was trained on")


class BodyLicense(BaseModel):
    name: str
    license: str


class Licenses(BaseModel):
    software: str
    model: ModelLicense
    body: BodyLicense
