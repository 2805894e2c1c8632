"""REST clients that do not read their responses: they cost little memory, and only for a limited time."""

import asyncio
import re
import socket
from contextlib import suppress
from pathlib import Path

import pytest
import uvicorn

from depthhmr_cli.running import running_service
from service.rest import connection
from service.rest.app import create_app
from service.serve import listen

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MEGABYTE = 1_000_000
READERS, EACH = 10, 200
HEAD = b"POST /v1/reconstruct?include=vertices HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


async def test_clients_that_never_read_their_answers_cost_a_bounded_amount_of_memory(model_dir, people_jpeg):
    """Each sends 200 requests whose responses are 0.7 MB: 1.4 GB in all if they were produced."""
    request = HEAD % len(people_jpeg) + people_jpeg
    with running_service("--model-dir", str(model_dir), "--log-level", "warning") as service:
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.close()
        before = rss(service.pid)
        silent = [socket.create_connection(("127.0.0.1", service.port), 60) for _ in range(READERS)]
        for one in silent:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.send(request * EACH)
        await asyncio.sleep(5)

        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(request.replace(b"?include=vertices", b""))
        assert (await asyncio.wait_for(reader.read(12), 60)) == b"HTTP/1.1 200"
        assert rss(service.pid) - before < 300 * MEGABYTE
        writer.close()
        for one in silent:
            one.close()


async def test_a_client_that_stops_reading_is_disconnected_and_a_slow_reader_is_not(core, people_jpeg, monkeypatch):
    monkeypatch.setattr(connection, "READ_INTERVAL_S", 0.5)
    listener = listen("127.0.0.1", 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)  # so that answers wait in the service
    app = create_app(core, max_body_bytes=2**20)
    config = uvicorn.Config(app, log_config=None, lifespan="off", http=connection.Connection)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    request = HEAD.replace(b"Host: x", b"Host: x\r\nConnection: close") % len(people_jpeg) + people_jpeg
    port = listener.getsockname()[1]

    async def asked() -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        await asyncio.get_running_loop().sock_sendall(client, request)
        return client

    loop = asyncio.get_running_loop()
    with await asked() as slow, await asked() as silent:
        answer = b""
        while piece := await loop.sock_recv(slow, 300_000):
            answer += piece
            await asyncio.sleep(0.01)
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"}")

        until = loop.time() + 30
        while server.server_state.connections:
            assert loop.time() < until, "a client that reads nothing is still connected"
            await asyncio.sleep(0.1)
        found = b""
        with suppress(ConnectionResetError):
            while piece := await loop.sock_recv(silent, 300_000):
                found += piece
        assert len(found) < len(answer)
    server.should_exit = True
    await serving


def rss(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return 1000 * int(found[1])
