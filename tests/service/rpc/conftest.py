"""A real gRPC server over the tiny network, in this process, and a channel to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest

from bodykit.body import load_body
from bodykit.manifest import Manifest
from service.decoding.images import ImageLimits
from service.engines.fake import FakeEngine, nobody
from service.recovery import MeshRecovery
from service.rpc.limits import RpcLimits
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub
from service.rpc.server import RpcServer

MAX_IMAGE_BYTES = 100_000


class Stream:
    """One bidirectional call, message by message."""

    def __init__(self, stub: ReconstructionServiceStub, **call) -> None:
        self.call = stub.ReconstructStream(**call)

    async def config(self, **config) -> None:
        await self.call.write(pb.ReconstructStreamRequest(config=pb.StreamConfig(**config)))

    async def frame(self, frame_id: int, image: bytes, **frame) -> None:
        await self.call.write(pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=frame_id, image=image, **frame)))

    async def read(self):
        """The next answer as (kind, message); ("end", status code) after the last."""
        response = await asyncio.wait_for(self.call.read(), 20)
        if response is grpc.aio.EOF:
            return "end", await self.call.code()
        kind = response.WhichOneof("message")
        return kind, getattr(response, kind)

    async def ready(self) -> pb.StreamReady:
        kind, ready = await self.read()
        assert kind == "ready", kind
        return ready

    async def rest(self, *, after_summary: Callable | None = None) -> list:
        """What is left, in short: ("result", id), ("error", id, reason), ("dropped", id), summary, status code."""
        found = []
        try:
            while (answer := await self.read())[0] != "end":
                kind, message = answer
                if kind == "error":
                    found.append((kind, message.frame_id, message.error.reason))
                elif kind == "summary":
                    found.append(message)
                    if after_summary:
                        after_summary()
                elif kind != "ready":
                    found.append((kind, message.frame_id))
            found.append(answer[1])
        except grpc.aio.AioRpcError as error:
            found.append(error.code())
        return found

    async def status(self) -> tuple[grpc.StatusCode, str]:
        return await self.call.code(), await self.call.details()


@pytest.fixture
def rpc_over() -> Callable:
    """`async with rpc_over(core) as (stub, server)`."""

    @asynccontextmanager
    async def opened(core: MeshRecovery, *, limits: dict | None = None, **options) -> AsyncIterator:
        server = RpcServer(core, "127.0.0.1:0", RpcLimits(MAX_IMAGE_BYTES, 64, **(limits or {})), **options)
        await server.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)])
        try:
            yield ReconstructionServiceStub(channel), server
        finally:
            await channel.close()
            await server.stop(0)

    return opened


@pytest.fixture
async def stub(rpc_over, core):
    async with rpc_over(core) as (stub, _):
        yield stub


@pytest.fixture
def make_stream() -> Callable[..., Stream]:
    return Stream


@pytest.fixture
async def stalling(rpc_over, model_dir):
    """A stream to a service whose engine waits, and that engine."""
    manifest = Manifest.read(model_dir)
    engine = StallingEngine(manifest)
    core = MeshRecovery(engine, manifest, load_body(), limits=ImageLimits(), timeout_s=20)
    core.warm = True
    async with rpc_over(core) as (stub, server):
        yield ServedStream(stub, server, core), engine
    await core.aclose()


class StallingEngine(FakeEngine):
    """Finds nobody, once `go` is set; raises `error` when there is one."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(lambda tensors: nobody(manifest), concurrency=64)
        self.go, self.called = asyncio.Event(), asyncio.Event()
        self.calls = self.running = 0
        self.error: Exception | None = None
        self.shortest_s = float("inf")

    async def infer(self, tensors, call):
        self.calls += 1
        self.running += 1
        self.shortest_s = min(self.shortest_s, call.remaining_s)
        self.called.set()
        try:
            await self.go.wait()
            if self.error is not None:
                raise self.error
            return await super().infer(tensors, call)
        finally:
            self.running -= 1


class ServedStream(Stream):
    """A stream that knows who serves it."""

    def __init__(self, stub: ReconstructionServiceStub, server: RpcServer, core: MeshRecovery, **call) -> None:
        super().__init__(stub, **call)
        self.server, self.core, self._stub = server, core, stub

    @property
    def servicer(self):
        return self.server._servicer

    def another(self, **call) -> "ServedStream":
        return ServedStream(self._stub, self.server, self.core, **call)

    def unary(self, image: bytes):
        return self._stub.Reconstruct(pb.ReconstructRequest(image=image))


@pytest.fixture
def open_stream(stub) -> Callable[..., Stream]:
    return lambda **call: Stream(stub, **call)
