"""Clients that verify every reply: each request has its own camera, on which the correct result depends.

For the tiny network of the tests, which places people on rays at fixed depths. Their sideways position is depth times the
pixel offset over the focal length, so a reply meant for another client is detected.
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

TIMEOUT_S = 60.0  # for any reply
PAUSE_S = 0.05  # after a refusal or a failed connection
NEAR, FAR = (2.0, 24.0), (3.0, -24.0)  # depth in metres, pixels to the right of the centre


@dataclass(frozen=True)
class Ports:
    """The service's current ports."""

    port: int
    grpc_port: int


class CheckedClients:
    """Half of them use REST, half gRPC, each sending one request after the other until `stop`.

    `outcomes` counts the replies. "WRONG" is an incorrect reply, "NO ANSWER" a missing one, and "cut off" a closed connection,
    after which a client knows that it must retry.
    """

    def __init__(self, ports: Callable[[], Ports], photo: bytes, empty: bytes, count: int = 8) -> None:
        self.outcomes: Counter[str] = Counter()
        self._ports, self._photo, self._empty = ports, photo, empty
        self._stopped = asyncio.Event()
        kinds = [self._rest, self._grpc]
        self._tasks = [asyncio.create_task(self._run(kinds[k % 2], random.Random(k))) for k in range(count)]

    async def stop(self) -> Counter[str]:
        self._stopped.set()
        await asyncio.gather(*self._tasks)
        return self.outcomes

    async def wait_for_correct(self, count: int) -> None:
        """Wait for `count` more correct replies."""
        goal = self.outcomes["correct"] + count
        async with asyncio.timeout(2 * TIMEOUT_S):
            while self.outcomes["correct"] < goal:
                await asyncio.sleep(0.02)

    @property
    def faults(self) -> dict[str, int]:
        return {what: count for what, count in self.outcomes.items() if what.startswith(("WRONG", "NO ANSWER"))}

    async def _run(self, ask: Callable, rng: random.Random) -> None:
        while not self._stopped.is_set():
            focal, people = rng.uniform(50, 150), rng.choice([0, 2])
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    outcome = await ask(self._photo if people else self._empty, focal, people)
            except TimeoutError:
                outcome = "NO ANSWER"
            self.outcomes[outcome] += 1
            if outcome != "correct":
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), PAUSE_S)

    async def _rest(self, picture: bytes, focal: float, people: int) -> str:
        address = f"http://127.0.0.1:{self._ports().port}"
        query = {"fx": focal, "fy": focal, "cx": 48, "cy": 32}
        try:
            async with httpx.AsyncClient(base_url=address, timeout=None, trust_env=False) as client:
                headers = {"Content-Type": "image/jpeg"}
                reply = await client.post("/v1/reconstruct", content=picture, params=query, headers=headers)
        except httpx.TransportError:
            return "cut off"
        if reply.status_code != 200:
            return f"refused: {reply.json()['type'].rpartition(':')[2]}" if reply.status_code == 503 else _wrong(reply)
        return _verdict([person["translation"] for person in reply.json()["people"]], focal, people)

    async def _grpc(self, picture: bytes, focal: float, people: int) -> str:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self._ports().grpc_port}") as channel:
            camera = pb.Camera(fx=focal, fy=focal, cx=48, cy=32)
            request = pb.ReconstructRequest(image=picture, options=pb.Options(camera=camera))
            try:
                reply = await ReconstructionServiceStub(channel).Reconstruct(request)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    return f"WRONG {error.code().name} {error.details()}"
                ours = any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata() or ())
                return "refused: unavailable" if ours else "cut off"
        return _verdict([list(person.translation) for person in reply.reconstruction.people], focal, people)


def _verdict(found: list[list[float]], focal: float, people: int) -> str:
    expected = [(depth * offset / focal, depth) for depth, offset in (NEAR, FAR)][:people]
    right = len(found) == people and all(
        abs(got[0] - x) < 1e-3 and abs(got[2] - z) < 1e-3 for got, (x, z) in zip(found, expected, strict=True)
    )
    return "correct" if right else f"WRONG answer {found} for {people} people at focal {focal}"


def _wrong(reply: httpx.Response) -> str:
    return f"WRONG {reply.status_code} {reply.text[:200]}"


def table(outcomes: Counter[str]) -> str:
    return "\n".join(f"  {what:<60} {count:>9}" for what, count in sorted(outcomes.items()))
