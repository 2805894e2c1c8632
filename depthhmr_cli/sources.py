"""Where `depthhmr reconstruct` gets people from: the core in this process, or a running service."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from bodykit.errors import UserError

if TYPE_CHECKING:
    import ssl

    from service.formats.formats import Format
    from service.recovery import MeshRecovery

Fields = list[tuple[str, str]]  # options as REST takes them

SERVER_TIMEOUT_S = 120.0
# Problems that the next photo need not have: codes of service.errors. All others would meet every photo.
OF_THE_PHOTO = {
    "malformed-request",
    "invalid-image",
    "unsupported-media",
    "image-too-large",
    "body-too-large",
    "deadline-exceeded",
    "engine-failed",
    "engine-bad-output",
    "not-acceptable",  # more or fewer people than the format holds
    "internal",
}


class PhotoError(UserError):
    """This photo could not be done."""


@dataclass(frozen=True)
class Answer:
    content: bytes  # of the file
    people: int | None  # in the photo; None where a service does not say it


class Source(Protocol):
    """Raises PhotoError for a photo that is at fault, and UserError where all would fail."""

    def reconstruct(self, photo: bytes, format_name: str, fields: Fields) -> Answer: ...


class Local:
    """The core in this process."""

    def __init__(self, core: "MeshRecovery", runner: Any) -> None:
        self._core, self._runner = core, runner

    def reconstruct(self, photo: bytes, format_name: str, fields: Fields) -> Answer:
        import uuid
        from dataclasses import replace

        from service.errors import EngineUnavailable, ServiceError
        from service.formats.formats import Job
        from service.rest.options import parse_options
        from service.results import Recovery

        format_, core = format_of(format_name), self._core

        def write(recovery: Recovery) -> Answer:
            job = Job(recovery, core.manifest, core.body, core.limits, uuid.uuid4().hex, options.mesh, options.rig)
            return Answer(format_.write(job), len(recovery.people))

        try:
            options = parse_options(fields)
            vertices = options.core.vertices or format_.vertices
            return self._runner.run(core.recover(photo, replace(options.core, vertices=vertices), write))
        except ServiceError as error:
            if error.code in OF_THE_PHOTO:
                raise PhotoError(error.detail) from error
            place = core.engine.place if isinstance(error, EngineUnavailable) else ""
            raise UserError(error.detail + place) from error


class Remote:
    """A running service. An address without a scheme is taken for http."""

    def __init__(self, url: str, *, api_key: str | None = None, tls: "ssl.SSLContext | None" = None) -> None:
        self._url, self._api_key, self._tls = url.rstrip("/"), api_key, tls

    def reconstruct(self, photo: bytes, format_name: str, fields: Fields) -> Answer:
        return self._post(photo, format_of(format_name).media_type, fields)

    def _post(self, photo: bytes, accept: str, fields: Fields) -> Answer:
        headers = {"Content-Type": "application/octet-stream", "Accept": accept}
        return self._open("/v1/reconstruct?" + urlencode(fields), photo, headers)

    def _open(self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        try:
            request = urllib.request.Request(self._url + path, data, headers or {})
            if self._api_key is not None:
                request.add_unredirected_header("X-API-Key", self._api_key)  # a redirect may lead to anybody
            with urllib.request.urlopen(request, timeout=SERVER_TIMEOUT_S, context=self._tls) as reply:
                people = reply.headers.get("X-People-Count", "")  # services before 0.3 do not send it
                return Answer(bytes(reply.read()), int(people) if people.isdecimal() else None)
        except urllib.error.HTTPError as error:
            code, detail = _problem(error)
            kind = PhotoError if code in OF_THE_PHOTO else UserError
            raise kind(f"{self._url} answered {error.code}: {detail}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise UserError(f"cannot reach the service at {self._url}: {reason}") from error


def format_of(extension: str) -> "Format":
    from service.formats.formats import FORMATS

    return next(item for item in FORMATS if item.extension == extension)


@contextmanager
def local_source(flags: dict[str, Any]) -> Iterator[Source]:
    """The core in this process, warm; `flags` are those of `depthhmr serve`."""
    import asyncio

    from service.errors import ServiceError
    from service.serve import open_core
    from service.settings import load_settings

    settings = load_settings(flags)
    with asyncio.Runner() as runner:
        core = open_core(settings)
        try:
            try:
                runner.run(core.warm_up())
            except ServiceError as error:
                raise UserError(
                    f"the engine {core.engine.name} does not answer: {error.detail}{core.engine.place}"
                ) from error
            yield Local(core, runner)
        finally:
            runner.run(core.aclose())


def remote_source(server: str, *, api_key: str | None, ca_file: Path | None) -> Source:
    """The service at `server`, an address with or without http:// or https://."""
    from service.client import InvalidUse, Tls

    url = server if "://" in server else f"http://{server}"
    if not url.startswith(("http://", "https://")):
        raise UserError(f"--server takes http:// or https://, got {server}; gRPC is for `depthhmr stream --to`")
    if ca_file and not url.startswith("https://"):
        raise UserError(f"--ca-file needs a --server that begins with https://, got {server}")
    try:
        tls = Tls(ca_file=ca_file).context() if ca_file else None
    except InvalidUse as error:
        raise UserError(error.detail) from error
    return Remote(url, api_key=api_key, tls=tls)


def _problem(error: urllib.error.HTTPError) -> tuple[str, str]:
    """Code and sentence of a problem document; without one, no code and what came instead."""
    text = error.read(10_000).decode(errors="replace")
    try:
        problem = json.loads(text)
        return str(problem["type"]).rpartition(":")[2], str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return "", text[:200] or error.reason
