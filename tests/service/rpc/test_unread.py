"""Answers that nobody reads: a client whose HTTP/2 window stays shut keeps neither its place nor the bytes of its pictures."""

import asyncio
import struct
from contextlib import asynccontextmanager

import pytest

from service.rpc.interceptors import observation
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.server import SERVICE

pytestmark = pytest.mark.anyio

DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8  # types of frames (RFC 9113, 6)
ACK, END_HEADERS, CALL = 1, 4, 1
INITIAL_WINDOW_SIZE = 4
MESHES = pb.Options(outputs=[pb.OUTPUT_VERTICES])


class ShutClient:
    """One call over a connection of its own, of whose answers `window` bytes are let through."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, window: int) -> None:
        self._writer, self.came, self.trailers = writer, b"", asyncio.Event()
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self._frame(SETTINGS, 0, 0, struct.pack("!HI", INITIAL_WINDOW_SIZE, window))
        head = {":method": "POST", ":scheme": "http", ":path": f"/{SERVICE}/{method}", ":authority": "x"}
        head |= {"content-type": "application/grpc", "te": "trailers"}
        self._frame(HEADERS, END_HEADERS, CALL, b"".join(b"\0" + text(name) + text(head[name]) for name in head))
        self._listening = asyncio.create_task(self._listen(reader))

    def send(self, message) -> None:
        """In one frame, which may have 16 KiB."""
        content = message.SerializeToString()
        self._frame(DATA, 0, CALL, b"\0" + struct.pack("!I", len(content)) + content)

    def let_through(self, count: int) -> None:
        for stream in (0, CALL):
            self._frame(WINDOW_UPDATE, 0, stream, struct.pack("!I", count))

    async def leave(self) -> None:
        self._writer.close()
        await asyncio.wait([self._listening], timeout=10)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        headers = 0
        while head := await reader.read(9):
            head += await reader.readexactly(9 - len(head))
            kind, flags = head[3], head[4]
            content = await reader.readexactly(int.from_bytes(head[:3]))
            if kind in (SETTINGS, PING) and not flags & ACK:
                self._frame(kind, ACK, 0, content if kind == PING else b"")
            elif kind == DATA:
                self.came += content
            elif kind == HEADERS:
                headers += 1
                if headers == 2:
                    self.came += content
                    self.trailers.set()

    def _frame(self, kind: int, flags: int, stream: int, content: bytes) -> None:
        self._writer.write(struct.pack("!I", len(content))[1:] + struct.pack("!BBI", kind, flags, stream) + content)


def text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


@asynccontextmanager
async def shut_client(server, method: str, *, window: int = 0):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    client = ShutClient(reader, writer, method, window)
    try:
        yield client
    finally:
        await client.leave()


async def until(condition, what: str) -> None:
    try:
        async with asyncio.timeout(15):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"expected that {what}")


async def test_a_unary_answer_that_nobody_reads_holds_nothing_of_its_picture(rpc_over, core, people_jpeg):
    async with rpc_over(core) as (_, server), shut_client(server, "Reconstruct") as client:
        client.send(pb.ReconstructRequest(image=people_jpeg + bytes(10_000), options=MESHES))
        await until(lambda: b"depthhmr_people_sum 2.0" in core.metrics.text(), "the picture is worked on")

        await until(lambda: core.held.held == 0, "its bytes are given back before the answer is read")


@pytest.mark.parametrize("method", ["Reconstruct", "ReconstructStream"])
async def test_who_reads_nothing_for_long_is_told_so_behind_the_answer(
    rpc_over, core, people_jpeg, monkeypatch, make_stream, method
):
    monkeypatch.setattr(observation, "READ_TIMEOUT_S", 0.3)
    monkeypatch.setattr(observation, "MIN_BYTES_PER_S", 10**9)
    async with rpc_over(core, limits={"max_streams": 1}) as (stub, server), shut_client(server, method) as client:
        if method == "Reconstruct":
            client.send(pb.ReconstructRequest(image=people_jpeg, options=MESHES))
        else:
            client.send(pb.ReconstructStreamRequest(config=pb.StreamConfig()))
            client.send(pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=1, image=people_jpeg)))
        counted = f'route="{SERVICE}/{method}",status="DEADLINE_EXCEEDED"}} 1.0'.encode()
        await until(lambda: counted in core.metrics.text(), f"the call ends, and metrics have {counted!r}")

        assert core.held.held == 0 and server._servicer._streams == 0
        stream = make_stream(stub)
        await stream.config()
        assert await stream.ready()
        assert client.came == b""
        client.let_through(2**24)
        await asyncio.wait_for(client.trailers.wait(), 10)
        assert b"was not read within 0.3 s" in client.came


async def test_a_stream_that_is_cut_off_while_it_answers_gives_its_bytes_back_once(stalling, people_jpeg):
    stream, engine = stalling
    held: list[int] = []
    stream.core.held._on_change = held.append
    servicer = stream.servicer
    ready = pb.StreamReady(info=servicer._info, limits=servicer._limits.to_message(), max_in_flight=8)
    window = 5 + len(pb.ReconstructStreamResponse(ready=ready).SerializeToString())
    async with shut_client(stream.server, "ReconstructStream", window=window) as client:

        def send_frame(frame_id: int) -> None:
            client.send(pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=frame_id, image=people_jpeg)))

        client.send(pb.ReconstructStreamRequest(config=pb.StreamConfig(max_in_flight=8)))
        engine.go.set()
        send_frame(1)
        await until(lambda: stream.core.metrics.text().count(b'depthhmr_frames_total{outcome="ok"} 1.0'), "one is done")
        engine.go.clear()
        send_frame(2)
        send_frame(3)
        await until(lambda: engine.running == 2, "two are in work while the answer to the first is written")
        assert len(client.came) == window and held[-1] == 2 * len(people_jpeg)

    await until(lambda: engine.running == 0, "the work of a client that has gone is stopped")
    assert (min(held), held[-1]) == (0, 0)
