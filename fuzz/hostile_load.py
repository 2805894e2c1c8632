"""Thousands of hostile requests over REST, bare sockets and gRPC to one running service.

Each must be answered or disconnected, none may cause a fault of the service, and the process must survive.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import httpx

from fuzz.checked_clients import Ports
from fuzz.corpus import CASES
from service.process.heap import TRIM_INTERVAL_S
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub

TIMEOUT_S = 90.0  # for any reply, on a busy machine
CONCURRENCY = 12
ODD = (
    "",
    "nan",
    "-1",
    "1e309",
    "1e308",
    "5e-324",
    "2",
    "0",
    "²",
    "\0",
    "a" * 3000,
    "../../etc/passwd",
    "%00",
    "vertices,vertices",
    "0x10",
)
OPTIONS = (
    "threshold",
    "max_people",
    "include",
    "fov_degrees",
    "timeout_s",
    "fx",
    "fy",
    "cx",
    "cy",
    "mesh",
    "rig",
    "nonsense",
)
FOCAL = ("fx", "fy", "cx", "cy")
NUMBERS = (0.0, -1.0, float("nan"), float("inf"), 5e-324, 1e-50, 1e-30, 1e7, 1e30, 1e39, 1e308)
TYPES = (
    "",
    "image/jpeg",
    "image/png",
    "text/html",
    "multipart/form-data",
    "application/json",
    'image/jpeg; a="',
    "*/*",
)
ACCEPT = ("*/*", "", "image/jpeg", "application/zip;q=0", "model/gltf-binary", "a" * 500, "application/json;q=nan")
METHODS = ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "FOO")
PATHS = ("/v1/reconstruct", "/v1/reconstruct/batch", "/v1/../etc", "/%00", "//", "/v1/models/" + "a" * 500)
FAULTS = ("500", "501", "502", "INTERNAL", "UNKNOWN", "DATA_LOSS", "NO ANSWER")


class HostileLoad:
    """`await run(count)` sends requests; `outcomes` counts them by kind and result."""

    def __init__(self, ports: Ports, photo: bytes, seed: int = 0) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._ports, self._photo, self._rng = ports, photo, random.Random(seed)
        self._small = [case for case in CASES.values() if not case.large]
        self._kinds: list[Callable[[], Awaitable[str]]] = [
            self.hostile_picture,
            self.hostile_picture_over_grpc,
            self.odd_options,
            self.odd_options_over_grpc,
            self.broken_form,
            self.wrong_content_type,
            self.other_method_or_path,
            self.huge_head,
            self.half_a_body,
            self.noise,
            self.stream_of_nonsense,
            self.message_of_nonsense,
        ]

    @property
    def faults(self) -> dict[tuple[str, str], int]:
        return {key: count for key, count in self.outcomes.items() if key[1].startswith(FAULTS)}

    async def run(self, count: int) -> None:
        left = iter(range(count))
        async with (
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{self._ports.port}", timeout=None, trust_env=False
            ) as self._http,
            grpc.aio.insecure_channel(f"127.0.0.1:{self._ports.grpc_port}") as self._channel,
        ):
            self._stub = ReconstructionServiceStub(self._channel)
            await asyncio.gather(*(self._send_requests(left) for _ in range(CONCURRENCY)))

    async def counted_faults(self) -> dict[str, float]:
        """The service's own count of requests that ended with a fault of the service."""
        text = await self._metrics()
        counts = re.findall(r"^depthhmr_requests_total\{(.*status=\"(\w+)\".*)\} (\S+)$", text, re.MULTILINE)
        return {labels: float(count) for labels, status, count in counts if status in FAULTS}

    async def memory_at_rest_mb(self, pid: int) -> float:
        """Memory of the process, once all work for disconnected clients has ended."""
        async with asyncio.timeout(TIMEOUT_S):
            while "\ndepthhmr_images_in_work 0.0" not in await self._metrics():
                await asyncio.sleep(0.1)
            # A thread may still process a disconnected client's picture; wait until its memory has been trimmed as well.
            await asyncio.sleep(1 + TRIM_INTERVAL_S)
        return memory_mb(pid)

    async def _metrics(self) -> str:
        address = f"http://127.0.0.1:{self._ports.port}"
        async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT_S, trust_env=False) as client:
            return (await client.get("/metrics")).text

    def table(self) -> str:
        lines = [f"  {kind:<28} {answer:<24} {count:>7}" for (kind, answer), count in sorted(self.outcomes.items())]
        return "\n".join([*lines, f"  {'in all':<53} {sum(self.outcomes.values()):>7}"])

    async def _send_requests(self, left: Iterator[int]) -> None:
        for number in left:
            ask = self._kinds[number % len(self._kinds)]
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    answer = await ask()
            except TimeoutError:
                answer = "NO ANSWER"
            self.outcomes[ask.__name__.replace("_", " "), answer] += 1

    def _picture(self) -> bytes:
        return self._rng.choice(self._small).content() if self._rng.random() < 0.7 else self._photo

    async def _post(self, content: bytes, headers: dict[str, str], params: dict[str, str] | None = None) -> str:
        try:
            return str(
                (await self._http.post("/v1/reconstruct", content=content, headers=headers, params=params)).status_code
            )
        except httpx.TransportError:
            return "hung up"

    async def hostile_picture(self) -> str:
        headers = {"Content-Type": "image/jpeg", "Accept": self._rng.choice(ACCEPT)}
        return await self._post(self._picture(), headers)

    async def hostile_picture_over_grpc(self) -> str:
        return await self._call(pb.ReconstructRequest(image=self._picture()))

    async def odd_options(self) -> str:
        names = self._rng.sample(OPTIONS, self._rng.randrange(1, 5))
        options = {name: self._rng.choice(ODD) for name in names}
        if self._rng.random() < 0.3:
            options = {name: repr(value) for name, value in self._camera().items()}
        return await self._post(self._photo, {"Content-Type": "image/jpeg"}, options)

    async def odd_options_over_grpc(self) -> str:
        options = pb.Options(outputs=[self._rng.choice([1, 2, 3, 77])])
        if self._rng.random() < 0.5:
            options.camera.CopyFrom(pb.Camera(**self._camera()))
        else:
            options.threshold = self._rng.choice(NUMBERS)
        return await self._call(pb.ReconstructRequest(image=self._photo, options=options))

    def _camera(self) -> dict[str, float]:
        """An ordinary camera with one or two odd numbers."""
        return dict.fromkeys(FOCAL, 50.0) | {name: self._rng.choice(NUMBERS) for name in self._rng.choices(FOCAL, k=2)}

    async def broken_form(self) -> str:
        head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n'
        name = self._rng.choice([b"a", b"../../x", b"\0", b"n" * 9000, "😀".encode()])
        whole = head % name + self._photo + b"\r\n--x--\r\n"
        cut = whole[: self._rng.randrange(len(whole))]
        content = self._rng.choice([cut, whole * 2, whole.replace(b"form-data", b"nonsense"), b"--x--", b""])
        boundary = self._rng.choice(["x", "", "y", "x" * 300, '"'])
        return await self._post(content, {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    async def wrong_content_type(self) -> str:
        headers = {
            "Content-Type": self._rng.choice(TYPES),
            "Content-Encoding": self._rng.choice(["", "gzip", "br"]),
        }
        return await self._post(self._picture(), headers)

    async def other_method_or_path(self) -> str:
        try:
            method, path = self._rng.choice(METHODS), self._rng.choice(PATHS)
            return str((await self._http.request(method, path, content=b"x")).status_code)
        except httpx.TransportError:
            return "hung up"

    async def huge_head(self) -> str:
        size = self._rng.choice([1000, 60_000, 70_000, 500_000])
        return await self._raw(b"GET /v1/version HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * size + b"\r\n\r\n")

    async def half_a_body(self) -> str:
        """After which the client disconnects or closes its side."""
        head = b"POST /v1/reconstruct HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        whole = head % len(self._photo) + self._photo
        return await self._raw(whole[: self._rng.randrange(len(head), len(whole) - 1)], stay=False)

    async def noise(self) -> str:
        return await self._raw(self._rng.randbytes(self._rng.randrange(1, 3000)) + b"\r\n\r\n", stay=False)

    async def _raw(self, content: bytes, *, stay: bool = True) -> str:
        answer = b""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports.port)
        with suppress(OSError):
            writer.write(content)
            await writer.drain()
            if stay:
                answer = await reader.read(4096)
            elif writer.can_write_eof():
                writer.write_eof()
                answer = await reader.read(4096)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.") else "hung up"

    async def stream_of_nonsense(self) -> str:
        call = self._stub.ReconstructStream()
        messages = [
            pb.ReconstructStreamRequest(),
            pb.ReconstructStreamRequest(config=pb.StreamConfig(max_in_flight=self._rng.choice([0, 4, 10**6]))),
            pb.ReconstructStreamRequest(config=pb.StreamConfig(overload_policy=self._rng.choice([0, 2, 99]))),
            pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=self._rng.randrange(3), image=self._picture())),
        ]
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for message in self._rng.choices(messages, k=4):
                await call.write(message)
            if self._rng.random() < 0.3:
                call.cancel()
            else:
                await call.done_writing()
                async for _ in call:
                    pass
        if await call.details() == "Internal error from Core":
            return "ended"  # how the client library reports writing to a stream after its end
        return (await call.code()).name

    async def message_of_nonsense(self) -> str:
        method = self._rng.choice(["Reconstruct", "GetInfo", "ReconstructStream", "NoSuchThing"])
        call = self._channel.unary_unary(f"/depthhmr.v1.ReconstructionService/{method}")
        return (await call(self._rng.randbytes(200)).code()).name

    async def _call(self, request: pb.ReconstructRequest) -> str:
        call = self._stub.Reconstruct(request, timeout=self._rng.choice([0.001, TIMEOUT_S, TIMEOUT_S]))
        return (await call.code()).name


def memory_mb(pid: int) -> float:
    """Resident memory of a process, MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1000
