"""Health, version, model, body, licences and metrics."""

from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from bodykit.body import JOINT_NAMES, Body
from bodykit.manifest import Manifest
from service import __version__
from service.errors import Draining, EngineUnavailable, InvalidParameter, NotFound, Starting
from service.formats.formats import model_json
from service.recovery import MeshRecovery
from service.rest.openapi import problems
from service.rest.schemas import (
    BodyFacts,
    Licenses,
    Live,
    ModelManifest,
    Models,
    ReadyReply,
    Started,
    Version,
)
from service.results import FRAME
from service.telemetry.metrics import CONTENT_TYPE

FACES: dict[str, Any] = {
    "name": "include",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "enum": ["faces"]},
    "description": "faces adds the triangles",
}
# Declared here: for a typed argument FastAPI would document its own 422, which this service never sends.
REFUSALS = problems(400, 401, 429)
MODEL_NAME: dict[str, Any] = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
SOFTWARE_LICENSE = "Apache-2.0"


def health_router(core: MeshRecovery) -> APIRouter:
    """Probes. `live` never asks the engine: restarting this process would not repair another one."""
    router = APIRouter(prefix="/v1/health", tags=["health"])

    @router.get("/live", response_model=Live, responses=problems(400), summary="Liveness")
    async def live() -> dict[str, str]:
        """The process is alive."""
        return {"status": "live"}

    @router.get("/startup", response_model=Started, responses=problems(400, 503), summary="Startup")
    async def startup() -> dict[str, str]:
        """The network has completed an inference."""
        if not core.warm:
            raise Starting("the network has not answered yet")
        return {"status": "started"}

    @router.get("/ready", response_model=ReadyReply, responses=problems(400, 503), summary="Readiness")
    async def ready() -> dict[str, str]:
        """The network has completed an inference and the engine is reachable."""
        if not core.warm:
            raise Starting("the network has not answered yet")
        if core.shutting_down:
            raise Draining("the service is going down")
        if not core.ready:
            raise EngineUnavailable("the engine cannot be reached")
        return {"status": "ready"}

    return router


def info_router(core: MeshRecovery) -> APIRouter:
    router = APIRouter(tags=["info"])
    _add_version(router, core)
    _add_models(router, core.manifest)
    _add_body(router, core.body)
    _add_metrics(router, core)
    return router


def _add_version(router: APIRouter, core: MeshRecovery) -> None:
    @router.get("/v1/version", response_model=Version, responses=REFUSALS, summary="Version")
    async def version() -> dict[str, str]:
        """The version of the service and its engine."""
        return {"name": "depthhmr", "version": __version__, "engine": core.engine.name}

    @router.get("/v1/license", response_model=Licenses, responses=REFUSALS, summary="Licences")
    async def license_facts() -> dict[str, Any]:
        """Licences of the software, the network and the body."""
        return {
            "software": SOFTWARE_LICENSE,
            "model": {"name": core.manifest.name, "license": core.manifest.license, "data": core.manifest.data},
            "body": {"name": core.body.name, "license": core.body.license},
        }


def _add_models(router: APIRouter, manifest: Manifest) -> None:
    @router.get("/v1/models", response_model=Models, responses=REFUSALS, summary="Loaded networks")
    async def models() -> dict[str, Any]:
        """The loaded network with its hash and the body it was trained for."""
        return {"models": [model_json(manifest)]}

    @router.get(
        "/v1/models/{name}",
        response_model=ModelManifest,
        responses={**REFUSALS, **problems(404)},
        openapi_extra={"parameters": [MODEL_NAME]},
        summary="Manifest of a network",
    )
    async def model(request: Request) -> dict[str, Any]:
        """Tensors, training data, benchmark scores."""
        name = request.path_params["name"]
        if name != manifest.name:
            raise NotFound(f"no model {name[:100]!r}; the loaded model is {manifest.name!r}")
        return manifest.to_json()


def _add_body(router: APIRouter, body: Body) -> None:
    @router.get(
        "/v1/body",
        responses={200: {"model": BodyFacts}, **REFUSALS, **problems(422)},
        openapi_extra={"parameters": [FACES]},
        summary="The body",
    )
    async def body_facts(request: Request) -> Response:
        """Joints and, with `include=faces`, the triangles that all people share."""
        include = _body_include(request)
        facts: dict[str, Any] = {
            "name": body.name,
            "version": body.version,
            "sha256": body.sha256,
            "license": body.license,
            "joint_names": JOINT_NAMES,
            "parents": body.parents,
            "vertex_count": len(body.template),
            "face_count": len(body.faces),
            "frame": FRAME,
        }
        if "faces" in include:
            facts["faces"] = body.faces
        return Response(orjson.dumps(facts, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def _add_metrics(router: APIRouter, core: MeshRecovery) -> None:
    @router.get("/metrics", response_class=PlainTextResponse, responses=problems(400), summary="Metrics")
    async def metrics() -> Response:
        """Prometheus text format."""
        return Response(core.metrics.text(), media_type=CONTENT_TYPE)


def _body_include(request: Request) -> set[str]:
    include: set[str] = set()
    for name, value in request.query_params.multi_items():
        if name != "include":
            raise InvalidParameter.named(name[:100], "unknown option; the only option is include")
        include |= {item.strip() for item in value.split(",")}
    if unknown := include - {"faces"}:
        raise InvalidParameter.named("include", f"expected faces, got {sorted(unknown)[0][:40]!r}")
    return include
