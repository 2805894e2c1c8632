"""Reads the body of a request: the bytes of its images, and form fields."""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from service.errors import FieldError, InvalidParameter, MalformedRequest, SlowClient, UnsupportedMedia

PART = "image"
FORM = "multipart/form-data"
MAX_BATCH_FILES = 2000  # for the parser; the number of images is limited by a setting, whose error text is clearer
RAW_TYPES = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/heic",
    "image/heif",
    "image/avif",
    "application/octet-stream",
)
# Other names that browsers and libraries give these formats; the content decides anyway.
RAW_ALIASES = ("image/jpg", "image/pjpeg", "image/x-png", "image/heic-sequence", "image/heif-sequence")
JOINED_AT_ONCE_BYTES = 2**20
MAX_FILES, MAX_FIELDS = 8, 32
Items = list[tuple[str, UploadFile | str]]


@dataclass(frozen=True)
class Upload:
    content: bytes
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class BatchUpload:
    images: tuple[tuple[str, bytes], ...]  # file name as given, content
    fields: tuple[tuple[str, str], ...] = ()


async def read_upload(request: Request, *, timeout_s: float) -> Upload:
    """Read the raw body, or the `image` part of a form. The format is determined later, from the content.

    Raises UnsupportedMedia, MalformedRequest, InvalidParameter, or SlowClient after `timeout_s`.
    """
    media_type = _media_type(request)
    with _slow_client(timeout_s):
        async with asyncio.timeout(timeout_s):
            if media_type == FORM:
                async with _form(request, max_files=MAX_FILES) as items:
                    return _one_image(items)
            # Without a Content-Type the receiver may inspect the content (RFC 9110, 8.3); the decoder does.
            if not media_type or media_type in (*RAW_TYPES, *RAW_ALIASES):
                return Upload(await _joined([chunk async for chunk in request.stream()]))
    hint = "; with curl, add -H 'Content-Type: image/jpeg'" if media_type.endswith("x-www-form-urlencoded") else ""
    wanted = ", ".join(RAW_TYPES)
    raise UnsupportedMedia(f"send the image as multipart/form-data or as {wanted}; got {media_type[:100]}{hint}")


async def read_batch(request: Request, *, max_images: int, timeout_s: float) -> BatchUpload:
    """Read the `image` parts of a form, in order. Raises as `read_upload`, and InvalidParameter for too many or none."""
    if (media_type := _media_type(request)) != FORM:
        raise UnsupportedMedia(f"send several images as {FORM}, each as a part {PART!r}; got {media_type[:100]!r}")
    with _slow_client(timeout_s):
        async with asyncio.timeout(timeout_s):
            async with _form(request, max_files=MAX_BATCH_FILES) as items:
                return _all_images(items, max_images)


async def _joined(chunks: list[bytes]) -> bytes:
    """16 MB are 10 ms of the event loop; what takes less time than a thread's turn (0.1 ms) is joined at once."""
    join = b"".join
    if sum(map(len, chunks)) <= JOINED_AT_ONCE_BYTES:
        return join(chunks)
    return await asyncio.to_thread(join, chunks)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@contextmanager
def _slow_client(timeout_s: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise SlowClient(f"the body did not arrive within {timeout_s:g} s") from error


class _InMemoryParser(MultiPartParser):
    """Keeps files in memory, bounded by the body limit. Temporary files would need a writable disk."""

    spool_max_size = 2**62
    complete = False

    def on_part_begin(self) -> None:
        """Forms are UTF-8 (RFC 7578, 5.1.2); the request must not choose one of Python's codecs."""
        self._charset = "utf-8"
        super().on_part_begin()

    def on_end(self) -> None:
        """Called at the closing boundary."""
        self.complete = True

    def close(self) -> None:
        for file in self._files_to_close_on_error:
            file.close()


def _boundary(request: Request) -> bytes:
    _, options = parse_options_header(request.headers.get("content-type"))
    return options.get(b"boundary", b"")


async def _without_preamble(stream: AsyncIterator[bytes], boundary: bytes) -> AsyncGenerator[bytes, None]:
    """The body from the first boundary on. What precedes it is to be ignored (RFC 2046, 5.1.1); the parser refuses it."""
    delimiter, before, found = b"\n--" + boundary, b"\n", False
    async for chunk in stream:
        if not found:
            before += chunk
            begin = before.find(delimiter)
            found = begin >= 0
            before, chunk = before[1 - len(delimiter) :], before[begin + 1 :] if found else b""
        if chunk:
            yield chunk


@asynccontextmanager
async def _form(request: Request, *, max_files: int) -> AsyncIterator[Items]:
    """The parts of a form. Their files are closed when the block ends."""
    stream = _without_preamble(request.stream(), _boundary(request))
    parser = _InMemoryParser(request.headers, stream, max_files=max_files, max_fields=MAX_FIELDS)
    try:
        form = await parser.parse()
        if not parser.complete:
            raise MalformedRequest("the multipart/form-data body ends before its closing boundary")
        yield form.multi_items()
    except MultiPartException as error:
        raise MalformedRequest(f"the body is not valid multipart/form-data: {error.message}") from error
    finally:
        parser.close()


def _one_image(items: Items) -> Upload:
    """The single file of the part `image`; all other parts must be text. Raises InvalidParameter."""
    images, fields = _files_and_fields(items)
    if len(images) != 1:
        raise _wrong_part(PART, f"expected exactly one file part, got {len(images)}")
    return Upload(_content(images[0]), fields)


def _all_images(items: Items, max_images: int) -> BatchUpload:
    images, fields = _files_and_fields(items)
    if not 1 <= len(images) <= max_images:
        raise _wrong_part(PART, f"expected 1 to {max_images} file parts, got {len(images)}")
    return BatchUpload(tuple((image.filename or "", _content(image)) for image in images), fields)


def _content(image: UploadFile) -> bytes:
    """The bytes of a file in memory, without the copy of `read`: 100 MB would block the event loop for 50 ms."""
    buffer = getattr(image.file, "_file", None)  # of SpooledTemporaryFile, which never spools here
    return buffer.getvalue() if isinstance(buffer, io.BytesIO) else image.file.read()


def _files_and_fields(items: Items) -> tuple[list[UploadFile], tuple[tuple[str, str], ...]]:
    """The files of the parts `image`, and all other parts, which must be text. Raises InvalidParameter."""
    fields = tuple((name, value) for name, value in items if isinstance(value, str) and name != PART)
    strays = [name for name, value in items if isinstance(value, UploadFile) and name != PART]
    if strays:
        raise _wrong_part(strays[0], f"unexpected file; the image goes into the part {PART!r}")
    images = []
    for name, value in items:
        if name == PART:
            if isinstance(value, str):
                raise _wrong_part(PART, "expected a file, got a text field; with curl write -F image=@photo.jpg")
            images.append(value)
    return images, fields


def _wrong_part(name: str, message: str) -> InvalidParameter:
    return InvalidParameter(f"{name[:100]}: {message}", errors=[FieldError(name[:100], message)])
