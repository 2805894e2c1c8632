"""The load generator, a process of its own: `python -m benchmarks.load PHOTO PEOPLE`.

Each line of standard input is one turn, as JSON (see `Turn`). The answers: a line `begin` when all clients are at work, then
one line of JSON. Only requests that end within the turn's seconds count, so that its first and last moments are as busy as
the rest. Every answer must have PEOPLE people in it.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

LEAD_S = 0.3  # at work before the turn begins
PERSON = b'"global_orient"'  # once for each person in a JSON answer
BATCH = 8  # images in one batch request
IN_FLIGHT = 8  # frames of one stream
BOUNDARY = "benchmark"


@dataclass(frozen=True)
class Turn:
    """`rate` 0 is a closed loop: each of the clients sends again when it is answered. Above 0 it is the requests per second
    of an open loop, sent when it is time, whatever has been answered; latency runs from that time on.
    """

    protocol: str  # a key of `CALLERS`
    port: int
    path: str
    clients: int
    seconds: float
    rate: float = 0.0


def form_of(photo: bytes, images: int = 1) -> tuple[bytes, str]:
    """Body and Content-Type of a form with so many parts `image`."""
    head = 'Content-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg'
    part = f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + photo + b"\r\n"
    return part * images + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"


@dataclass
class Tally:
    """What was answered: when (perf_counter), how long it took, how many images."""

    answers: list[tuple[float, float, int]] = field(default_factory=list)

    def add(self, begin: float, images: int = 1) -> None:
        now = time.perf_counter()
        self.answers.append((now, now - begin, images))


class RestCaller:
    """One connection that is kept."""

    def __init__(self, turn: Turn, photo: bytes, people: int) -> None:
        self._turn, self._people = turn, people * self.images
        content, content_type = self.body(photo)
        head = f"POST {turn.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        self._request = f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content

    images = 1

    def body(self, photo: bytes) -> tuple[bytes, str]:
        return photo, "image/jpeg"

    async def __aenter__(self) -> "RestCaller":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._turn.port, limit=2**20)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def ask(self) -> None:
        self._writer.write(self._request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if b"transfer-encoding: chunked" in head:
            body = await self._chunks()
        else:
            body = await self._reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        if head[9:12] != b"200" or body.count(PERSON) != self._people:
            raise SystemExit(f"{self._turn} was answered {head[:40]!r} {body[:300]!r}")

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return body


class FormCaller(RestCaller):
    """The image as the part `image` of a form."""

    def body(self, photo: bytes) -> tuple[bytes, str]:
        return form_of(photo, self.images)


class BatchCaller(FormCaller):
    images = BATCH


class GrpcCaller:
    """One channel, one call at a time."""

    images = 1

    def __init__(self, turn: Turn, photo: bytes, people: int) -> None:
        import grpc

        from service.rpc.pb import reconstruction_pb2 as pb

        self._people, self._read = people, pb.ReconstructResponse.FromString
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{turn.port}", [("grpc.use_local_subchannel_pool", 1)])
        self._call = self._channel.unary_unary("/depthhmr.v1.ReconstructionService/Reconstruct")
        self._message = pb.ReconstructRequest(image=photo).SerializeToString()

    async def __aenter__(self) -> "GrpcCaller":
        await self._channel.channel_ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def ask(self) -> None:
        reply = self._read(await self._call(self._message))
        assert len(reply.reconstruction.people) == self._people, reply


CALLERS: dict[str, type[RestCaller] | type[GrpcCaller]] = {
    "REST": RestCaller,
    "form": FormCaller,
    "batch": BatchCaller,
    "gRPC": GrpcCaller,
}


async def client(turn: Turn, photo: bytes, people: int, tally: Tally) -> None:
    """One of a closed loop. Until cancelled."""
    async with CALLERS[turn.protocol](turn, photo, people) as caller:
        while True:
            begin = time.perf_counter()
            await caller.ask()
            tally.add(begin, caller.images)


async def streaming_client(turn: Turn, photo: bytes, people: int, tally: Tally) -> None:
    """A stream whose frames are written as fast as they are taken. Until cancelled."""
    import grpc

    from service.rpc.pb import reconstruction_pb2 as pb

    config = pb.ReconstructStreamRequest(config=pb.StreamConfig(max_in_flight=IN_FLIGHT)).SerializeToString()
    written: deque[float] = deque()
    room = asyncio.Semaphore(IN_FLIGHT)

    async def frames() -> AsyncIterator[bytes]:
        yield config
        frame_id = 0
        while True:
            await room.acquire()
            message = pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=frame_id, image=photo)).SerializeToString()
            written.append(time.perf_counter())
            yield message
            frame_id += 1

    async with grpc.aio.insecure_channel(f"127.0.0.1:{turn.port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.stream_stream("/depthhmr.v1.ReconstructionService/ReconstructStream")(frames())
        try:
            async for message in call:
                answer = pb.ReconstructStreamResponse.FromString(message)
                if answer.WhichOneof("message") == "result":
                    assert len(answer.result.reconstruction.people) == people
                    tally.add(written.popleft())
                    room.release()
        finally:
            call.cancel()


async def open_loop(turn: Turn, photo: bytes, people: int, tally: Tally) -> None:
    """Requests at their times, over as many connections as that takes. Until cancelled."""
    idle: deque[Any] = deque()
    async with asyncio.TaskGroup() as group, contextlib.AsyncExitStack() as stack:

        async def one(due: float) -> None:
            if idle:
                caller = idle.popleft()
            else:
                caller = await stack.enter_async_context(CALLERS[turn.protocol](turn, photo, people))
            await caller.ask()
            idle.append(caller)
            tally.add(due)

        begin, sent = time.perf_counter(), 0
        while True:
            due = begin + sent / turn.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due))
            sent += 1


async def measure(turn: Turn, photo: bytes, people: int) -> dict[str, Any]:
    tally = Tally()
    work: Callable[..., Coroutine[Any, Any, None]] = streaming_client if turn.protocol == "stream" else client
    if turn.rate:
        tasks = [asyncio.create_task(open_loop(turn, photo, people, tally))]
    else:
        tasks = [asyncio.create_task(work(turn, photo, people, tally)) for _ in range(turn.clients)]
    await _unless_failed(tasks, LEAD_S)
    print("begin", flush=True)
    begin, used_s = time.perf_counter(), time.process_time()
    await _unless_failed(tasks, turn.seconds)
    used_s = time.process_time() - used_s
    found = [(took, images) for end, took, images in tally.answers if begin <= end < begin + turn.seconds]
    for task in tasks:
        task.cancel()
    answer = {
        "latencies_s": [took for took, _ in found],
        "images": sum(images for _, images in found),
        "seconds": turn.seconds,
        "cpu_s": used_s,
    }
    print(json.dumps(answer), flush=True)
    await asyncio.gather(*tasks, return_exceptions=True)
    return answer


async def _unless_failed(tasks: list["asyncio.Task[None]"], seconds: float) -> None:
    """Wait so long; raise what ends a client before."""
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def main(photo: str, people: str) -> None:
    content = Path(photo).read_bytes()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin:
            runner.run(measure(Turn(**json.loads(line)), content, int(people)))


if __name__ == "__main__":
    main(*sys.argv[1:])
