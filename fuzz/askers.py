"""Clients that know what they must be told: each asks with a camera of its own, on which the right answer depends.

For the tiny network of the tests, which puts people on rays at fixed depths: how far to the side is depth times the offset
in pixels over the focal length, so that an answer for somebody else shows.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import grpc
import httpx

from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub

TIMEOUT_S = 60.0  # for any answer: who waits longer was forgotten
PAUSE_S = 0.05  # after a refusal, or a connection that could not be had
NEAR, FAR = (2.0, 24.0), (3.0, -24.0)  # depth in metres, pixels to the right of the middle


@dataclass(frozen=True)
class Place:
    """Where the service is now; it may come back somewhere else."""

    port: int
    grpc_port: int


class Askers:
    """Half of them ask over REST, half over gRPC, one request after the other, until `stop`.

    `happened` counts what they were told. "WRONG" is an answer that is none, "FORGOTTEN" one that never came, and "cut off"
    a connection that ended: its client knows that it must ask again.
    """

    def __init__(self, place: Callable[[], Place], photo: bytes, nobody: bytes, count: int = 8) -> None:
        self.happened: Counter[str] = Counter()
        self._place, self._photo, self._nobody = place, photo, nobody
        self._stopped = asyncio.Event()
        kinds = [self._rest, self._grpc]
        self._tasks = [asyncio.create_task(self._go_on(kinds[k % 2], random.Random(k))) for k in range(count)]

    async def stop(self) -> Counter[str]:
        self._stopped.set()
        await asyncio.gather(*self._tasks)
        return self.happened

    async def until_right(self, count: int) -> None:
        """Until so many more answers were right."""
        goal = self.happened["right"] + count
        async with asyncio.timeout(2 * TIMEOUT_S):
            while self.happened["right"] < goal:
                await asyncio.sleep(0.02)

    @property
    def faults(self) -> dict[str, int]:
        return {what: count for what, count in self.happened.items() if what.startswith(("WRONG", "FORGOTTEN"))}

    async def _go_on(self, ask: Callable, chance: random.Random) -> None:
        while not self._stopped.is_set():
            focal, people = chance.uniform(50, 150), chance.choice([0, 2])
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    told = await ask(self._photo if people else self._nobody, focal, people)
            except TimeoutError:
                told = "FORGOTTEN"
            self.happened[told] += 1
            if told != "right":
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), PAUSE_S)

    async def _rest(self, picture: bytes, focal: float, people: int) -> str:
        address = f"http://127.0.0.1:{self._place().port}"
        query = {"fx": focal, "fy": focal, "cx": 48, "cy": 32}
        try:
            async with httpx.AsyncClient(base_url=address, timeout=None, trust_env=False) as client:
                headers = {"Content-Type": "image/jpeg"}
                reply = await client.post("/v1/reconstruct", content=picture, params=query, headers=headers)
        except httpx.TransportError:
            return "cut off"
        if reply.status_code != 200:
            return f"refused: {reply.json()['type'].rpartition(':')[2]}" if reply.status_code == 503 else _wrong(reply)
        return _judged([person["translation"] for person in reply.json()["people"]], focal, people)

    async def _grpc(self, picture: bytes, focal: float, people: int) -> str:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self._place().grpc_port}") as channel:
            camera = pb.Camera(fx=focal, fy=focal, cx=48, cy=32)
            request = pb.ReconstructRequest(image=picture, options=pb.Options(camera=camera))
            try:
                reply = await ReconstructionServiceStub(channel).Reconstruct(request)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    return f"WRONG {error.code().name} {error.details()}"
                ours = any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata() or ())
                return "refused: unavailable" if ours else "cut off"
        return _judged([list(person.translation) for person in reply.reconstruction.people], focal, people)


def _judged(found: list[list[float]], focal: float, people: int) -> str:
    expected = [(depth * offset / focal, depth) for depth, offset in (NEAR, FAR)][:people]
    right = len(found) == people and all(
        abs(got[0] - x) < 1e-3 and abs(got[2] - z) < 1e-3 for got, (x, z) in zip(found, expected, strict=True)
    )
    return "right" if right else f"WRONG answer {found} for {people} people at focal {focal}"


def _wrong(reply: httpx.Response) -> str:
    return f"WRONG {reply.status_code} {reply.text[:200]}"


def table(happened: Counter[str]) -> str:
    return "\n".join(f"  {what:<60} {count:>9}" for what, count in sorted(happened.items()))
