"""One process of clients for `depthhmr bench --overload`: sends requests, times and sorts the responses, and prints them as JSON.

    python -m depthhmr_cli.bench_load PORT PHOTO PEOPLE '{"protocol": "REST", ...}'

Bodies are encoded once. An open loop sends on schedule, whatever has been answered; a closed one keeps a fixed number of requests
in flight.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict, deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

GRACE_S = 10.0  # after its deadline a request that has no answer counts as unanswered
ANSWERED, REFUSED, EXPIRED, WRONG, UNANSWERED = "answered", "refused", "expired", "wrong", "unanswered"
LATE, ENDED = "late", "ended"  # of the clients' schedule, beside the outcomes
PERSON = b'"global_orient"'  # once for each person in a JSON answer


@dataclass(frozen=True)
class Load:
    """What one process sends."""

    protocol: str  # REST or gRPC
    keys: tuple[str, ...]  # of the callers that it stands for
    begin: float  # time.time() of the first request, the same for all processes
    seconds: float
    deadline_s: float  # of each request
    rate: float = 0.0  # requests per second of an open loop
    at_once: int = 0  # requests under way of a closed loop

    def text(self) -> str:
        return json.dumps(asdict(self))


class RestCaller:
    """Requests over keep-alive connections, as many as needed."""

    def __init__(self, port: int, photo: bytes, people: int, load: Load) -> None:
        self._port, self._people = port, people
        path = f"/v1/reconstruct?timeout_s={load.deadline_s:g}"
        self._requests = {
            key: (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n"
                f"Content-Type: image/jpeg\r\nContent-Length: {len(photo)}\r\n\r\n"
            ).encode()
            + photo
            for key in load.keys
        }
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()

    async def ask(self, key: str) -> str:
        connection = self._idle.popleft() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = connection
        try:
            writer.write(self._requests[key])
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append(connection)
        status = int(head[9:12])
        if status == 200:
            return ANSWERED if body.count(PERSON) == self._people else WRONG
        if status == 503 and b":overloaded" in body and b"retry-after: " in head:
            return REFUSED
        return EXPIRED if status == 504 else WRONG

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


class GrpcCaller:
    """Calls over one channel; their message is bytes already."""

    def __init__(self, port: int, photo: bytes, people: int, load: Load) -> None:
        import grpc

        from service.rpc.pb import reconstruction_pb2 as pb

        self._people, self._deadline_s, self._read = people, load.deadline_s, pb.ReconstructResponse.FromString
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
        self._call = self._channel.unary_unary("/depthhmr.v1.ReconstructionService/Reconstruct")
        self._message = pb.ReconstructRequest(image=photo).SerializeToString()
        self._codes = {grpc.StatusCode.RESOURCE_EXHAUSTED: REFUSED, grpc.StatusCode.DEADLINE_EXCEEDED: EXPIRED}
        self._error = grpc.aio.AioRpcError

    async def ask(self, key: str) -> str:
        try:
            reply = await self._call(self._message, timeout=self._deadline_s, metadata=(("x-api-key", key),))
        except self._error as error:
            return self._codes.get(error.code(), WRONG)
        return ANSWERED if len(self._read(reply).reconstruction.people) == self._people else WRONG

    async def close(self) -> None:
        await self._channel.close()


CALLERS: dict[str, type[RestCaller] | type[GrpcCaller]] = {"REST": RestCaller, "gRPC": GrpcCaller}


async def run(load: Load, port: int, photo: bytes, people: int) -> dict[str, list[float]]:
    """Seconds from sending to the response, by outcome; under "late" the delay of each request against the schedule, and under
    "ended" the seconds since the begin of each response in time.
    """
    caller = CALLERS[load.protocol](port, photo, people, load)
    found: dict[str, list[float]] = defaultdict(list)

    async def one(key: str) -> str:
        start = time.perf_counter()
        try:
            kind = await asyncio.wait_for(caller.ask(key), load.deadline_s + GRACE_S)
        except TimeoutError:
            kind = UNANSWERED
        except (OSError, asyncio.IncompleteReadError):
            kind = WRONG
        took = time.perf_counter() - start
        found[kind].append(took)
        if kind == ANSWERED and took <= load.deadline_s:
            found[ENDED].append(time.time() - load.begin)
        return kind

    async def closed(key: str) -> None:
        while time.time() < load.begin + load.seconds:
            if await one(key) == REFUSED:
                await asyncio.sleep(1)  # the least that a refusal asks for

    await asyncio.sleep(load.begin - time.time())
    tasks: list[asyncio.Task[Any]] = [
        asyncio.create_task(closed(load.keys[index % len(load.keys)])) for index in range(load.at_once)
    ]
    for index in range(int(load.rate * load.seconds)):
        due = load.begin + index / load.rate
        if (wait_s := due - time.time()) > 0:
            await asyncio.sleep(wait_s)
        found[LATE].append(max(0.0, time.time() - due))
        tasks.append(asyncio.create_task(one(load.keys[index % len(load.keys)])))
    await asyncio.gather(*tasks)
    await caller.close()
    return found


def main(port: str, photo: str, people: str, load: str) -> None:
    fields = json.loads(load)
    found = asyncio.run(
        run(Load(**fields | {"keys": tuple(fields["keys"])}), int(port), Path(photo).read_bytes(), int(people))
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
