"""gRPC against the service's own process: clients that vanish or never read, its memory, its end, TLS on both protocols."""

import asyncio
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import grpc
import pytest

from depthhmr_cli.running import running_service
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MEGABYTE = 1_000_000

VANISHING = """
import sys, time, grpc
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub

image = open(sys.argv[2], "rb").read()
def messages():
    yield pb.ReconstructStreamRequest(config=pb.StreamConfig(max_in_flight=8))
    for frame_id in range(10**9):
        yield pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=frame_id, image=image))
for answer in ReconstructionServiceStub(grpc.insecure_channel(sys.argv[1])).ReconstructStream(messages()):
    print("answer", flush=True)
"""


@pytest.fixture
def photo(tmp_path, people_jpeg) -> Path:
    (tmp_path / "photo.jpg").write_bytes(people_jpeg)
    return tmp_path / "photo.jpg"


def rss(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return 1000 * int(found[1])


def metric(address: str, name: str) -> float:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    text = opener.open(f"{address}/metrics", timeout=10).read().decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


async def until_idle(address: str) -> None:
    end = time.monotonic() + 10
    while await asyncio.to_thread(metric, address, "depthhmr_images_in_work"):
        assert time.monotonic() < end, "work goes on for a client that has gone"
        await asyncio.sleep(0.1)


async def test_a_client_killed_in_the_middle_of_a_stream_leaves_nothing_behind(model_dir, photo, people_jpeg):
    with running_service("--model-dir", str(model_dir)) as service:
        for _ in range(3):
            command = [sys.executable, "-c", VANISHING, f"127.0.0.1:{service.grpc_port}", str(photo)]
            client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert client.stdout.readline() == "answer\n"
            os.kill(client.pid, signal.SIGKILL)
            client.communicate()

        await until_idle(service.address)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
            reply = await ReconstructionServiceStub(channel).Reconstruct(pb.ReconstructRequest(image=people_jpeg))
        assert len(reply.reconstruction.people) == 2


@pytest.mark.parametrize("policy", [pb.OVERLOAD_POLICY_BLOCK, pb.OVERLOAD_POLICY_DROP_OLDEST])
async def test_clients_that_never_read_cost_a_bounded_amount_of_memory(model_dir, people_jpeg, policy):
    image = people_jpeg + b"\0" * 1_000_000
    with running_service("--model-dir", str(model_dir)) as service:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
            stub = ReconstructionServiceStub(channel)
            await stub.Reconstruct(pb.ReconstructRequest(image=people_jpeg))
            calls = [stub.ReconstructStream() for _ in range(4)]
            config = pb.StreamConfig(overload_policy=policy, max_in_flight=4)
            config.options.outputs.append(pb.OUTPUT_VERTICES)  # 170 kB an answer: unread ones must fill the pipe soon

            async def flood(call) -> None:
                await call.write(pb.ReconstructStreamRequest(config=config))
                for frame_id in range(100_000):
                    frame = pb.Frame(frame_id=frame_id, image=image)
                    await call.write(pb.ReconstructStreamRequest(frame=frame))
                    written.append(frame_id)

            written: list[int] = []
            writing = [asyncio.create_task(flood(call)) for call in calls]
            await until_still(written)
            full = rss(service.pid)
            await asyncio.sleep(2)
            grown = rss(service.pid) - full
            for call in calls:
                call.cancel()
            await asyncio.gather(*writing, return_exceptions=True)

            # Once the pipes are full nothing more is taken: 4 senders at full speed would bring hundreds of megabytes.
            assert grown < 15 * MEGABYTE and full < 600 * MEGABYTE
            await until_idle(service.address)


async def until_still(written: list[int]) -> None:
    """Until nothing has been written for four seconds, which a busy machine may need for one picture: the pipes are full."""
    end, before = time.monotonic() + 60, -1
    while len(written) != before:
        assert time.monotonic() < end, "the service takes more and more"
        before = len(written)
        await asyncio.sleep(4)


async def test_sigterm_ends_streams_with_what_was_in_work(model_dir, people_jpeg):
    with running_service("--model-dir", str(model_dir)) as service:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
            call = ReconstructionServiceStub(channel).ReconstructStream()
            await call.write(pb.ReconstructStreamRequest(config=pb.StreamConfig()))
            for frame_id in range(3):
                frame = pb.Frame(frame_id=frame_id, image=people_jpeg)
                await call.write(pb.ReconstructStreamRequest(frame=frame))
            kinds = [(await call.read()).WhichOneof("message") for _ in range(4)]

            os.kill(service.pid, signal.SIGTERM)
            last = await asyncio.wait_for(call.read(), 10)
            await call.done_writing()

            assert kinds == ["ready", "result", "result", "result"]
            assert last.summary.results == 3 and last.summary.end_reason == pb.END_REASON_DRAINING
            assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_both_protocols_speak_tls_with_the_same_certificate(model_dir, certificates, monkeypatch):
    ca, (certificate, key), _ = certificates
    monkeypatch.setenv("DEPTHHMR_TLS_CERTIFICATE", str(certificate))
    monkeypatch.setenv("DEPTHHMR_TLS_KEY", str(key))
    command = [sys.executable, "-m", "depthhmr_cli", "serve", "--port", "0", "--grpc-port", "0"]
    process = subprocess.Popen([*command, "--model-dir", str(model_dir)], stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        port, grpc_port = re.search(r"ready at https://127\.0\.0\.1:(\d+), gRPC 127\.0\.0\.1:(\d+)", line).groups()

        context = ssl.create_default_context(cafile=str(ca))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        live = await asyncio.to_thread(opener.open, f"https://localhost:{port}/v1/health/live", timeout=10)
        assert live.status == 200
        credentials = grpc.ssl_channel_credentials(ca.read_bytes())
        async with grpc.aio.secure_channel(f"localhost:{grpc_port}", credentials) as channel:
            assert (await ReconstructionServiceStub(channel).GetInfo(pb.GetInfoRequest(), timeout=10)).vertex_count
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TLS_CERTIFICATE": "server.pem"}, "tls_certificate and tls_key go together"),
        ({"TLS_CLIENT_CA": "ca.pem"}, "tls_client_ca needs tls_certificate"),
        ({"TLS_CERTIFICATE": "server.pem", "TLS_KEY": "missing.key"}, "TLS cannot be set up from .*missing.key"),
        ({"TLS_CERTIFICATE": "server.pem", "TLS_KEY": "client.key"}, "TLS cannot be set up from"),
        ({"API_KEYS_FILE": "missing"}, "the API keys .*missing cannot be read"),
    ],
)
def test_settings_that_cannot_work_are_clear_errors(certificates, monkeypatch, capsys, model_dir, variables, message):
    from depthhmr_cli.main import main

    folder = certificates[0].parent
    for name, file in variables.items():
        monkeypatch.setenv(f"DEPTHHMR_{name}", str(folder / file))

    assert main(["serve", "--port", "0", "--grpc-port", "0", "--model-dir", str(model_dir)]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_grpc_port_in_use_is_a_clear_error(model_dir, capsys):
    import socket

    from depthhmr_cli.main import main

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", "0", "--grpc-port", port, "--model-dir", str(model_dir)]) == 2
    assert (
        f"cannot listen on 127.0.0.1:{port} for gRPC; choose another port with --grpc-port" in capsys.readouterr().err
    )
