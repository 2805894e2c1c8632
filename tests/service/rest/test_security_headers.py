"""What browsers are told, who may ask from where, that no address is ever fetched, and what the log never holds."""

import ast
import asyncio
import io
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import httpx
import pytest
from PIL import Image

from bodykit.errors import UserError
from service.access.keys import ApiKeys, hash_of, new_key
from service.rest.app import create_app
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub
from service.settings import load_settings

pytestmark = pytest.mark.anyio
REPOSITORY = Path(__file__).parents[3]
PAGE = "https://app.example"
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
def asking(core):
    """`async with asking(**options) as client`"""

    def opened(scheme: str = "http", **options):
        app = create_app(core, max_body_bytes=2**20, **options)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://test")

    return opened


async def test_every_answer_protects_itself(asking, people_jpeg, monkeypatch, core):
    async with asking() as client:
        answers = [
            await client.get("/v1/version"),
            await client.get("/v1/nothing"),
            await client.delete("/v1/version"),
            await client.get("/metrics"),
            await client.get("/"),
            await client.get("/static/page.js"),
            await client.get("/openapi.json"),
            await client.post("/v1/reconstruct", content=people_jpeg, headers=JPEG),
            await client.post("/v1/reconstruct", content=b"x", headers=JPEG),
            await client.post("/v1/reconstruct", content=bytes(2**20 + 1), headers=JPEG),
        ]
        monkeypatch.setattr(core, "metrics", None)  # a fault of ours, which is answered outside of all middleware
        answers.append(await client.get("/metrics"))

    assert [answer.status_code for answer in answers] == [200, 404, 405, 200, 200, 200, 200, 200, 415, 413, 500]
    for answer in answers:
        headers = answer.headers
        assert headers.get_list("x-content-type-options") == ["nosniff"], answer.url
        assert headers.get_list("referrer-policy") == ["no-referrer"]
        (policy,) = headers.get_list("content-security-policy")
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert len(headers.get_list("cache-control")) == 1
        assert "strict-transport-security" not in headers and "server" not in headers


async def test_people_are_kept_by_no_cache_and_the_page_asks_whether_it_is_new(asking, people_jpeg):
    async with asking() as client:
        people = await client.post("/v1/reconstruct", content=people_jpeg, headers=JPEG)
        page = await client.get("/")

    assert people.headers["cache-control"] == "no-store" and page.headers["cache-control"] == "no-cache"
    assert "script-src 'self'" in page.headers["content-security-policy"]


async def test_browsers_are_told_to_stay_with_tls_where_there_is_tls(asking):
    async with asking("https") as client:
        answers = [await client.get("/v1/version"), await client.get("/v1/nothing")]

    assert all(answer.headers["strict-transport-security"] == "max-age=31536000" for answer in answers)


async def preflight(client: httpx.AsyncClient, origin: str) -> httpx.Response:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key,content-type"}
    return await client.options("/v1/reconstruct", headers={"Origin": origin, **asked})


async def test_no_page_elsewhere_may_ask_unless_it_is_named(asking):
    async with asking() as client:
        answers = [await preflight(client, PAGE), await client.get("/v1/version", headers={"Origin": PAGE})]

    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control")]
    assert answers[0].status_code == 405


async def test_a_page_that_is_named_may_ask_and_needs_its_key(asking):
    async with asking(cors_origins=[PAGE], authenticator=ApiKeys({hash_of("secret"): "page"})) as client:
        before = await preflight(client, PAGE)
        stranger = await preflight(client, "https://evil.example")
        without = await client.get("/v1/version", headers={"Origin": PAGE})
        allowed = await client.get("/v1/version", headers={"Origin": PAGE, "X-API-Key": "secret"})
        elsewhere = await client.get("/v1/version", headers={"Origin": f"{PAGE}.evil.example", "X-API-Key": "secret"})

    assert before.status_code == 200 and before.headers["access-control-allow-origin"] == PAGE
    assert "x-api-key" in before.headers["access-control-allow-headers"].lower()
    assert stranger.status_code == 400 and "access-control-allow-origin" not in stranger.headers
    # The refusal can be read by the page, too, or nobody would know why.
    assert without.status_code == 401 and without.headers["access-control-allow-origin"] == PAGE
    assert allowed.status_code == 200 and "retry-after" in allowed.headers["access-control-expose-headers"].lower()
    assert "access-control-allow-credentials" not in allowed.headers
    assert "access-control-allow-origin" not in elsewhere.headers


@pytest.mark.parametrize(
    "origins", ["*", "https://a.example/", "https://a.example/x", "a.example", "null", "file://x", ","]
)
def test_an_origin_that_is_none_is_a_clear_error(origins):
    with pytest.raises(UserError, match=r"such as https://app\.example"):
        load_settings({"cors_origins": origins})


@pytest.mark.parametrize("origins", ["https://a.example", "http://localhost:3000, https://[::1]:8443"])
def test_origins_are_taken(origins):
    assert load_settings({"cors_origins": origins}).cors_origins == origins


# What could fetch an address, and the parts of the service that are a client on purpose.
FETCHERS = {
    "urllib.request",
    "http.client",
    "httpx",
    "requests",
    "aiohttp",
    "urllib3",
    "ftplib",
    "smtplib",
    "websockets",
}
CLIENTS = (
    "service/client/",
    "service/engines/triton",
)  # the SDK, which no server imports; Triton, at one fixed address


def test_nothing_in_the_service_could_fetch_an_address():
    found = []
    for path in sorted((REPOSITORY / "service").rglob("*.py")):
        name = str(path.relative_to(REPOSITORY))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong = [item for item in names if item in FETCHERS or item.split(".")[0] in FETCHERS]
            if wrong and not name.startswith(CLIENTS):
                found.append((name, wrong))
    assert found == []


async def test_an_address_in_the_place_of_an_image_is_not_followed(asking):
    asked = []
    server = await asyncio.start_server(lambda reader, writer: asked.append(1) or writer.close(), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/people.jpg"
    async with server, asking() as client:
        answers = [
            await client.post("/v1/reconstruct", content=address.encode(), headers=JPEG),
            await client.post("/v1/reconstruct", content=address.encode(), headers={"Content-Type": "text/uri-list"}),
            await client.post("/v1/reconstruct", json={"url": address, "image": address, "image_url": address}),
            await client.post("/v1/reconstruct", data={"image": address}),
            await client.post("/v1/reconstruct", files={"image": ("a.jpg", address.encode(), "image/jpeg")}),
            await client.post(f"/v1/reconstruct?url={address}", content=b"", headers=JPEG),
        ]
        await asyncio.sleep(0.05)

    assert all(400 <= answer.status_code < 500 for answer in answers), answers
    assert asked == []


GPS_DEGREES = (48.0, 8.0, 14.0)


def photo_with_a_place(people_picture, encoded) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "CameraMakerXYZ"
    exif.get_ifd(0x8825).update({1: "N", 2: GPS_DEGREES, 3: "E", 4: (11.0, 34.0, 31.0), 29: "2026:01:02"})
    return encoded(people_picture(96, 64), quality=95, exif=exif)


@pytest.mark.slow
async def test_the_log_holds_no_key_no_token_no_place_and_nothing_of_an_image(
    model_dir, tmp_path, people_picture, encoded
):
    """The real service, told to log everything it can."""
    key, wrong, token = new_key(), "dhmr_wrong-key-of-somebody", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"
    (tmp_path / "keys").write_text(f"camera {hash_of(key)}\n")
    image = photo_with_a_place(people_picture, encoded)
    png = encoded(people_picture(96, 64), "PNG", exif=Image.open(io.BytesIO(image)).getexif())
    flags = ["--host", "127.0.0.1", "--port", "0", "--grpc-port", "0", "--model-dir", str(model_dir)]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DEPTHHMR_")},
        "DEPTHHMR_LOG_LEVEL": "debug",
        "DEPTHHMR_API_KEYS_FILE": str(tmp_path / "keys"),
    }
    log = tmp_path / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "depthhmr_cli", "serve", *flags],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 60)
        rest, rpc = re.search(r"http://127\.0\.0\.1:(\d+), gRPC 127\.0\.0\.1:(\d+)", line).groups()
        await asyncio.to_thread(ask_everything, f"http://127.0.0.1:{rest}", image, png, key, wrong, token)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{rpc}") as channel:
            stub = ReconstructionServiceStub(channel)
            for name, value in (("x-api-key", key), ("x-api-key", wrong), ("authorization", f"Bearer {token}")):
                call = stub.Reconstruct(pb.ReconstructRequest(image=image), metadata=((name, value),))
                assert await call.code() is (grpc.StatusCode.OK if value == key else grpc.StatusCode.UNAUTHENTICATED)
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate, None, 30)

    text = log.read_text(errors="replace")
    assert "service.access" in text, "the log is on"
    for secret in (key, hash_of(key), wrong, token, *token.split("."), "CameraMakerXYZ", "2026:01:02", "48.0", "GPS"):
        assert secret not in text, f"the log holds {secret}"
    assert "JFIF" not in text and "IHDR" not in text and "secret-file-name" not in text and "secret-query" not in text


def ask_everything(address: str, image: bytes, png: bytes, key: str, wrong: str, token: str) -> None:
    boundary = b"--b\r\nContent-Disposition: form-data; name=image; filename=secret-file-name.jpg\r\n\r\n"
    form = boundary + image + b"\r\n--b--\r\n"
    requests = [
        ("/v1/reconstruct", image, {**JPEG, "X-API-Key": key}),
        ("/v1/reconstruct", png, {"Content-Type": "image/png", "X-API-Key": key}),
        ("/v1/reconstruct", form, {"Content-Type": "multipart/form-data; boundary=b", "X-API-Key": key}),
        ("/v1/reconstruct", image[: len(image) // 2], {**JPEG, "X-API-Key": key}),
        ("/v1/reconstruct?secret-query=1", image, {**JPEG, "X-API-Key": key}),
        ("/v1/reconstruct", image, {**JPEG, "X-API-Key": wrong}),
        ("/v1/reconstruct", image, {**JPEG, "Authorization": f"Bearer {token}"}),
        (f"/v1/reconstruct?api_key={key}", image, JPEG),
    ]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    statuses = []
    for path, body, headers in requests:
        request = urllib.request.Request(address + path, data=body, headers=headers)
        try:
            statuses.append(opener.open(request, timeout=30).status)
        except urllib.error.HTTPError as error:
            with error:
                statuses.append(error.code)
    assert statuses[:3] == [200, 200, 200] and statuses[-3:] == [401, 401, 401], statuses
