"""The client for programs without an event loop: the asynchronous one, run in a thread."""

from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self, Unpack

from service.client.address import Tls
from service.client.asynchronous import ATTEMPTS, TIMEOUT_S, AsyncClient
from service.client.errors import ClientError
from service.client.frames import FrameSource
from service.client.images import Image
from service.client.looper import loop_thread
from service.client.options import CallOptions, StreamOptions
from service.client.results import Reconstruction, ServiceInfo, StreamEvent


class Client:
    """A client of one service. May be used by several threads at once.

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
        self._thread = loop_thread()

    def reconstruct(self, image: Image, **options: Unpack[CallOptions]) -> Reconstruction:
        """The people of one image. Asked again while the service is unavailable and the budget lasts."""
        return self._thread.run(lambda: self._client.reconstruct(image, **options))

    def reconstruct_batch(
        self, images: Iterable[Image], **options: Unpack[CallOptions]
    ) -> list[Reconstruction | ClientError]:
        """For each image its people or its error, in order. REST only."""
        return self._thread.run(lambda: self._client.reconstruct_batch(images, **options))

    def stream(self, frames: FrameSource, **options: Unpack[StreamOptions]) -> Generator[StreamEvent, None, None]:
        """Ready, then for every frame Result, FrameError or Dropped, in order, then Summary. gRPC only.

        Frames are taken one by one, in a thread of their own, as the service has room for them. Leaving the loop, or
        closing the generator, ends the call.
        """

        async def begun() -> AsyncGenerator[StreamEvent, None]:
            return self._client.stream(frames, **options)

        async def following() -> StreamEvent | None:
            return await anext(events, None)

        events = self._thread.run(begun)
        try:
            while (event := self._thread.run(following)) is not None:
                yield event
        finally:
            with suppress(RuntimeError):  # the program is ending, and the loop has ended before
                self._thread.run(events.aclose)

    def info(self, *, faces: bool = False, timeout_s: float | None = None) -> ServiceInfo:
        """What is loaded; `faces` adds the triangles that all people share."""
        return self._thread.run(lambda: self._client.info(faces=faces, timeout_s=timeout_s))

    def close(self) -> None:
        """Give up the connections. Calls under way fail."""
        self._thread.run(self._client.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
