"""The hostile corpus over REST and gRPC: the same outcome on both, no fault of the service, and no data leaked."""

import logging

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2

from fuzz.corpus import CASES
from fuzz.corpus.case import Decoded, Refused
from fuzz.corpus.exif import GPS_NOTE, with_a_place
from service.rest.app import create_app
from service.rpc.limits import RpcLimits
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub
from service.rpc.server import RpcServer

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]

LIMIT = 16 * 2**20
URL = "/v1/reconstruct"
STATUSES = {413: grpc.StatusCode.INVALID_ARGUMENT, 415: grpc.StatusCode.INVALID_ARGUMENT}
STATUSES[422] = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
async def edges(core):
    """Both protocols over one core."""
    server = RpcServer(core, "127.0.0.1:0", RpcLimits(LIMIT, 64))
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)])
    transport = httpx.ASGITransport(create_app(core, max_body_bytes=LIMIT), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30) as client:
        yield client, ReconstructionServiceStub(channel)
    await channel.close()
    await server.stop(0)


@pytest.mark.slow
async def test_both_protocols_end_every_picture_as_the_decoder_does(edges):
    client, stub = edges
    differ = {}
    for case in CASES.values():
        if case.large:
            continue
        content = case.content()
        rest, rpc = await over_rest(client, content), await over_grpc(stub, content)
        fits = isinstance(case.expected, Decoded) == (rest[0] == 200)
        if isinstance(case.expected, Refused):
            fits = rest == (case.expected.http, case.expected.code)
        elif not isinstance(case.expected, Decoded):
            fits = rest[0] in (200, *STATUSES)
        if rest != rpc or not fits:
            differ[case.name] = (rest, rpc)
    assert differ == {}


@pytest.mark.parametrize(
    "accept", ["application/json", "image/jpeg", "image/png", "application/zip", "model/gltf-binary"]
)
async def test_gps_coordinates_are_neither_returned_nor_logged(edges, caplog, accept):
    caplog.set_level(logging.DEBUG)
    client, _ = edges

    for content in (with_a_place(), with_a_place()[:-200]):
        response = await client.post(URL, content=content, headers={"Content-Type": "image/jpeg", "Accept": accept})
        for secret in (GPS_NOTE, "1999:12:31", "GPS"):
            assert secret.encode() not in response.content and secret not in caplog.text


async def test_bytes_behind_a_picture_are_not_returned(edges):
    client, _ = edges
    content = CASES["a JPEG and HTML behind it"].content()

    for accept in ("image/jpeg", "image/png"):
        response = await client.post(URL, content=content, headers={"Content-Type": "image/jpeg", "Accept": accept})
        assert response.status_code == 200 and b"<script>" not in response.content


async def over_rest(client: httpx.AsyncClient, content: bytes) -> tuple:
    response = await client.post(URL, content=content, headers={"Content-Type": "image/jpeg"})
    if response.status_code == 200:
        return 200, response.json()["image"]
    return response.status_code, response.json()["type"].rpartition(":")[2]


async def over_grpc(stub: ReconstructionServiceStub, content: bytes) -> tuple:
    """The outcome as an HTTP status."""
    try:
        found = (await stub.Reconstruct(pb.ReconstructRequest(image=content), timeout=30)).reconstruction
        return 200, {"width": found.width, "height": found.height}
    except grpc.aio.AioRpcError as error:
        code = _reason(error)
        http = next((case.expected.http for case in CASES.values() if getattr(case.expected, "code", "") == code), 500)
        return http if STATUSES.get(http) == error.code() else 500, code


def _reason(error: grpc.aio.AioRpcError) -> str:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return info.reason
