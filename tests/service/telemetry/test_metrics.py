"""Metrics: what is counted, and that clients cannot create new time series."""

import asyncio
import random
import re
import time
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import grpc
import pytest

from service.rpc.limits import RpcLimits
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub
from service.rpc.server import RpcServer
from service.settings import Settings
from service.telemetry.loop_lag import watch_loop
from service.telemetry.metrics import LAG_SECONDS, SECONDS, STAGES

pytestmark = pytest.mark.anyio

JPEG = {"Content-Type": "image/jpeg"}


def samples(core) -> dict[str, float]:
    """Each series with its value."""
    lines = [line for line in core.metrics.text().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def of_ours(core) -> set[str]:
    return {name for name in samples(core) if name.startswith("depthhmr_")}


@asynccontextmanager
async def rpc_channel(core):
    server = RpcServer(core, "127.0.0.1:0", RpcLimits(2**20, 64))
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield channel
    finally:
        await server.stop(0)


async def test_every_stage_of_an_image_is_timed_once(client, core, people_jpeg):
    for form in ("application/json", "model/gltf-binary"):
        reply = await client.post("/v1/reconstruct", content=people_jpeg, headers=JPEG | {"Accept": form})
        assert reply.status_code == 200

    found = samples(core)
    assert [found[f'depthhmr_stage_seconds_count{{stage="{stage}"}}'] for stage in STAGES] == [2] * 5
    assert found['depthhmr_stage_seconds_sum{stage="encode"}'] > 0
    assert found['depthhmr_requests_total{protocol="rest",route="/v1/reconstruct",status="200"}'] == 2


def test_buckets_reach_from_the_fastest_stage_to_the_deadline():
    for buckets in (SECONDS, LAG_SECONDS):
        steps = [after / before for before, after in pairwise(buckets)]
        assert min(steps) > 1 and max(steps) <= 3  # a quantile is never wrong by more than that
    assert SECONDS[-1] >= Settings().request_timeout_s


@pytest.mark.parametrize("tracked", [False, True])
async def test_frames_are_counted_by_their_outcome_and_streams_while_they_are_open(core, people_jpeg, tracked):
    opened = asyncio.Event()
    ready = asyncio.Event()

    async def messages():
        yield pb.ReconstructStreamRequest(config=pb.StreamConfig(tracking=pb.Tracking() if tracked else None))
        for number, content in enumerate((people_jpeg, b"no image", people_jpeg)):
            yield pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=number, image=content))
        opened.set()
        await ready.wait()

    async with rpc_channel(core) as channel:
        call = ReconstructionServiceStub(channel).ReconstructStream(messages())
        reading = asyncio.create_task(_read_all(call))
        await opened.wait()
        while samples(core).get('depthhmr_frames_total{outcome="ok"}', 0) < 2:
            await asyncio.sleep(0.01)
        during = samples(core)["depthhmr_streams_open"]
        ready.set()
        await reading

    found = samples(core)
    assert (during, found["depthhmr_streams_open"]) == (1, 0)
    assert found['depthhmr_frames_total{outcome="ok"}'] == 2
    assert found['depthhmr_frames_total{outcome="unsupported-media"}'] == 1
    assert found['depthhmr_stage_seconds_count{stage="encode"}'] == 2
    route = "depthhmr.v1.ReconstructionService/ReconstructStream"
    assert found[f'depthhmr_requests_total{{protocol="grpc",route="{route}",status="OK"}}'] == 1


async def _read_all(call) -> list:
    return [answer async for answer in call]


async def test_a_thousand_odd_requests_add_no_series(client, core, people_jpeg):
    """One request of each kind creates all series; the next thousand create none."""
    dice = random.Random(1)
    sent = [
        lambda word: client.get(f"/{word}"),
        lambda word: client.get(f"/v1/models/{word}"),
        lambda word: client.get(f"/v1/body?include={word}"),
        lambda word: client.get("/v1/version", headers={"X-Request-ID": word, "X-API-Key": word, "Host": word}),
        lambda word: client.get(
            "/v1/version", headers={"traceparent": f"00-{32 * '1'}-{16 * '1'}-01", "User-Agent": word}
        ),
        lambda word: client.request(word.upper(), "/v1/version"),
        lambda word: client.post("/v1/reconstruct", content=word.encode(), headers=JPEG),
        lambda word: client.post(f"/v1/reconstruct?{word}=1", content=people_jpeg, headers={"Content-Type": word}),
        lambda word: client.post("/v1/reconstruct", content=people_jpeg, headers=JPEG | {"Accept": f"{word}/{word}"}),
    ]
    async with rpc_channel(core) as channel:
        stub = ReconstructionServiceStub(channel)

        async def rpc(name: str, word: str) -> None:
            with suppress(grpc.aio.AioRpcError):
                if name:
                    await channel.unary_unary(name)(b"")
                else:
                    await stub.Reconstruct(pb.ReconstructRequest(image=word.encode(), request_id=word))

        sent += [
            lambda word: rpc(f"/{word}/{word}", word),
            lambda word: rpc(f"/depthhmr.v1.ReconstructionService/{word}", word),
            lambda word: rpc("", word),
        ]
        for send in sent * 2:  # a gRPC call is counted just after its reply has arrived
            await send("first")
        before = of_ours(core)
        for number in range(1000):
            await sent[number % len(sent)](f"odd{dice.randrange(10**9)}")

    assert of_ours(core) == before
    assert len(before) < 250 and not re.search("odd|first", " ".join(before))


async def test_a_blocked_event_loop_is_noticed(core):
    watching = asyncio.create_task(watch_loop(core.metrics))
    await asyncio.sleep(0.12)
    quiet = samples(core)

    time.sleep(0.6)  # blocks the event loop
    await asyncio.sleep(0.12)
    watching.cancel()

    found = samples(core)
    assert quiet["depthhmr_event_loop_lag_seconds_count"] >= 1
    assert found["depthhmr_event_loop_lag_seconds_sum"] - quiet["depthhmr_event_loop_lag_seconds_sum"] >= 0.5
    over = found["depthhmr_event_loop_lag_seconds_count"] - found['depthhmr_event_loop_lag_seconds_bucket{le="0.5"}']
    assert over >= 1


async def test_the_process_tells_about_itself(core):
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"} <= set(samples(core))
