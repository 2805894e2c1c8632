"""The rate limit per caller, over REST and over gRPC."""

import asyncio
import time
from contextlib import asynccontextmanager

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from service.access.keys import ApiKeys, hash_of
from service.errors import RateLimited
from service.limits import rate_limit as ratelimit
from service.limits.rate_limit import RateLimiter, address_of_peer, network_of, parse_rate
from service.rest.app import create_app
from service.rpc.limits import RpcLimits
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub
from service.rpc.server import RpcServer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("text", ["600/minute", "20 per second", "5/2 hours", "1/day"])
def test_a_rate_is_read(text):
    assert parse_rate(text).amount >= 1


@pytest.mark.parametrize(
    "text", ["", "600", "minute", "0/minute", "-5/minute", "1/fortnight", "a/minute", "1.5/minute"]
)
def test_a_rate_that_is_none_is_a_clear_error(text):
    with pytest.raises(ValueError, match="such as 600/minute"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix:/run/socket", "unix:/run/socket"),
        ("", ""),
    ],
)
def test_an_address_stands_for_one_subscriber(address, network):
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:5000", "127.0.0.1"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("ipv6:[::1]:5", "::1"),
        ("unix:a", "unix:a"),
    ],
)
def test_the_other_end_of_a_grpc_call_has_an_address(peer, address):
    assert address_of_peer(peer) == address


async def test_callers_are_counted_each_by_itself():
    limiter = RateLimiter("2/minute")
    for caller in (("a", "192.0.2.1"), ("b", "192.0.2.1"), ("", "192.0.2.1"), ("", "192.0.2.2")):
        for _ in range(2):
            await limiter.hit(*caller)
        with pytest.raises(RateLimited, match="at most 2 requests per minute; try again in"):
            await limiter.hit(*caller)


async def test_retry_after_is_long_enough_and_not_much_longer():
    """Seven requests of a second's ten in one window, more in the next: the wait depends on both."""
    limiter = RateLimiter("4/2 second")
    waits = []
    while len(waits) < 3:
        try:
            await limiter.hit("me", "")
        except RateLimited as error:
            waits.append(error.retry_after_s)
            await asyncio.sleep(error.retry_after_s)
            await limiter.hit("me", "")  # fits now

    assert all(1 <= wait <= 2 for wait in waits)


async def test_a_flood_of_addresses_takes_bounded_memory(monkeypatch):
    monkeypatch.setattr(ratelimit, "MAX_ADDRESSES", 50)
    limiter = RateLimiter("3/minute")
    await limiter.hit("", "192.0.2.1")

    refused = 0
    for number in range(300):
        try:
            await limiter.hit("", f"10.0.{number // 250}.{number % 250}")
        except RateLimited:
            refused += 1

    assert refused == 300 - 49 - 3  # 49 counted separately, and all others together three times
    assert len(limiter._addresses.storage) == 51
    await limiter.hit("", "192.0.2.1")  # an address counted before is still counted separately
    await limiter.hit("camera", "10.9.9.9")  # and an authenticated caller is not affected


async def test_counts_that_are_over_are_forgotten():
    limiter = RateLimiter("5/second")
    for number in range(20):
        await limiter.hit("", f"192.0.2.{number}")
    await asyncio.sleep(2.1)  # two windows

    await limiter.hit("", "192.0.2.99")
    await asyncio.sleep(0.05)

    assert len(limiter._addresses.storage) == 1


@pytest.fixture
def rpc():
    """`async with rpc(core, **options) as (stub, channel)`: a real gRPC server on loopback."""

    @asynccontextmanager
    async def opened(core, **options):
        server = RpcServer(core, "127.0.0.1:0", RpcLimits(100_000, 64), **options)
        await server.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)])
        try:
            yield ReconstructionServiceStub(channel), channel
        finally:
            await channel.close()
            await server.stop(0)

    return opened


@pytest.fixture
async def limited(core):
    app = create_app(core, max_body_bytes=2**20, limiter=RateLimiter("2/hour"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_one_too_many_is_answered_before_its_body_is_read(limited, people_jpeg):
    async def never_read():
        raise AssertionError("the body was read")
        yield b""

    for _ in range(2):
        ok = await limited.post("/v1/reconstruct", content=people_jpeg, headers={"Content-Type": "image/jpeg"})
        assert ok.status_code == 200
    refused = await limited.post("/v1/reconstruct", content=never_read())

    assert refused.status_code == 429 and refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["type"] == "urn:depthhmr:problem:rate-limited" and problem["status"] == 429
    assert int(refused.headers["retry-after"]) == problem["retry_after_s"] > 0
    assert "at most 2 requests per hour" in problem["detail"]


async def test_probes_and_the_page_are_not_counted(limited):
    for _ in range(5):
        for path in ("/v1/health/live", "/v1/health/ready", "/metrics", "/", "/static/page.js"):
            assert (await limited.get(path)).status_code == 200, path
    assert [(await limited.get("/v1/version")).status_code for _ in range(3)] == [200, 200, 429]


async def test_each_key_has_its_own_count_and_guessing_has_one_too(core):
    keys = ApiKeys({hash_of("one"): "first", hash_of("two"): "second", hash_of("three"): "second"})
    app = create_app(core, max_body_bytes=2**20, authenticator=keys, limiter=RateLimiter("2/hour"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:

        async def ask(key: str) -> int:
            return (await client.get("/v1/version", headers={"X-API-Key": key})).status_code

        assert [await ask("wrong") for _ in range(3)] == [401, 401, 429]
        assert [await ask("one") for _ in range(3)] == [200, 200, 429]
        assert [await ask(key) for key in ("two", "three", "two", "three")] == [200, 200, 429, 429]


async def test_grpc_says_when_to_ask_again(rpc, core, people_jpeg):
    async with rpc(core, limiter=RateLimiter("2/hour")) as (stub, channel):
        request = pb.ReconstructRequest(image=people_jpeg)
        for _ in range(2):
            await stub.Reconstruct(request)
        begin = time.perf_counter()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Reconstruct(request)

        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and time.perf_counter() - begin < 1
        details = unpacked(refused.value)
        assert details["ErrorInfo"].reason == "rate-limited"
        assert details["RetryInfo"].retry_delay.seconds > 0
        assert "at most 2 requests per hour" in details["QuotaFailure"].violations[0].description
        assert await code_of_stream(stub) is grpc.StatusCode.RESOURCE_EXHAUSTED
        health = health_pb2_grpc.HealthStub(channel)
        for _ in range(5):
            await health.Check(health_pb2.HealthCheckRequest())


async def test_over_grpc_each_key_has_its_own_count_and_guessing_has_one_too(rpc, core):
    keys = ApiKeys({hash_of("one"): "first", hash_of("two"): "second"})
    async with rpc(core, authenticator=keys, limiter=RateLimiter("2/hour")) as (stub, _):

        async def ask(*metadata: tuple[str, str]) -> grpc.StatusCode:
            try:
                await stub.GetInfo(pb.GetInfoRequest(), metadata=metadata)
            except grpc.aio.AioRpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        ok, wrong, full = grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED
        assert [await ask(("x-api-key", "no")) for _ in range(3)] == [wrong, wrong, full]
        assert [await ask(("x-api-key", "one")) for _ in range(3)] == [ok, ok, full]
        assert [await ask(("authorization", "Bearer two")) for _ in range(3)] == [ok, ok, full]


async def code_of_stream(stub) -> grpc.StatusCode:
    call = stub.ReconstructStream()
    try:
        await call.write(pb.ReconstructStreamRequest(config=pb.StreamConfig()))
        await asyncio.wait_for(call.read(), 10)
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass
    return await call.code()


def unpacked(error: grpc.aio.AioRpcError) -> dict:
    found = {}
    for packed in rpc_status.from_call(error).details:
        kind = getattr(error_details_pb2, packed.type_url.rpartition(".")[2])
        found[kind.__name__] = kind()
        packed.Unpack(found[kind.__name__])
    return found
