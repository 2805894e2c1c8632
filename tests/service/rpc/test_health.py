"""The health service: who watches is told, whoever else comes and goes, and strangers who watch take nothing from others."""

import asyncio
import re
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from depthhmr_cli.running import running_service
from service.rpc import health

pytestmark = pytest.mark.anyio

CODE = grpc.StatusCode
STATUS = health_pb2.HealthCheckResponse
MEGABYTE = 1_000_000


def channel_to(port: int) -> grpc.aio.Channel:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options)


class Watch:
    """One call of Watch, answer by answer."""

    def __init__(self, channel: grpc.aio.Channel, service: str = "") -> None:
        self.call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service))

    async def status(self) -> int:
        return (await asyncio.wait_for(self.call.read(), 10)).status

    async def code(self) -> grpc.StatusCode:
        return await asyncio.wait_for(self.call.code(), 10)


async def test_a_watcher_that_leaves_takes_nothing_from_the_others(rpc_over, core):
    async with rpc_over(core) as (_, server), channel_to(server.port) as channel:
        stays, leaves = Watch(channel), Watch(channel)
        assert [await stays.status(), await leaves.status()] == [STATUS.SERVING] * 2
        leaves.call.cancel()
        await until(lambda: server._health._watches.total() == 1)

        await server.announce()

        assert await stays.status() == STATUS.NOT_SERVING


async def test_watches_end_with_the_service_and_are_told_before(rpc_over, core):
    async with rpc_over(core) as (_, server), channel_to(server.port) as channel:
        watch = Watch(channel)
        assert await watch.status() == STATUS.SERVING

        await asyncio.wait_for(server.stop(60), 20)

        assert await watch.status() == STATUS.NOT_SERVING and await watch.code() is CODE.UNAVAILABLE


async def test_watches_are_bounded_by_themselves_and_one_caller_leaves_half(rpc_over, core, make_stream, monkeypatch):
    monkeypatch.setattr(health, "MAX_WATCHES", 4)
    async with rpc_over(core, limits={"max_streams": 1}) as (stub, server), channel_to(server.port) as channel:
        watches = [Watch(channel) for _ in range(2)]
        for watch in watches:
            assert await watch.status() == STATUS.SERVING

        assert await Watch(channel).code() is CODE.RESOURCE_EXHAUSTED
        stream = make_stream(stub)
        await stream.config()
        assert await stream.ready()
        watches[0].call.cancel()
        await until(lambda: server._health._watches.total() == 1)
        assert await Watch(channel).status() == STATUS.SERVING


@pytest.mark.slow
async def test_a_watch_of_an_unknown_service_costs_nothing_however_long_its_name(model_dir):
    with running_service("--model-dir", str(model_dir), "--log-level", "warning") as service:
        async with channel_to(service.grpc_port) as channel:
            first = Watch(channel, "nobody")
            assert await first.status() == STATUS.SERVICE_UNKNOWN
            before, watches = rss(service.pid), []
            for number in range(12):
                watches.append(Watch(channel, f"{number}" + "x" * 15 * MEGABYTE))
                assert await watches[-1].status() == STATUS.SERVICE_UNKNOWN

            # Memory goes back within 2 s. Each name takes 15 MB where it is kept.
            async with asyncio.timeout(20):
                while rss(service.pid) - before > 60 * MEGABYTE:
                    await asyncio.sleep(0.2)


async def test_health_is_answered_when_requests_hold_all_bytes(rpc_over, core):
    async with rpc_over(core) as (_, server), channel_to(server.port) as channel:
        with core.held.account("somebody") as account:
            account.reserve(core.held.total)

            reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)

    assert reply.status == STATUS.SERVING


async def test_bytes_that_are_no_message_are_told_so(rpc_over, core):
    async with rpc_over(core) as (_, server), channel_to(server.port) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="not a valid message of this call") as raised:
            await channel.unary_unary(f"/{health.HEALTH}/Check")(b"\xff\xff\xff")

    assert raised.value.code() is CODE.INVALID_ARGUMENT


async def test_a_long_question_about_the_protocol_is_refused(rpc_over, core):
    async with rpc_over(core) as (_, server), channel_to(server.port) as channel:
        question = reflection_pb2.ServerReflectionRequest(file_by_filename="x" * 100_000)
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([question]))

        assert await asyncio.wait_for(call.code(), 10) is CODE.RESOURCE_EXHAUSTED


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def rss(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return 1000 * int(found[1])
