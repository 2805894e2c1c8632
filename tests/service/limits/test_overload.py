"""Overload over both protocols: each request has a defined outcome. The engine waits until `go` is set."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from bodykit.body import load_body
from bodykit.manifest import Manifest
from service.decoding.images import ImageLimits
from service.engines.fake import FakeEngine, nobody
from service.recovery import MeshRecovery
from service.rest.app import create_app
from service.rpc.limits import RpcLimits
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub
from service.rpc.server import RpcServer

pytestmark = pytest.mark.anyio

URL, BATCH = "/v1/reconstruct", "/v1/reconstruct/batch"
JPEG = {"Content-Type": "image/jpeg"}
LIMIT = 100_000  # bytes of a body
CODE = grpc.StatusCode


class Names:
    """A key is its caller's name."""

    def authenticate(self, given: str | None) -> str:
        return given or "somebody"


class PatientEngine(FakeEngine):
    """One image at a time, and none before `go` is set."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(lambda tensors: nobody(manifest))
        self.go = asyncio.Event()
        self.bulk: list[bool] = []

    async def infer(self, tensors, call):
        self.bulk.append(call.bulk)
        await self.go.wait()
        return await super().infer(tensors, call)


class Served:
    """One core behind both protocols."""

    def __init__(self, core: MeshRecovery, engine: PatientEngine, rest: httpx.AsyncClient, channel) -> None:
        self.core, self.engine, self.rest, self.channel = core, engine, rest, channel
        self.stub = ReconstructionServiceStub(channel)
        self.queue, self.held = core.queue, core.held

    def post(self, content, *, who: str = "a", url: str = URL, **options) -> "asyncio.Task[httpx.Response]":
        headers = JPEG | {"X-API-Key": who}
        return asyncio.ensure_future(self.rest.post(url, content=content, headers=headers, **options))

    def call(self, image: bytes, *, who: str = "a", timeout: float | None = None):
        request = pb.ReconstructRequest(image=image)
        return self.stub.Reconstruct(request, metadata=[("x-api-key", who)], timeout=timeout)

    def stream(self, who: str = "a"):
        return self.stub.ReconstructStream(metadata=[("x-api-key", who)])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)

    async def busy(self, image: bytes, count: int = 3, who: str = "early") -> list:
        """Images that take all places and then wait."""
        before = self.queue.running + self.queue.waiting
        tasks = [self.post(image, who=who) for _ in range(count)]
        await self.until(lambda: self.queue.running + self.queue.waiting >= before + count)
        return tasks

    async def go(self, *tasks) -> list:
        self.engine.go.set()
        return await asyncio.wait_for(asyncio.gather(*tasks), 20)

    def metric(self, name: str) -> float:
        """0 while there is no such series."""
        lines = self.core.metrics.text().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)


@pytest.fixture
def serving(model_dir):
    """`async with serving(**options of the core) as served`."""

    @asynccontextmanager
    async def opened(*, patience_s: float = 30.0, **options):
        manifest = Manifest.read(model_dir)
        engine = PatientEngine(manifest)
        core = MeshRecovery(engine, manifest, load_body(), limits=ImageLimits(max_bytes=LIMIT), **options)
        core.warm = True
        app = create_app(core, max_body_bytes=LIMIT, max_batch_bytes=10 * LIMIT, authenticator=Names())
        server = RpcServer(core, "127.0.0.1:0", RpcLimits(LIMIT, 64, stream_idle_s=patience_s), authenticator=Names())
        await server.start()
        transport = httpx.ASGITransport(app)
        local = [("grpc.use_local_subchannel_pool", 1)]
        try:
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30) as rest,
                grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", local) as channel,
            ):
                yield Served(core, engine, rest, channel)
        finally:
            engine.go.set()
            await server.stop(0)
            await core.aclose()
        assert core.queue.running == core.queue.waiting == core.queue.admitted == core.held.held == 0

    return opened


def pace(served: Served, seconds: float) -> None:
    """The pace that the queue would have measured for an engine that takes this long."""
    served.queue.pace.learn(3 * seconds, seconds)


async def refused(call) -> tuple[grpc.StatusCode, str, int]:
    """Status, code of the error, and seconds until a retry."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for packed in rpc_status.from_call(raised.value).details:
        _ = packed.Unpack(info) or packed.Unpack(retry)
    return raised.value.code(), info.reason, retry.retry_delay.seconds


async def never_read():
    raise AssertionError("the body was read")
    yield b""


async def test_rest_is_refused_before_its_body_when_its_time_is_too_short(serving, people_jpeg):
    async with serving() as served:
        early = await served.busy(people_jpeg)
        pace(served, 2.0)

        response = await served.post(never_read(), params={"timeout_s": "5"})
        patient = served.post(people_jpeg, params={"timeout_s": "25"})
        await served.until(lambda: served.queue.waiting == 1)

        assert response.status_code == 503 and response.json()["type"].endswith(":overloaded")
        assert int(response.headers["Retry-After"]) == response.json()["retry_after_s"] >= 4
        assert "this image would be done in about" in response.json()["detail"]
        assert served.metric('depthhmr_refusals_total{reason="deadline"}') == 1
        assert served.metric('depthhmr_images_total{outcome="overloaded"}') == 1
        assert {reply.status_code for reply in await served.go(patient, *early)} == {200}


async def test_grpc_is_refused_by_its_deadline_before_its_message_is_read(serving, people_jpeg):
    async with serving() as served:
        early = await served.busy(people_jpeg)
        pace(served, 2.0)

        status, reason, retry_s = await refused(served.call(b"\0" * LIMIT, timeout=5))

        assert (status, reason) == (CODE.RESOURCE_EXHAUSTED, "overloaded") and retry_s >= 4
        await served.until(
            lambda: served.metric('depthhmr_requests_total{protocol="grpc"') == 1
        )  # counted after the reply
        assert served.held.held == 0 or served.metric("depthhmr_held_bytes") <= 3 * LIMIT
        await served.go(*early)


async def test_both_protocols_share_the_places(serving, people_jpeg):
    async with serving(max_concurrency=3) as served:
        calls = [asyncio.ensure_future(served.call(people_jpeg)), *await served.busy(people_jpeg, 1)]
        await served.until(lambda: served.queue.running == 2)
        calls += await served.busy(people_jpeg, 1)

        assert (await served.post(never_read())).status_code == 503
        assert (await refused(served.call(people_jpeg)))[0] is CODE.RESOURCE_EXHAUSTED
        await served.go(*calls)


async def test_a_client_with_much_waiting_is_refused_and_another_served(serving, people_jpeg):
    async with serving(max_concurrency=12) as served:
        many = await served.busy(people_jpeg, 6, who="many")

        assert (await served.post(never_read(), who="many")).status_code == 503
        assert (await refused(served.call(people_jpeg, who="many")))[0] is CODE.RESOURCE_EXHAUSTED
        other, another = (
            served.post(people_jpeg, who="other"),
            asyncio.ensure_future(served.call(people_jpeg, who="third")),
        )
        await served.until(lambda: served.queue.waiting == 5)

        assert served.metric('depthhmr_refusals_total{reason="share"}') == 2
        response, message, *_ = await served.go(other, another, *many)
        assert response.status_code == 200 and message.request_id


async def test_a_batch_gives_way_to_single_images(serving, people_jpeg):
    async with serving() as served:
        files = [("image", (f"{index}.jpg", people_jpeg)) for index in range(6)]
        batch = asyncio.ensure_future(served.rest.post(BATCH, files=files, headers={"X-API-Key": "b"}))
        early = await served.busy(people_jpeg, 5)
        await served.until(lambda: served.queue.waiting >= 4)

        response, *_ = await served.go(batch, *early)

        assert [item["status"] for item in response.json()["results"]] == [200] * 6
        first_single, last_single = served.engine.bulk.index(False), len(served.engine.bulk) - 1
        while served.engine.bulk[last_single]:
            last_single -= 1
        assert sum(served.engine.bulk[first_single:last_single]) <= 3 and served.engine.bulk.count(True) == 6


async def test_a_client_that_cancels_frees_its_place_in_the_queue(serving, people_jpeg):
    async with serving() as served:
        early = await served.busy(people_jpeg)
        calls = [served.call(people_jpeg) for _ in range(4)]
        await served.until(lambda: served.queue.waiting == 4)

        for call in calls:
            call.cancel()
        await served.until(lambda: served.queue.waiting == 0)

        assert served.queue.admitted == 3
        assert served.metric('depthhmr_queue_depth{priority="interactive"}') == 0
        await served.go(*early)


async def test_a_client_of_rest_that_leaves_frees_its_place_and_its_bytes(serving, people_jpeg):
    async with serving() as served:
        early = await served.busy(people_jpeg)
        held = served.held.held
        gone = asyncio.Event()
        app = create_app(served.core, max_body_bytes=LIMIT)
        messages = [{"type": "http.request", "body": people_jpeg}]

        async def receive():
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            pass

        headers = [(b"content-length", str(len(people_jpeg)).encode())]
        scope = {"type": "http", "method": "POST", "path": URL, "query_string": b"", "headers": headers}
        leaving = asyncio.ensure_future(app(scope, receive, send))
        await served.until(lambda: served.queue.waiting == 1)
        assert served.held.held == held + len(people_jpeg)

        gone.set()
        await served.until(lambda: served.queue.waiting == 0 and served.held.held == held)

        await leaving
        await served.go(*early)


async def test_work_waiting_past_its_deadline_fails_and_never_starts(serving, people_jpeg):
    async with serving() as served:
        early = await served.busy(people_jpeg)

        late = served.post(people_jpeg, params={"timeout_s": "0.2"})
        assert (await late).status_code == 504
        assert await served.call(people_jpeg, timeout=0.2).code() is CODE.DEADLINE_EXCEEDED

        await served.go(*early)
        assert len(served.engine.bulk) == 3


async def test_streams_are_held_back_and_another_clients_image_passes_their_frames(serving, people_jpeg):
    async with serving(max_concurrency=4) as served:
        streams = [served.stream("many") for _ in range(4)]
        for stream in streams:
            await stream.write(pb.ReconstructStreamRequest(config=pb.StreamConfig(max_in_flight=8)))
            for frame_id in range(8):
                frame = pb.Frame(frame_id=frame_id, image=people_jpeg)
                await stream.write(pb.ReconstructStreamRequest(frame=frame))
            await stream.done_writing()
        await served.until(lambda: served.queue.waiting == 4 * 8 - 3)

        single = served.post(people_jpeg, who="other")
        await served.until(lambda: served.queue.waiting == 4 * 8 - 2)
        served.engine.go.set()
        response = await asyncio.wait_for(single, 20)
        left = served.queue.waiting
        kinds = [[answer.WhichOneof("message") async for answer in stream] for stream in streams]

        assert response.status_code == 200 and left > 0
        assert kinds == [["ready", *["result"] * 8, "summary"]] * 4


async def test_a_stream_that_is_cancelled_frees_its_frames_and_their_bytes(serving, people_jpeg):
    async with serving() as served:
        early = await served.busy(people_jpeg)
        held = served.held.held
        stream = served.stream()
        await stream.write(pb.ReconstructStreamRequest(config=pb.StreamConfig(max_in_flight=4)))
        for frame_id in range(4):
            await stream.write(pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=frame_id, image=people_jpeg)))
        await served.until(lambda: served.queue.waiting == 4)
        assert served.held.held == held + 4 * len(people_jpeg)

        stream.cancel()
        await served.until(lambda: served.queue.waiting == 0 and served.held.held == held)

        await served.go(*early)


async def test_all_streams_together_hold_no_more_than_the_budget_and_lose_nothing(serving, people_jpeg):
    """Ten clients with frames of 80 kB, 8 in flight each, and room for 600 kB."""
    async with serving(max_held_bytes=600_000) as served:
        image = people_jpeg + b"\0" * (80_000 - len(people_jpeg))
        most = 0

        async def send(stream) -> None:
            await stream.write(pb.ReconstructStreamRequest(config=pb.StreamConfig(max_in_flight=8)))
            for frame_id in range(8):
                frame = pb.Frame(frame_id=frame_id, image=image)
                await stream.write(pb.ReconstructStreamRequest(frame=frame))
            await stream.done_writing()

        async def answers(stream) -> list[str]:
            return [answer.WhichOneof("message") async for answer in stream]

        streams = [served.stream(f"client {index}") for index in range(10)]
        sending = [asyncio.ensure_future(send(stream)) for stream in streams]
        receiving = [asyncio.ensure_future(answers(stream)) for stream in streams]
        for _ in range(100):
            most = max(most, served.held.held)
            await asyncio.sleep(0.005)
        served.engine.go.set()
        kinds = await asyncio.wait_for(asyncio.gather(*receiving), 30)
        await asyncio.gather(*sending)

        assert 300_000 < most <= 600_000
        flat = [kind for kinds_of_one in kinds for kind in kinds_of_one]
        # Frames already sent when reading stopped may find no room; every frame is answered.
        assert flat.count("result") + flat.count("error") == 80 and flat.count("summary") == 10


@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunks"])
async def test_bytes_that_have_no_room_are_refused_before_they_are_read(serving, people_jpeg, announced):
    async with serving(max_held_bytes=1_100_000) as served:
        body = b"\0" * 90_000

        async def chunks():
            yield body

        with served.held.account("key big") as big:
            big.reserve(1_050_000)
            response = await served.post(body if announced else chunks())
            small = served.post(people_jpeg)
            await served.until(lambda: served.queue.running == 1)

        assert response.status_code == 503 and response.json()["type"].endswith(":overloaded")
        assert "memory" in response.json()["detail"] and int(response.headers["Retry-After"]) >= 1
        assert served.metric('depthhmr_refusals_total{reason="bytes"}') == 1
        await served.go(small)


async def test_a_unary_message_waits_for_room_before_it_is_read(serving, people_jpeg):
    async with serving(max_held_bytes=1_100_000) as served:
        with served.held.account("key big") as big:
            big.reserve(1_000_000)
            call = asyncio.ensure_future(served.call(people_jpeg))
            await asyncio.sleep(0.3)
            assert not call.done() and served.queue.running == 0

        await served.until(lambda: served.queue.running == 1)
        assert served.held.held == served.metric("depthhmr_held_bytes") < 2 * len(people_jpeg) + 1000
        await served.go(call)


async def test_a_unary_message_that_never_comes_ends_in_a_timeout(serving):
    async with serving(patience_s=0.3) as served:
        call = served.channel.stream_unary("/depthhmr.v1.ReconstructionService/Reconstruct")()

        assert await asyncio.wait_for(call.code(), 20) is CODE.DEADLINE_EXCEEDED
        assert "did not arrive within 0.3 s" in await call.details()
        await served.until(lambda: served.held.held == 0)
