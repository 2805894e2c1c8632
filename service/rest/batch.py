"""POST /v1/reconstruct/batch: several images in, the people or the error of each out, in the same order."""

from dataclasses import replace
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from service.errors import ServiceError
from service.formats.formats import Job, write_json
from service.recovery import MeshRecovery
from service.rest.direct_route import DirectRoute
from service.rest.disconnect import unless_disconnected
from service.rest.middleware.request_id import request_id_of
from service.rest.negotiation import choose
from service.rest.openapi import BATCH_RESPONSES, batch_request
from service.rest.options import parse_options
from service.rest.problems import problem_content
from service.rest.uploads import BatchUpload, read_batch
from service.results import Recovery

BATCH_PATH = "/v1/reconstruct/batch"
BODY_TIMEOUT_FACTOR = 4  # a batch may take this many times as long to arrive as one image
MAX_NAME_LENGTH = 200  # characters of a file name in the reply


def batch_router(core: MeshRecovery, *, max_images: int, body_timeout_s: float) -> APIRouter:
    router = APIRouter(tags=["reconstruct"], route_class=DirectRoute)

    async def reconstruct_batch(request: Request) -> Response:
        """Recover the people in several images. They share the options; single images have priority."""
        choose(",".join(request.headers.getlist("accept")), ["application/json"])
        upload = await read_batch(request, max_images=max_images, timeout_s=BODY_TIMEOUT_FACTOR * body_timeout_s)
        options = parse_options([*request.query_params.multi_items(), *upload.fields]).core
        request_id = request_id_of(request.scope)

        def write(recovery: Recovery) -> bytes:
            return write_json(Job(recovery, core.manifest, core.body, core.limits, request_id))

        contents = [content for _, content in upload.images]
        results = await unless_disconnected(request, core.recover_each(contents, replace(options, bulk=True), write))
        items = [item(upload, index, result, request) for index, result in enumerate(results)]
        return Response(orjson.dumps({"request_id": request_id, "results": items}), media_type="application/json")

    router.add_api_route(
        BATCH_PATH,
        reconstruct_batch,
        methods=["POST"],
        responses=BATCH_RESPONSES,
        openapi_extra=batch_request(max_images),
        summary="People in several images",
    )
    return router


def item(upload: BatchUpload, index: int, result: bytes | ServiceError, request: Request) -> dict[str, Any]:
    """The part of the reply for one image."""
    head = {"index": index, "name": upload.images[index][0][:MAX_NAME_LENGTH]}
    if isinstance(result, ServiceError):
        return head | {"status": result.http, "problem": problem_content(result, request.scope)}
    return head | {"status": 200, "result": orjson.Fragment(result)}
