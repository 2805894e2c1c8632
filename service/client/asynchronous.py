"""The asynchronous client: timeouts, retries and request ids over either protocol."""

import os
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, Unpack

from service.client.address import Address, Tls
from service.client.errors import ClientError, InvalidUse
from service.client.frames import FrameSource
from service.client.images import Image, image_bytes
from service.client.options import CallOptions, StreamOptions, check_known, image_options
from service.client.results import Reconstruction, ServiceInfo, StreamEvent
from service.client.retries import with_retries
from service.client.transport import Transport

T = TypeVar("T")
TIMEOUT_S = 30.0
ATTEMPTS = 5


class AsyncClient:
    """A client of one service. Use it within one event loop; any number of tasks may share it.

    async with AsyncClient("grpc://127.0.0.1:50051") as client:
        found = await client.reconstruct(Path("photo.jpg"))
        async for event in client.stream(frames, track=True):
            ...

    `http://` and `https://` use REST; `grpc://` and `grpcs://` use gRPC, which also streams. `attempts` includes the first
    one: 1 disables retries.
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
        self._address = Address.parse(address)
        if tls is not None and not self._address.secure:
            raise InvalidUse(f"TLS needs an address that begins with https:// or grpcs://, got {address!r}")
        self._tls, self._api_key = tls or Tls(), _checked_key(api_key)
        self._timeout_s, self._attempts = _checked_timeout(timeout_s), max(1, attempts)
        self._opened: Transport | None = None
        self._closed = False
        self._pid = os.getpid()

    async def reconstruct(self, image: Image, **options: Unpack[CallOptions]) -> Reconstruction:
        """The people in one image. Retried while the service is unavailable and time remains."""
        check_known(options, CallOptions)
        content, wanted = image_bytes(image), image_options(options)
        request_id = options.get("request_id") or uuid.uuid4().hex

        async def attempt(timeout_s: float) -> Reconstruction:
            return await self._transport().reconstruct(content, wanted, timeout_s=timeout_s, request_id=request_id)

        return await self._call(attempt, options, request_id)

    async def reconstruct_batch(
        self, images: Iterable[Image], **options: Unpack[CallOptions]
    ) -> list[Reconstruction | ClientError]:
        """The people or the error of each image, in order. REST only. A failed image is not retried by itself."""
        check_known(options, CallOptions)
        named = [(_name(image, number), image_bytes(image)) for number, image in enumerate(images)]
        if not named:
            return []
        wanted, request_id = image_options(options), options.get("request_id") or uuid.uuid4().hex

        async def attempt(timeout_s: float) -> list[Reconstruction | ClientError]:
            return await self._transport().reconstruct_batch(named, wanted, timeout_s=timeout_s, request_id=request_id)

        return await self._call(attempt, options, request_id)

    def stream(self, frames: FrameSource, **options: Unpack[StreamOptions]) -> AsyncGenerator[StreamEvent, None]:
        """Ready, then Result, FrameError or Dropped for every frame in order, then Summary. gRPC only.

        Frames are pulled one at a time, as flow control allows. Leaving the loop ends the call. A broken stream raises and
        is not retried, because some of its frames are answered already.
        """
        check_known(options, StreamOptions)
        image_options(options)
        request_id = options.get("request_id") or uuid.uuid4().hex
        return self._transport().stream(frames, options, request_id=request_id)

    async def info(self, *, faces: bool = False, timeout_s: float | None = None) -> ServiceInfo:
        """The loaded model and body; `faces` adds the triangles that all people share."""

        async def attempt(timeout_s: float) -> ServiceInfo:
            return await self._transport().info(faces=faces, timeout_s=timeout_s)

        return await self._call(attempt, {} if timeout_s is None else {"timeout_s": timeout_s}, "")

    async def aclose(self) -> None:
        """Close the connections. Calls in progress fail. Does nothing in a forked child: the connections are the parent's."""
        if self._pid != os.getpid():
            return
        self._closed = True
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _call(self, attempt: Callable[[float], Awaitable[T]], options: CallOptions, request_id: str) -> T:
        timeout_s = _checked_timeout(options.get("timeout_s", self._timeout_s))
        return await with_retries(attempt, timeout_s=timeout_s, attempts=self._attempts, request_id=request_id)

    def _transport(self) -> Transport:
        """Opened by the first call, because httpx and grpc.aio bind to the running event loop."""
        if self._pid != os.getpid():
            raise InvalidUse("this client was made before a fork; make a new one in the child process")
        if self._closed:
            raise InvalidUse("this client is closed")
        if self._opened is None:
            try:
                self._opened = self._open()
            except ModuleNotFoundError as error:
                raise InvalidUse(
                    f"{self._address.scheme}:// needs the package {error.name}, which is not installed: scripts/install client"
                ) from error
        return self._opened

    def _open(self) -> Transport:
        if self._address.scheme.startswith("grpc"):
            from service.client.rpc import GrpcTransport  # imported here: REST alone needs no grpcio, gRPC no httpx

            return GrpcTransport(self._address, tls=self._tls, api_key=self._api_key)
        from service.client.rest import RestTransport

        return RestTransport(self._address, tls=self._tls, api_key=self._api_key)


def _name(image: Image, number: int) -> str:
    return image.name if isinstance(image, Path) else f"image_{number}"


def _checked_timeout(timeout_s: float) -> float:
    if not 0 < timeout_s < 86_400:
        raise InvalidUse(f"expected a timeout_s above 0 and below a day, got {timeout_s}")
    return timeout_s


def _checked_key(api_key: str | None) -> str | None:
    if api_key is not None and not (api_key and api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise InvalidUse("expected an API key of printable ASCII characters without spaces")
    return api_key
