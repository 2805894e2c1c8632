"""POST /v1/reconstruct: one image in, its people out."""

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.formats.formats import FORMATS, Job, check_available
from service.recovery import MeshRecovery
from service.rest.direct_route import DirectRoute
from service.rest.disconnect import unless_disconnected
from service.rest.middleware.request_id import request_id_of
from service.rest.negotiation import choose
from service.rest.openapi import REQUEST, RESPONSES
from service.rest.options import parse_options
from service.rest.uploads import read_upload
from service.results import Recovery

RECONSTRUCT_PATHS = ("/v1/reconstruct", "/reconstruct")
PEOPLE_HEADER = "X-People-Count"  # a picture or a mesh does not say by itself that nobody was found
BY_MEDIA_TYPE = {item.media_type: item for item in FORMATS}


def reconstruct_router(core: MeshRecovery, *, body_timeout_s: float) -> APIRouter:
    router = APIRouter(tags=["reconstruct"], route_class=DirectRoute)

    async def reconstruct(request: Request) -> Response:
        """Recover every person in one image: pose, shape and place, in metres."""
        format_ = BY_MEDIA_TYPE[choose(",".join(request.headers.getlist("accept")), list(BY_MEDIA_TYPE))]
        check_available([format_.extension])
        upload = await read_upload(request, timeout_s=body_timeout_s)
        options = parse_options([*request.query_params.multi_items(), *upload.fields])
        check_available(options.mesh)
        request_id = request_id_of(request.scope)

        def write(recovery: Recovery) -> tuple[bytes, int]:
            job = Job(recovery, core.manifest, core.body, core.limits, request_id, options.mesh, options.rig)
            return format_.write(job), len(recovery.people)

        wanted = replace(options.core, vertices=options.core.vertices or format_.vertices)
        content, people = await unless_disconnected(request, core.recover(upload.content, wanted, write))
        return Response(content, media_type=format_.media_type, headers={PEOPLE_HEADER: str(people)})

    stable, short = RECONSTRUCT_PATHS
    router.add_api_route(
        stable, reconstruct, methods=["POST"], responses=RESPONSES, openapi_extra=REQUEST, summary="People in one image"
    )
    router.add_api_route(short, reconstruct, methods=["POST"], include_in_schema=False)
    return router
