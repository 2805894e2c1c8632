"""The service over HTTP."""

import io
import zipfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
import orjson

from service.client.address import Address, Tls
from service.client.errors import (
    BadReply,
    ClientError,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidUse,
    KeyRefused,
    RequestRefused,
    ServiceFailed,
    ServiceUnavailable,
)
from service.client.frames import FrameSource
from service.client.options import ImageOptions, StreamOptions
from service.client.parsing import floats, parsing_reply
from service.client.proxies import proxy_of
from service.client.results import (
    Camera,
    DepthMap,
    Info,
    Named,
    Person,
    Reconstruction,
    ServiceInfo,
    StreamEvent,
    Timings,
)
from service.errors import FieldError

# TLS 1.3 reports some faults late, such as a missing client certificate; httpx lets these through as SSLError, an OSError.
CONNECTION_ERRORS = (httpx.TransportError, OSError)
RAW, ZIP, JSON = "application/octet-stream", "application/zip", "application/json"


class RestTransport:
    """A connection pool to one service."""

    def __init__(self, address: Address, *, tls: Tls, api_key: str | None) -> None:
        self._address = address
        # The transport gets its proxy here, because httpx would read the variables in a way that breaks on some values.
        transport = httpx.AsyncHTTPTransport(
            verify=tls.context() if address.secure else False,  # False: plain HTTP needs no certificate store
            proxy=proxy_of(address),
        )
        self._http = httpx.AsyncClient(
            transport=transport,
            base_url=str(address),
            headers={"X-API-Key": api_key} if api_key is not None else {},
            timeout=None,  # `with_retries` limits the whole call; httpx's timeouts are per read
        )

    async def reconstruct(
        self, image: bytes, options: ImageOptions, *, timeout_s: float, request_id: str
    ) -> Reconstruction:
        # The ZIP is the only format with both numbers and scene; its other files are ignored.
        accept = ZIP if options.get("glb") else JSON
        headers = {"Content-Type": RAW, "Accept": accept, "X-Request-ID": request_id}
        fields = query(options, timeout_s)
        content = await self._send("POST", "/v1/reconstruct", params=fields, content=image, headers=headers)
        with parsing_reply(request_id):
            if accept == JSON:
                return reconstruction_from(orjson.loads(content), options)
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                reply, glb = orjson.loads(archive.read("people.json")), archive.read("scene.glb")
            return reconstruction_from(reply, options, glb=glb)

    async def reconstruct_batch(
        self, images: Sequence[tuple[str, bytes]], options: ImageOptions, *, timeout_s: float, request_id: str
    ) -> list[Reconstruction | ClientError]:
        if options.get("glb"):
            raise InvalidUse("a batch returns JSON only; send the images one by one to get GLB files")
        files = [("image", (name, content, RAW)) for name, content in images]
        headers = {"Accept": JSON, "X-Request-ID": request_id}
        fields = query(options, timeout_s)
        content = await self._send("POST", "/v1/reconstruct/batch", params=fields, files=files, headers=headers)
        with parsing_reply(request_id):
            items = orjson.loads(content)["results"]
            if [item["index"] for item in items] != list(range(len(images))):
                raise BadReply(f"expected the results of {len(images)} images in order, got {len(items)}")
            return [item_from(item, options) for item in items]

    def stream(
        self, frames: FrameSource, options: StreamOptions, *, request_id: str
    ) -> AsyncGenerator[StreamEvent, None]:
        raise InvalidUse(f"streams go over gRPC: connect to grpc://host:50051 instead of {self._address}")

    async def info(self, *, faces: bool, timeout_s: float) -> ServiceInfo:
        models = await self._send("GET", "/v1/models")
        facts = await self._send("GET", "/v1/body", params={"include": "faces"} if faces else {})
        with parsing_reply():
            (model,), body = orjson.loads(models)["models"], orjson.loads(facts)
            return ServiceInfo(
                info=info_from(model, body["frame"], body["joint_names"]),
                vertex_count=int(body["vertex_count"]),
                faces=np.array(body["faces"], np.int32).reshape(-1, 3) if faces else None,
                limits=None,
            )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _send(self, method: str, path: str, **parts: Any) -> bytes:
        """The body of a 200 response. Raises ClientError for everything else."""
        request_id = parts.get("headers", {}).get("X-Request-ID", "")
        try:
            response = await self._http.send(self._http.build_request(method, path, **parts), stream=True)
        except CONNECTION_ERRORS as error:
            raise ConnectionFailed(
                f"cannot reach the service at {self._address}: {_text(error)}", request_id=request_id
            ) from error
        try:
            content = await response.aread()
        except CONNECTION_ERRORS as error:
            # The response had begun: this must not be retried, hence no ConnectionFailed.
            raise ServiceFailed(
                f"the connection to {self._address} broke during the response: {_text(error)}",
                code=str(response.status_code),
                request_id=request_id,
            ) from error
        except httpx.DecodingError as error:
            raise BadReply(f"the response cannot be decoded: {error}", request_id=request_id) from error
        finally:
            await response.aclose()
        if response.status_code != HTTPStatus.OK:
            raise error_from(response.status_code, content, response.headers, request_id)
        return content


def query(options: ImageOptions, timeout_s: float) -> list[tuple[str, str]]:
    """The options as query parameters."""
    fields = [
        (name, str(options[name]))
        for name in ("threshold", "max_people", "fov_degrees")
        if options.get(name) is not None
    ]
    if (camera := options.get("camera")) is not None:
        fields += [(name, repr(float(getattr(camera, name)))) for name in ("fx", "fy", "cx", "cy")]
    fields += [("include", name) for name in ("vertices", "depth") if options.get(name)]
    return [*fields, ("timeout_s", f"{timeout_s:.3f}")]


def reconstruction_from(reply: Mapping[str, Any], options: ImageOptions, *, glb: bytes | None = None) -> Reconstruction:
    camera, timings = reply["camera"], reply["timings_ms"]
    return Reconstruction(
        width=int(reply["image"]["width"]),
        height=int(reply["image"]["height"]),
        camera=Camera(
            float(camera["fx"]),
            float(camera["fy"]),
            float(camera["cx"]),
            float(camera["cy"]),
            str(camera["source"]),
            str(camera.get("note", "")),  # absent before version 0.3
        ),
        people=tuple(person_from(person, vertices=bool(options.get("vertices"))) for person in reply["people"]),
        info=info_from(reply["model"], reply["frame"], reply["joint_names"]),
        timings=Timings(*(float(timings[name]) for name in ("decode", "queue", "infer", "post"))),
        depth=depth_from(reply["depth"]) if options.get("depth") else None,
        glb=glb,
        request_id=str(reply["request_id"]),
    )


def person_from(person: Mapping[str, Any], *, vertices: bool) -> Person:
    return Person(
        id=int(person["id"]),
        track_id=None,
        score=float(person["score"]),
        box=floats(person["box"], 4),
        translation=floats(person["translation"], 3),
        global_orient=floats(person["global_orient"], 3),
        body_pose=floats(person["body_pose"], 23, 3),
        betas=floats(person["betas"], 10),
        joints_3d=floats(person["joints_3d"], 24, 3),
        joints_2d=floats(person["joints_2d"], 24, 2),
        height_m=float(person["height_m"]),
        vertices=floats(person["vertices"], -1, 3) if vertices else None,
    )


def depth_from(depth: Mapping[str, Any]) -> DepthMap:
    x0, y0, x1, y1 = map(float, depth["region"])
    return DepthMap(floats(depth["values"], int(depth["height"]), int(depth["width"])), (x0, y0, x1, y1))


def info_from(model: Mapping[str, Any], frame: Mapping[str, Any], joint_names: Sequence[str]) -> Info:
    return Info(
        named_from(model),
        named_from(model["body"]),
        str(frame["axes"]),
        str(frame["units"]),
        tuple(map(str, joint_names)),
    )


def named_from(value: Mapping[str, Any]) -> Named:
    return Named(str(value["name"]), str(value["version"]), str(value["sha256"]))


def item_from(item: Mapping[str, Any], options: ImageOptions) -> Reconstruction | ClientError:
    if "result" in item:
        return reconstruction_from(item["result"], options)
    return problem_from(int(item["status"]), item["problem"], item["problem"].get("retry_after_s"), "")


def error_from(status: int, content: bytes, headers: Mapping[str, str], request_id: str) -> ClientError:
    """The error of a response other than 200. A proxy may have sent it, in any form."""
    request_id = headers.get("x-request-id", request_id)
    try:
        problem = orjson.loads(content)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": f"HTTP {status}: " + (content[:200].decode(errors="replace").strip() or "no reason given")}
    wait = headers.get("retry-after", "")
    retry_after_s = float(wait) if wait.isascii() and wait.isdigit() else problem.get("retry_after_s")
    return problem_from(status, problem, retry_after_s, request_id)


def problem_from(status: int, problem: Mapping[str, Any], retry_after_s: Any, request_id: str) -> ClientError:
    errors = problem.get("errors")
    return class_of(status)(
        str(problem.get("detail", "no reason given")),
        code=str(status),
        reason=str(problem.get("type", "")).rpartition(":")[2],
        request_id=str(problem.get("request_id", request_id)),
        errors=[
            FieldError(str(item.get("field", "")), str(item.get("message", "")))
            for item in (errors if isinstance(errors, list) else [])
            if isinstance(item, dict)
        ],
        retry_after_s=float(retry_after_s) if isinstance(retry_after_s, int | float) else None,
    )


def class_of(status: int) -> type[ClientError]:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return KeyRefused
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        return ServiceUnavailable
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        return DeadlineExceeded
    if 400 <= status < 500:
        return RequestRefused
    return ServiceFailed if status >= 500 else BadReply


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
