"""The frames of a stream, from any iterable, plain or asynchronous."""

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
    """An image with its id, capture time and camera."""

    image: Image
    frame_id: int | None = None  # strictly increasing; default: the previous one plus 1, from 0
    capture_time_s: float | None = None  # relative to any fixed moment; default: the time of arrival
    camera: Camera | None = None  # overrides the stream's camera


FrameSource = Iterable[Image | Frame] | AsyncIterable[Image | Frame]


@dataclass(frozen=True, eq=False)
class NumberedFrame:
    """A frame ready to send."""

    frame_id: int
    content: bytes
    capture_time_s: float | None
    camera: Camera | None


async def numbered_frames(source: FrameSource) -> AsyncGenerator[NumberedFrame, None]:
    """The frames of `source`, each pulled only when it is needed. Raises InvalidUse for anything that is not a frame.

    A plain iterable runs in a thread of its own, because it may decode a video or block on a camera.
    """
    reader = None if isinstance(source, AsyncIterable) else IterableReader(source)
    frames = source if isinstance(source, AsyncIterable) else reader
    assert frames is not None
    next_id = 0
    try:
        async for item in frames:
            frame = item if isinstance(item, Frame) else Frame(item)
            frame_id = next_id if frame.frame_id is None else frame.frame_id
            if not next_id <= frame_id < 2**64:
                raise InvalidUse(f"expected a frame_id of {next_id} or more, got {frame_id}: they must increase")
            next_id = frame_id + 1
            content = (
                frame.image if isinstance(frame.image, bytes) else await asyncio.to_thread(image_bytes, frame.image)
            )
            yield NumberedFrame(frame_id, content, frame.capture_time_s, frame.camera)
    finally:
        if reader is not None:
            reader.stop()


class IterableReader(AsyncIterator["Image | Frame"]):
    """A plain iterable as an asynchronous iterator. Its thread pulls the next item only when one is awaited.

    The thread is a daemon: an iterable that blocks (a camera that sends nothing) cannot be interrupted, and must not keep
    the program alive.
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
            except BaseException as caught:  # raised again for the reader of the stream
                error = caught
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(_answer, future, item, error)


def _answer(
    future: "asyncio.Future[tuple[Image | Frame | None, BaseException | None]]",
    item: "Image | Frame | None",
    error: BaseException | None,
) -> None:
    if not future.done():
        future.set_result((item, error))
