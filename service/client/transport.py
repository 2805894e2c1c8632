"""The interface of both protocols. One call is one attempt; the client handles retries and timeouts."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from service.client.errors import ClientError
from service.client.frames import FrameSource
from service.client.options import ImageOptions, StreamOptions
from service.client.results import Reconstruction, ServiceInfo, StreamEvent


class Transport(Protocol):
    """Every method raises ClientError, and no other foreseeable exception."""

    async def reconstruct(
        self, image: bytes, options: ImageOptions, *, timeout_s: float, request_id: str
    ) -> Reconstruction: ...

    async def reconstruct_batch(
        self, images: Sequence[tuple[str, bytes]], options: ImageOptions, *, timeout_s: float, request_id: str
    ) -> list[Reconstruction | ClientError]: ...

    def stream(
        self, frames: FrameSource, options: StreamOptions, *, request_id: str
    ) -> AsyncGenerator[StreamEvent, None]: ...

    async def info(self, *, faces: bool, timeout_s: float) -> ServiceInfo: ...

    async def aclose(self) -> None: ...
