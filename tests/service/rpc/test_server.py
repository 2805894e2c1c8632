"""What stands around the calls: health, reflection, keys, TLS, and connections that misbehave."""

import asyncio
import socket
import struct

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from bodykit.errors import UserError
from service.access.keys import ApiKeys, hash_of, new_key
from service.access.tls import open_tls
from service.rpc.limits import RpcLimits
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub
from service.rpc.server import SERVICE, RpcOptions, RpcServer

pytestmark = pytest.mark.anyio

CODE = grpc.StatusCode
STATUS = health_pb2.HealthCheckResponse
LIMITS = RpcLimits(100_000, 64)


async def test_health_follows_the_engine_and_watchers_are_told(rpc_over, core):
    async with rpc_over(core) as (_, server), channel_to(server) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == STATUS.SERVING
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == STATUS.SERVING

        core.warm = False
        assert (await asyncio.wait_for(watch.read(), 5)).status == STATUS.NOT_SERVING
        core.warm = True
        assert (await asyncio.wait_for(watch.read(), 5)).status == STATUS.SERVING

        await server.drain()
        assert (await asyncio.wait_for(watch.read(), 5)).status == STATUS.NOT_SERVING
        watch.cancel()


async def test_health_of_an_unknown_service_is_not_found(rpc_over, core):
    async with rpc_over(core) as (_, server), channel_to(server) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="nobody"))

    assert raised.value.code() is CODE.NOT_FOUND


def ask_reflection(channel: grpc.aio.Channel, version: str, **question):
    """The answer of the reflection service of this version, whose messages are the same in both."""
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return call(iter([reflection_pb2.ServerReflectionRequest(**question)])).read()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize("on", [True, False])
async def test_reflection_tells_what_can_be_called_where_it_is_on(rpc_over, core, on, version):
    async with rpc_over(core, options=RpcOptions(reflection=on)) as (_, server), channel_to(server) as channel:
        try:
            answer = await ask_reflection(channel, version, list_services="")
        except grpc.aio.AioRpcError as error:
            assert not on and error.code() is CODE.UNIMPLEMENTED
            return

    services = {service.name for service in answer.list_services_response.service}
    assert on and services >= {SERVICE, "grpc.health.v1.Health", f"grpc.reflection.{version}.ServerReflection"}


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        (SERVICE, "depthhmr/v1/reconstruction.proto"),
        ("grpc.reflection.v1.ServerReflection", "grpc/reflection/v1/reflection.proto"),
    ],
)
async def test_reflection_names_the_files_as_they_are_published(rpc_over, core, symbol, file):
    async with rpc_over(core) as (_, server), channel_to(server) as channel:
        answer = await ask_reflection(channel, "v1", file_containing_symbol=symbol)

    files = [
        descriptor_pb2.FileDescriptorProto.FromString(content)
        for content in answer.file_descriptor_response.file_descriptor_proto
    ]
    assert file in {found.name for found in files} and all("service/rpc" not in found.name for found in files)


async def test_an_unknown_method_is_unimplemented(rpc_over, core):
    async with rpc_over(core) as (_, server), channel_to(server) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(f"/{SERVICE}/Levitate")(b"")

    assert raised.value.code() is CODE.UNIMPLEMENTED


async def test_bytes_that_are_no_message_end_the_call_alone(rpc_over, core):
    async with rpc_over(core) as (stub, server), channel_to(server) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(f"/{SERVICE}/Reconstruct")(b"\xff\xff\xff")
        assert (await stub.GetInfo(pb.GetInfoRequest())).vertex_count

    assert raised.value.code() is CODE.INVALID_ARGUMENT
    assert raised.value.details() == "the bytes are not a valid message of this call"


async def test_with_keys_only_who_has_one_may_call(rpc_over, core, people_jpeg):
    old, new = new_key(), new_key()
    keys = ApiKeys({hash_of(old): "camera-1", hash_of(new): "camera-1"})
    request = pb.ReconstructRequest(image=people_jpeg)
    async with rpc_over(core, authenticator=keys) as (stub, server), channel_to(server) as channel:
        for key in (None, "", "guess", old + "x"):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.Reconstruct(request, metadata=[] if key is None else [("x-api-key", key)])
            assert raised.value.code() is CODE.UNAUTHENTICATED and (not key or key not in raised.value.details())
        stream = stub.ReconstructStream()
        assert await stream.code() is CODE.UNAUTHENTICATED
        for key in (old, new):
            assert (await stub.Reconstruct(request, metadata=[("x-api-key", key)])).request_id
        assert (await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())).status


async def test_a_key_over_the_wire_is_checked_before_the_message_is_read(rpc_over, core):
    """A message over the limit and no key: the key is what is complained of."""
    async with rpc_over(core, authenticator=ApiKeys({hash_of("k"): "a"})) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Reconstruct(pb.ReconstructRequest(image=b"x" * 90_000))

    assert raised.value.code() is CODE.UNAUTHENTICATED


async def test_tls_serves_and_mutual_tls_asks_for_a_certificate(rpc_over, core, certificates):
    ca, server_pair, client_pair = certificates
    mutual = open_tls(*server_pair, ca)
    async with rpc_over(core, tls=mutual) as (_, server):
        root, key, certificate = ca.read_bytes(), client_pair[1].read_bytes(), client_pair[0].read_bytes()
        for credentials, accepted in (
            (grpc.ssl_channel_credentials(root, key, certificate), True),
            (grpc.ssl_channel_credentials(root), False),
            (grpc.ssl_channel_credentials(), False),
        ):
            async with grpc.aio.secure_channel(f"localhost:{server.port}", credentials) as channel:
                call = ReconstructionServiceStub(channel).GetInfo(pb.GetInfoRequest(), timeout=5)
                if accepted:
                    assert (await call).vertex_count
                else:
                    with pytest.raises(grpc.aio.AioRpcError) as raised:
                        await call
                    assert raised.value.code() is CODE.UNAVAILABLE
        async with channel_to(server) as plain:
            with pytest.raises(grpc.aio.AioRpcError):
                await ReconstructionServiceStub(plain).GetInfo(pb.GetInfoRequest(), timeout=5)


async def test_a_port_in_use_is_a_clear_error(core):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(UserError, match=f"cannot listen on {address} for gRPC; choose another port"):
            await RpcServer(core, address, LIMITS).start()


async def test_a_flood_of_pings_ends_that_connection_and_no_other(rpc_over, core, people_jpeg):
    async with rpc_over(core) as (stub, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, b""))
        cut = False
        try:
            for number in range(2000):
                writer.write(frame(PING, 0, struct.pack("!Q", number)))
                await asyncio.wait_for(writer.drain(), 10)
                await asyncio.sleep(0)
            while await asyncio.wait_for(reader.read(65536), 10):
                pass
            cut = True
        except ConnectionError:
            cut = True
        writer.close()

        assert cut
        assert (await stub.Reconstruct(pb.ReconstructRequest(image=people_jpeg))).request_id


async def test_noise_on_the_port_harms_nobody(rpc_over, core):
    async with rpc_over(core) as (stub, server):
        for noise in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\0" * 200, b"\xff" * 5000):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(noise)
            writer.close()

        assert (await stub.GetInfo(pb.GetInfoRequest())).vertex_count


@pytest.mark.parametrize(("aside", "threads"), [(1, 4), (2**30, 0)])
async def test_large_messages_are_parsed_in_a_thread_and_answered_alike(
    rpc_over, core, make_stream, people_jpeg, monkeypatch, aside, threads
):
    monkeypatch.setattr("service.rpc.interceptors.requests.THREADED_PARSE_BYTES", aside)
    to_thread, parsed = asyncio.to_thread, []

    async def watched(function, *arguments, **named):
        parsed.append(arguments)
        return await to_thread(function, *arguments, **named)

    async with rpc_over(core) as (stub, server), channel_to(server) as channel:
        monkeypatch.setattr(asyncio, "to_thread", watched)
        reply = await stub.Reconstruct(pb.ReconstructRequest(image=people_jpeg))
        assert len(reply.reconstruction.people) == 2
        stream = make_stream(stub)
        await stream.config()
        await stream.frame(7, people_jpeg)
        await stream.call.done_writing()
        answers = await stream.rest()
        assert answers[0] == ("result", 7) and answers[-1] is CODE.OK
        raw = channel.unary_unary(f"/{SERVICE}/Reconstruct")
        with pytest.raises(grpc.aio.AioRpcError, match="not a valid message of this call"):
            await raw(b"\xff" * 1000)
        assert len(parsed) == threads


async def test_who_leaves_while_a_message_is_parsed_leaves_nothing_behind(
    rpc_over, core, make_stream, people_jpeg, monkeypatch
):
    monkeypatch.setattr("service.rpc.interceptors.requests.THREADED_PARSE_BYTES", 1)
    to_thread, parsing, go_on = asyncio.to_thread, asyncio.Event(), asyncio.Event()

    async def stopped(function, *arguments, **named):
        parsing.set()
        await go_on.wait()
        return await to_thread(function, *arguments, **named)

    async with rpc_over(core) as (stub, _):
        for ask in ("call", "stream"):
            monkeypatch.setattr(asyncio, "to_thread", stopped)
            if ask == "call":
                call = stub.Reconstruct(pb.ReconstructRequest(image=people_jpeg))
            else:
                stream = make_stream(stub)
                await stream.config()
                call = stream.call
            await asyncio.wait_for(parsing.wait(), 10)
            call.cancel()
            await asyncio.sleep(0.05)
            monkeypatch.setattr(asyncio, "to_thread", to_thread)
            go_on.set()
            reply = await stub.Reconstruct(pb.ReconstructRequest(image=people_jpeg))
            assert len(reply.reconstruction.people) == 2
            parsing.clear()
            go_on.clear()
        async with asyncio.timeout(10):
            while core.held.held:
                await asyncio.sleep(0.02)


SETTINGS, PING = 4, 6


def frame(kind: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame (RFC 9113, 4.1)."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, 0, stream) + payload


def channel_to(server: RpcServer) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)])
