"""Where the pictures of a stream come from: any iterable, plain or asynchronous."""

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from service.client.errors import InvalidUse
from service.client.images import Image, image_bytes
from service.client.results import Camera


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture with what a bare image cannot say."""

    image: Image
    frame_id: int | None = None  # strictly greater than the one before; default: one more than that, the first 0
    capture_time_s: float | None = None  # since any moment that the caller keeps to; default: when it arrives
    camera: Camera | None = None  # where it differs from the stream's


FrameSource = Iterable[Image | Frame] | AsyncIterable[Image | Frame]


@dataclass(frozen=True, eq=False)
class Numbered:
    """A frame ready to be sent."""

    frame_id: int
    content: bytes
    capture_time_s: float | None
    camera: Camera | None


async def numbered(source: FrameSource) -> AsyncGenerator[Numbered, None]:
    """The frames of `source`, each read only when it is asked for. Raises InvalidUse for what is no frame.

    A plain iterable runs in a thread of its own: it may decode a video or wait for a camera.
    """
    pull = None if isinstance(source, AsyncIterable) else Pull(source)
    frames = source if isinstance(source, AsyncIterable) else pull
    assert frames is not None
    following = 0
    try:
        async for item in frames:
            frame = item if isinstance(item, Frame) else Frame(item)
            frame_id = following if frame.frame_id is None else frame.frame_id
            if not following <= frame_id < 2**64:
                raise InvalidUse(f"expected a frame_id of {following} or more, got {frame_id}: they must increase")
            following = frame_id + 1
            content = (
                frame.image if isinstance(frame.image, bytes) else await asyncio.to_thread(image_bytes, frame.image)
            )
            yield Numbered(frame_id, content, frame.capture_time_s, frame.camera)
    finally:
        if pull is not None:
            pull.stop()


class Pull(AsyncIterator["Image | Frame"]):
    """A plain iterable as an asynchronous one. Its thread asks for the next item only when somebody waits for it.

    The thread is a daemon: an iterable that waits for ever (a camera that sends nothing) cannot be interrupted, and must
    not keep the program from ending.
    """

    def __init__(self, source: Iterable["Image | Frame"]) -> None:
        self._loop = asyncio.get_running_loop()
        self._wanted: queue.SimpleQueue[asyncio.Future[tuple[Image | Frame | None, BaseException | None]] | None]
        self._wanted = queue.SimpleQueue()
        iterator = iter(source)
        threading.Thread(target=self._work, args=(iterator,), name="depthhmr frames", daemon=True).start()

    async def __anext__(self) -> "Image | Frame":
        future: asyncio.Future[tuple[Image | Frame | None, BaseException | None]] = self._loop.create_future()
        self._wanted.put(future)
        item, error = await future
        if isinstance(error, StopIteration):
            raise StopAsyncIteration
        if error is not None:
            raise error
        assert item is not None
        return item

    def stop(self) -> None:
        self._wanted.put(None)

    def _work(self, iterator: Iterator["Image | Frame"]) -> None:
        while (future := self._wanted.get()) is not None:
            item: Image | Frame | None = None
            error: BaseException | None = None
            try:
                item = next(iterator)
            except BaseException as caught:  # it belongs to whoever reads the stream
                error = caught
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_answer, future, item, error)


def _answer(
    future: "asyncio.Future[tuple[Image | Frame | None, BaseException | None]]",
    item: "Image | Frame | None",
    error: BaseException | None,
) -> None:
    if not future.done():
        future.set_result((item, error))
