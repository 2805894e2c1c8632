"""The OpenAPI document: parameters, bodies, error responses, and what FastAPI cannot derive from the routes."""

import warnings
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from bodykit.meshio.rigs import RIGS
from service.formats.formats import FORMATS
from service.formats.people_files import PEOPLE_FILES
from service.options import CENTRE_PX, FOCAL_PX
from service.rest.middleware.authentication import is_open
from service.rest.options import INCLUDE, MAX_DIGITS
from service.rest.schemas import BatchReply, Problem, ReconstructReply
from service.rest.uploads import FORM, PART, RAW_ALIASES, RAW_TYPES

DESCRIPTION = "An image in, every person in it back as a posed, shaped, metrically placed 3D body."
LICENSE = {"name": "Apache 2.0", "identifier": "Apache-2.0"}
TAGS = [
    {"name": "reconstruct", "description": "People from images."},
    {"name": "info", "description": "The loaded network and body, their licences, and metrics."},
    {"name": "health", "description": "Probes for orchestrators. They need no key."},
]
SECURITY_SCHEMES = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer", "description": "an API key, or a signed token (JWT)"},
}

PROBLEMS = {
    400: "malformed message",
    401: "no valid API key, where the service requires one",
    404: "not found",
    406: "no such output format, or it cannot hold this number of people",
    408: "the body arrived too slowly",
    413: "too many bytes or pixels",
    415: "not a JPEG, PNG or WebP image",
    422: "an invalid option, or an image that cannot be decoded",
    429: "over the rate limit; Retry-After says when to retry",
    431: "headers over 64 KiB",
    500: "an internal error",
    502: "the output of the engine is unusable",
    503: "starting, overloaded or without engine; Retry-After says when to retry",
    504: "the deadline expired",
}
RETRYABLE = (429, 503)
RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}


SERVERS = [{"url": "."}]  # relative to the address of the document, so that it is right behind a path prefix, too


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of error responses."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": PROBLEMS[status],
            "content": {"application/problem+json": {"schema": schema}},
            **({"headers": RETRY_AFTER} if status in RETRYABLE else {}),
        }
        for status in statuses
    }


def number(least: float, most: float) -> dict[str, Any]:
    return {"type": "number", "minimum": least, "maximum": most}


def include_schema(names: tuple[str, str]) -> dict[str, Any]:
    """One name, or all of them with commas in between."""
    first, second = names
    return {
        "type": "array",
        "items": {"type": "string", "enum": [first, second, f"{first},{second}", f"{second},{first}"]},
    }


def list_schema(names: Iterable[str]) -> dict[str, Any]:
    """One name, or several with commas in between."""
    name = f"({'|'.join(names)})"
    return {"type": "array", "items": {"type": "string", "pattern": f"^{name}(,{name})*$"}}


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "threshold": (
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "minimum score of a person; default: the model's own",
    ),
    "max_people": (
        {"type": "integer", "minimum": 1, "maximum": 10**MAX_DIGITS - 1},
        "keep at most this many people, those with the highest scores",
    ),
    "include": (include_schema(INCLUDE), "adds to the JSON; repeated, or one list with commas"),
    "fov_degrees": (number(1, 175), "field of view across the longer side, instead of fx, fy, cx, cy"),
    "timeout_s": (
        {"type": "number", "exclusiveMinimum": 0},
        "seconds after which the reply is of no use; capped by the service's own limit",
    ),
    **dict.fromkeys(
        ("fx", "fy"), (number(*FOCAL_PX), "focal length in pixels of the upright image; all four together")
    ),
    **dict.fromkeys(
        ("cx", "cy"), (number(*CENTRE_PX), "principal point in pixels of the upright image; all four together")
    ),
    "mesh": (list_schema(PEOPLE_FILES), "formats of each person's files in a ZIP; repeated, or one list with commas"),
    "rig": (
        {"type": "string", "enum": list(RIGS)},
        "gives GLB files a skeleton with these joint names, posed; names the joints of a BVH, too",
    ),
}
PARAMETERS = [
    {"name": name, "in": "query", "required": False, "schema": schema, "description": text}
    for name, (schema, text) in OPTIONS.items()
]
INTRINSICS_TOGETHER = {
    name: [other for other in ("fx", "fy", "cx", "cy") if other != name] for name in ("fx", "fy", "cx", "cy")
}
BINARY: dict[str, Any] = {"type": "string", "format": "binary"}


def form_schema(images: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [PART],
        "properties": {PART: images, **{name: schema for name, (schema, _) in OPTIONS.items()}},
        "additionalProperties": False,
        "dependentRequired": INTRINSICS_TOGETHER,
    }


def body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {media_type: {"schema": schema} for media_type, schema in content.items()}}


REQUEST = {
    "parameters": PARAMETERS,
    "requestBody": body({FORM: form_schema(BINARY), **dict.fromkeys((*RAW_TYPES, *RAW_ALIASES), BINARY)}),
}
REQUEST_PROBLEMS = problems(400, 401, 406, 408, 413, 415, 422, 429, 431, 500, 502, 503, 504)
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": ReconstructReply,
        "description": "The people, in the format that Accept asks for",
        "content": {item.media_type: {"schema": BINARY} for item in FORMATS if item.media_type != "application/json"},
    },
    **REQUEST_PROBLEMS,
}
BATCH_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": BatchReply, "description": "The people or the problem of each image"},
    **REQUEST_PROBLEMS,
}


def batch_request(max_images: int) -> dict[str, Any]:
    images = {"type": "array", "items": BINARY, "minItems": 1, "maxItems": max_images}
    return {"parameters": PARAMETERS, "requestBody": body({FORM: form_schema(images)})}


def document(app: FastAPI, *, requires_key: bool) -> dict[str, Any]:
    """The document of `app`."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Duplicate Operation ID"
        )  # GET and HEAD are one route; HEAD is left out below
        api = get_openapi(
            title=app.title,
            version=app.version,
            description=DESCRIPTION,
            routes=app.routes,
            tags=TAGS,
            servers=SERVERS,
            license_info=LICENSE,
        )
    schemas = api["components"]["schemas"]
    schemas.setdefault("Problem", Problem.model_json_schema(ref_template="#/components/schemas/{model}"))
    api["components"]["securitySchemes"] = SECURITY_SCHEMES
    api["security"] = [*([] if requires_key else [{}]), *({name: []} for name in SECURITY_SCHEMES)]
    for path, operations in api["paths"].items():
        operations.pop("head", None)
        if is_open(path):
            for operation in operations.values():
                operation["security"] = []
    return api
