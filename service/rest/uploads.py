"""The body of a reconstruct request -> the bytes of one image, and the form fields that came with it."""

import asyncio
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from service.errors import FieldError, InvalidParameter, MalformedRequest, SlowClient, UnsupportedMedia

PART = "image"
RAW_TYPES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
MAX_FILES, MAX_FIELDS = 8, 32


@dataclass(frozen=True)
class Upload:
    content: bytes
    fields: tuple[tuple[str, str], ...] = ()


async def read_upload(request: Request, *, timeout_s: float) -> Upload:
    """Read the raw body, or the `image` part of a form. What the bytes are is judged later, by their content.

    Raises UnsupportedMedia, MalformedRequest, InvalidParameter, or SlowClient after `timeout_s`.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(timeout_s):
            if media_type == "multipart/form-data":
                return await _form(request)
            # Without a Content-Type the receiver may look for itself (RFC 9110, 8.3); the decoder does.
            if media_type in RAW_TYPES or not media_type:
                return Upload(await request.body())
    except TimeoutError as error:
        raise SlowClient(f"the body did not arrive within {timeout_s:g} s") from error
    hint = "; with curl, add -H 'Content-Type: image/jpeg'" if media_type.endswith("x-www-form-urlencoded") else ""
    wanted = ", ".join(RAW_TYPES)
    raise UnsupportedMedia(f"send the image as multipart/form-data or as {wanted}; got {media_type[:100]}{hint}")


class _InMemoryParser(MultiPartParser):
    """Keeps files in memory: the body limit bounds it, and a temporary file would need a writable disk."""

    spool_max_size = 2**62
    complete = False

    def on_end(self) -> None:
        """The closing boundary came."""
        self.complete = True

    def close(self) -> None:
        for file in self._files_to_close_on_error:
            file.close()


async def _form(request: Request) -> Upload:
    parser = _InMemoryParser(request.headers, request.stream(), max_files=MAX_FILES, max_fields=MAX_FIELDS)
    try:
        form = await parser.parse()
        if not parser.complete:
            raise MalformedRequest("the multipart/form-data body ends before its closing boundary")
        return await _one_image(form.multi_items())
    except MultiPartException as error:
        raise MalformedRequest(f"the body is not valid multipart/form-data: {error.message}") from error
    finally:
        parser.close()


async def _one_image(items: list[tuple[str, UploadFile | str]]) -> Upload:
    """The file of the part `image`; everything else must be text. Raises InvalidParameter."""
    fields = tuple((name, value) for name, value in items if isinstance(value, str) and name != PART)
    images = [value for name, value in items if name == PART]
    strays = [name for name, value in items if isinstance(value, UploadFile) and name != PART]
    if strays:
        raise _wrong_part(strays[0], f"unexpected file; the image goes into the part {PART!r}")
    if len(images) != 1:
        raise _wrong_part(PART, f"expected exactly one file part, got {len(images)}")
    image = images[0]
    if isinstance(image, str):
        raise _wrong_part(PART, "expected a file, got a text field; with curl write -F image=@photo.jpg")
    return Upload(await image.read(), fields)


def _wrong_part(name: str, message: str) -> InvalidParameter:
    return InvalidParameter(f"{name[:100]}: {message}", errors=[FieldError(name[:100], message)])
