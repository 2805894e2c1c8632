"""The whole of it: the service's process, a real Triton server behind it, and many clients."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager

import httpx
import numpy as np
import pytest
from PIL import Image

from depthhmr_cli.local_triton import LocalTriton, free_ports
from depthhmr_cli.main import main
from depthhmr_cli.running import running_service
from service.options import Options
from service.serve import open_core
from service.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.triton, pytest.mark.slow]

CLIENTS = 200
JPEG = {"Content-Type": "image/jpeg"}


@contextmanager
def service(server: LocalTriton, folder, *flags: str):
    arguments = ["--engine", "triton", "--triton-url", server.url, "--model-dir", str(folder), *flags]
    with running_service(*arguments) as started:
        yield started


@asynccontextmanager
async def clients(address: str):
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60, trust_env=False) as opened:
        yield opened


def scene(number: int, encoded) -> bytes:
    """A picture of its own: which quadrants are bright, and how bright, differs with the number."""
    rng = np.random.default_rng(number)
    pixels = np.full((64, 96, 3), 10, np.uint8)
    for row, column in ((0, 0), (0, 48), (32, 0)):
        pixels[row : row + 32, column : column + 48] = rng.integers(150, 256)
    return encoded(Image.fromarray(pixels), quality=95)


def camera(number: int) -> dict[str, float]:
    return {"fx": 50.0 + number, "fy": 60.0 + number, "cx": 48.0, "cy": 32.0}


async def test_two_hundred_clients_get_each_their_own_answer(own_triton, tiny_folder, encoded):
    photos = [scene(number, encoded) for number in range(CLIENTS)]
    embedded = open_core(Settings(model_dir=tiny_folder, max_concurrency=CLIENTS))
    await embedded.warm_up()
    expected = [await expected_of(embedded, photo, camera(number)) for number, photo in enumerate(photos)]
    await embedded.aclose()
    assert len({str(people) for people in expected}) > CLIENTS / 2, "the pictures hardly differ"

    # One address is one client, which gets half of the places.
    with service(own_triton(), tiny_folder, "--max-concurrency", str(2 * CLIENTS)) as started:
        async with clients(started.address) as client:
            replies = await asyncio.gather(
                *(
                    client.post("/v1/reconstruct", content=photo, headers=JPEG, params=camera(number))
                    for number, photo in enumerate(photos)
                )
            )

    assert [reply.status_code for reply in replies] == [200] * CLIENTS
    for reply, people in zip(replies, expected, strict=True):
        found = [(person["score"], *person["translation"]) for person in reply.json()["people"]]
        assert np.allclose(found, people, atol=1e-4)


async def expected_of(core, photo: bytes, intrinsics: dict[str, float]):
    from bodykit.camera import Intrinsics

    options = Options(intrinsics=Intrinsics(**intrinsics))
    return await core.recover(
        photo, options, lambda found: [(person.score, *person.translation.tolist()) for person in found.people]
    )


async def test_a_server_killed_under_two_hundred_clients(own_triton, tiny_folder, encoded):
    photos = [scene(number, encoded) for number in range(20)]
    server = own_triton()
    with service(server, tiny_folder, "--max-concurrency", str(CLIENTS)) as started:
        async with clients(started.address) as client:
            flying = [
                asyncio.create_task(client.post("/v1/reconstruct", content=photos[k % 20], headers=JPEG))
                for k in range(CLIENTS)
            ]
            await asyncio.sleep(0.1)
            server.kill()

            statuses = {reply.status_code for reply in await asyncio.gather(*flying)}

            assert statuses <= {200, 503}
            assert (await client.get("/v1/health/live")).status_code == 200
            assert (await client.get("/v1/health/ready")).status_code == 503
            await asyncio.to_thread(server.start)
            begin = time.monotonic()
            while (await client.post("/v1/reconstruct", content=photos[0], headers=JPEG)).status_code != 200:
                assert time.monotonic() - begin < 2
                await asyncio.sleep(0.05)


async def test_a_service_that_starts_before_its_server_waits_for_it(tiny_folder, people_jpeg):
    with LocalTriton(tiny_folder) as server:
        (port,) = free_ports(0)
        command = [sys.executable, "-m", "depthhmr_cli", "serve", "--port", str(port), "--grpc-port", "0"]
        command += ["--engine", "triton", "--triton-url", server.url, "--model-dir", str(tiny_folder)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            async with clients(f"http://127.0.0.1:{port}") as client:
                assert await status(client, "/v1/health/live", wanted=200) == 200
                async with asyncio.timeout(30):
                    while "does not answer yet" not in (line := await asyncio.to_thread(process.stderr.readline)):
                        assert line, "the service has ended"
                assert (await client.get("/v1/health/startup")).status_code == 503
                refused = await client.post("/v1/reconstruct", content=people_jpeg, headers=JPEG)
                assert refused.status_code == 503 and refused.headers["retry-after"]

                await asyncio.to_thread(server.start)

                assert await status(client, "/v1/health/ready", wanted=200) == 200
                answered = await client.post("/v1/reconstruct", content=people_jpeg, headers=JPEG)
                assert answered.status_code == 200
        finally:
            os.kill(process.pid, signal.SIGTERM)
            _, error = process.communicate(timeout=30)
        assert "Traceback" not in error


async def status(client: httpx.AsyncClient, path: str, *, wanted: int) -> int:
    end, found = time.monotonic() + 15, 0
    while found != wanted and time.monotonic() < end:
        await asyncio.sleep(0.1)
        try:
            found = (await client.get(path)).status_code
        except httpx.TransportError:
            continue
    return found


def test_check_says_that_the_server_answers_or_not(own_triton, tiny_folder, capsys):
    server = own_triton()
    arguments = [
        "check",
        "--engine",
        "triton",
        "--triton-url",
        server.url,
        "--model-dir",
        str(tiny_folder),
        "--port",
        "0",
        "--grpc-port",
        "0",
    ]

    assert main(arguments) == 0
    assert "engine    triton: answers in" in capsys.readouterr().out
    server.kill()
    assert main(arguments) == 1
    assert "FAIL  engine    triton: the engine cannot be reached" in capsys.readouterr().out
