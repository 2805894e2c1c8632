"""The synchronous client: the asynchronous one, run in a background thread."""

import os
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self, Unpack

from service.client.address import Tls
from service.client.asynchronous import ATTEMPTS, TIMEOUT_S, AsyncClient
from service.client.errors import ClientError
from service.client.frames import FrameSource
from service.client.images import Image
from service.client.loop_thread import shared_loop_thread
from service.client.options import CallOptions, StreamOptions
from service.client.results import Reconstruction, ServiceInfo, StreamEvent


class Client:
    """A client of one service. Thread-safe.

    with Client("http://127.0.0.1:8000") as client:
        for person in client.reconstruct(Path("photo.jpg")).people:
            print(person.translation, person.height_m)

    Everything is as in AsyncClient, without `await`.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        api_key: str | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._client = AsyncClient(address, timeout_s=timeout_s, attempts=attempts, api_key=api_key, tls=tls)
        self._thread = shared_loop_thread()

    def reconstruct(self, image: Image, **options: Unpack[CallOptions]) -> Reconstruction:
        """The people in one image. Retried while the service is unavailable and time remains."""
        return self._thread.run(lambda: self._client.reconstruct(image, **options))

    def reconstruct_batch(
        self, images: Iterable[Image], **options: Unpack[CallOptions]
    ) -> list[Reconstruction | ClientError]:
        """The people or the error of each image, in order. REST only."""
        return self._thread.run(lambda: self._client.reconstruct_batch(images, **options))

    def stream(self, frames: FrameSource, **options: Unpack[StreamOptions]) -> Generator[StreamEvent, None, None]:
        """Ready, then Result, FrameError or Dropped for every frame in order, then Summary. gRPC only.

        Frames are pulled one at a time in a thread of their own, as flow control allows. Leaving the loop or closing the
        generator ends the call.
        """

        async def start() -> AsyncGenerator[StreamEvent, None]:
            return self._client.stream(frames, **options)

        async def next_event() -> StreamEvent | None:
            return await anext(events, None)

        events = self._thread.run(start)
        try:
            while (event := self._thread.run(next_event)) is not None:
                yield event
        finally:
            with suppress(RuntimeError):  # at exit the loop has already stopped
                self._thread.run(events.aclose)

    def info(self, *, faces: bool = False, timeout_s: float | None = None) -> ServiceInfo:
        """The loaded model and body; `faces` adds the triangles that all people share."""
        return self._thread.run(lambda: self._client.info(faces=faces, timeout_s=timeout_s))

    def close(self) -> None:
        """Close the connections. Calls in progress fail. Does nothing in a forked child: the connections are the parent's."""
        if self._thread.pid == os.getpid():
            self._thread.run(self._client.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
