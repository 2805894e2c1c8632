"""What a request costs, in counts that no other load on the machine can change."""

import asyncio
import concurrent.futures
import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from service.rest.app import create_app

pytestmark = pytest.mark.anyio
PIECE = 64 * 1024  # as the server reads


@pytest.fixture
def app(core):
    return create_app(core, max_body_bytes=16 * 2**20)


async def ask(app, body: bytes) -> list[dict]:
    """One request through the whole application, as the server makes it; the messages of its answer."""
    pieces = [memoryview(body)[begin : begin + PIECE] for begin in range(0, len(body), PIECE)][::-1]
    sent: list[dict] = []

    async def receive():
        if pieces:
            return {"type": "http.request", "body": bytes(pieces.pop()), "more_body": bool(pieces)}
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/reconstruct",
        "raw_path": b"/v1/reconstruct",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"image/jpeg"), (b"content-length", str(len(body)).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 200, sent
    return sent


async def test_a_request_changes_threads_three_times(app, people_jpeg, monkeypatch):
    """Once each for decoding, the network, and people with their JSON. Each further change costs 0.1 ms."""
    await ask(app, people_jpeg)
    submitted = []
    submit = concurrent.futures.ThreadPoolExecutor.submit

    def counted(pool, work, *arguments, **options):
        submitted.append(pool._thread_name_prefix)
        return submit(pool, work, *arguments, **options)

    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "submit", counted)

    await ask(app, people_jpeg)

    assert submitted == ["image", "infer", "image"]


async def test_a_request_makes_one_task(app, people_jpeg):
    """The one that listens for the client's leaving: the work itself runs in the server's task."""
    await ask(app, people_jpeg)
    made = []
    loop = asyncio.get_running_loop()

    def counted(loop, work, **options):
        made.append(work.__qualname__)
        return asyncio.Task(work, loop=loop, **options)

    loop.set_task_factory(counted)
    try:
        await ask(app, people_jpeg)
    finally:
        loop.set_task_factory(None)

    assert len(made) == 1, made


async def test_a_large_body_is_copied_once(app):
    """Received in pieces and joined: together twice its size for a moment. Pixels are not counted: Pillow keeps its own."""
    pixels = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
    Image.fromarray(pixels).save(packed := io.BytesIO(), "JPEG", quality=95, subsampling=0)
    body = packed.getvalue()
    assert len(body) > 2_000_000
    await ask(app, body)

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        await ask(app, body)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()

    assert peak < 2.3 * len(body)  # 0.3 for all that is not the body: the square, the answer, objects


async def test_an_answer_is_sent_in_one_piece(app, people_jpeg):
    """And so in one system call."""
    sent = await ask(app, people_jpeg)

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert not sent[1].get("more_body")
