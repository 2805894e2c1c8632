"""Limits on what a connection may send besides bodies, and on how long it may be idle."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn

from service.rest import connection
from service.serve import listen

pytestmark = pytest.mark.anyio

BOUND_S = 5.0  # far more than needed, and below the 10 s after which a timer would end the connection anyway
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
SIZED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
WITHOUT_END = {
    "trailer": b"5\r\nhello\r\n0\r\nX-Trailer: " + b"a" * 2**21,
    "trailers": b"0\r\n" + b"X: y\r\n" * 2**18,
    "chunk extension": b"5;a=" + b"a" * 2**21,
}
OK = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}


async def at_once(scope, receive, send):
    """An application that answers before reading anything."""
    await send(OK)
    await send({"type": "http.response.body", "body": b"OK"})


async def when_read(scope, receive, send):
    """An application that returns the length of the body."""
    count, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        count, more = count + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d bytes" % count})


@asynccontextmanager
async def connected(app, **options):
    """Reader and writer of a client of `app`, and uvicorn's set of connections."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", http=connection.Connection, timeout_graceful_shutdown=1, **options
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
    try:
        async with asyncio.timeout(3 * BOUND_S):
            yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await serving


async def end_of(reader) -> bytes:
    """Everything received until the server closes the connection."""
    found = b""
    with suppress(ConnectionResetError):
        async with asyncio.timeout(BOUND_S):
            while piece := await reader.read(65_536):
                found += piece
    return found


@pytest.mark.parametrize("sent", WITHOUT_END.values(), ids=WITHOUT_END)
async def test_endless_chunk_framing_or_trailers_end_the_connection(sent):
    async with connected(when_read) as (reader, writer):
        writer.write(CHUNKED + sent)

        assert await end_of(reader) == b""


@pytest.mark.parametrize("sent", WITHOUT_END.values(), ids=WITHOUT_END)
async def test_endless_framing_after_an_early_answer_ends_the_connection(sent):
    async with connected(at_once) as (reader, writer):
        writer.write(CHUNKED)
        await reader.readuntil(b"\r\n\r\nOK")
        writer.write(sent)

        await end_of(reader)


async def test_no_packet_brings_the_parser_more_than_the_bound(monkeypatch):
    values, on_header = [], connection.Connection.on_header

    def noted(self, name, value):
        values.append(len(value))
        on_header(self, name, value)

    monkeypatch.setattr(connection.Connection, "on_header", noted)
    async with connected(when_read) as (reader, writer):
        writer.write(CHUNKED + b"0\r\nA: " + b"a" * 50_000 + b"\r\nB: " + b"b" * 100_000 + b"\r\nC: c\r\n\r\n")

        await end_of(reader)
        assert 100_000 not in values


async def test_a_body_with_more_around_it_than_a_head_may_have_is_served():
    async with connected(when_read) as (reader, writer):
        writer.write(CHUNKED + b"1;a=b\r\nx\r\n" * 50_000 + b"0\r\nX-Trailer: " + b"a" * 40_000 + b"\r\n\r\n")

        async with asyncio.timeout(BOUND_S):
            assert b"50000 bytes" in await reader.readuntil(b"bytes")


@pytest.mark.parametrize(
    ("request_", "drop"),
    [(SIZED, b"x"), (CHUNKED, b"1\r\nx\r\n"), (CHUNKED + b"0\r\n", b"T: x\r\n"), (b"GET / HTTP/1.1\r\n\r\n", b"\r\n")],
    ids=["body", "chunks", "trailers", "empty lines"],
)
async def test_trickling_a_request_after_its_answer_ends_the_connection(request_, drop, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.5)
    async with connected(at_once) as (reader, writer):
        writer.write(request_)
        await reader.readuntil(b"\r\n\r\nOK")
        ended = asyncio.create_task(end_of(reader))
        while not ended.done():
            writer.write(drop)
            await asyncio.wait([ended], timeout=0.05)

        assert ended.result() == b""


async def test_ending_a_request_late_after_its_answer_ends_the_connection(monkeypatch):
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.5)
    async with connected(at_once) as (reader, writer):
        writer.write(SIZED.replace(b"1000000", b"5"))
        await reader.readuntil(b"\r\n\r\nOK")
        writer.write(b"hello")

        assert await end_of(reader) == b""


async def test_after_ending_an_answered_request_the_next_one_is_served():
    async with connected(at_once) as (reader, writer):
        for _ in range(2):
            writer.write(SIZED.replace(b"1000000", b"5"))
            await reader.readuntil(b"\r\n\r\nOK")
            writer.write(b"hello")


async def test_half_of_the_next_head_does_not_cost_the_request_in_work_its_answer(monkeypatch):
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.1)
    passed, too_slow = asyncio.Semaphore(0), connection.Connection._too_slow

    def counted(self):
        too_slow(self)
        passed.release()

    async def after_two(scope, receive, send):
        await passed.acquire()
        await passed.acquire()
        await at_once(scope, receive, send)

    monkeypatch.setattr(connection.Connection, "_too_slow", counted)
    async with connected(after_two) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHo")

        answer = await end_of(reader)
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"OK")


async def test_an_idle_connection_is_kept_as_long_as_the_setting_says(monkeypatch):
    """Longer than a head may take; a proxy that reuses a connection just as it is closed loses the request."""
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.2)
    async with connected(at_once, timeout_keep_alive=1) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\nOK")
            await asyncio.sleep(0.6)
            assert not reader.at_eof()

        assert await end_of(reader) == b""


async def test_a_broken_body_behind_the_start_of_an_answer_ends_as_if_the_client_had_gone():
    kinds = asyncio.Queue()

    async def answers_then_reads(scope, receive, send):
        await send(OK)
        while (message := await receive())["type"] == "http.request":
            pass
        kinds.put_nowait(message["type"])
        await send({"type": "http.response.body", "body": b"OK"})

    async with connected(answers_then_reads) as (reader, writer):
        writer.write(CHUNKED + b"5\r\nhello\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"zz\r\n")

        async with asyncio.timeout(BOUND_S):
            assert await kinds.get() == "http.disconnect"
        assert await end_of(reader) == b"OK"
