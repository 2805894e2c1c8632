"""Recover the people in photos, here in this process or on a running service.

examples:
  depthhmr reconstruct photo.jpg                        prints JSON
  depthhmr reconstruct photo.jpg -o people.glb          .json .glb .obj .ply .zip .jpg .png, by the extension
  depthhmr reconstruct *.jpg -o results/ --format jpg   several photos go into a folder
  depthhmr reconstruct photo.jpg -o out.zip --server http://127.0.0.1:8000
  depthhmr reconstruct photo.jpg --server https://bodies.example --api-key-file key.txt

A photo that fails is named, and the others go on.
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from bodykit.errors import UserError
from depthhmr_cli.access import add_access_arguments, read_key, refuse_access
from depthhmr_cli.main import USER_ERROR, complain
from depthhmr_cli.serve import add_model_arguments

if TYPE_CHECKING:
    import ssl

    from service.recovery import MeshRecovery

HELP = "recover the people in photos and write them to files"
FORMATS = ("json", "glb", "obj", "ply", "zip", "jpg", "png")
MEDIA_TYPES = {
    "json": "application/json",
    "glb": "model/gltf-binary",
    "zip": "application/zip",
    "jpg": "image/jpeg",
    "png": "image/png",
}
MESH_FILES = ("obj", "ply")  # not spoken by the service; made here from the vertices in its JSON
OPTIONS = ("threshold", "max_people", "fov_degrees", "include")
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
    "internal",
}


class PhotoError(UserError):
    """This photo could not be done."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="JPEG, PNG or WebP files")
    parser.add_argument("-o", "--output", help="file to write, or a folder for several photos (default: print JSON)")
    parser.add_argument("--format", choices=FORMATS, help="format when the output is a folder (default: json)")
    parser.add_argument("--server", metavar="URL", help="ask this service instead of computing here")
    add_access_arguments(parser, "--server https://HOST")
    parser.add_argument("--threshold", help="score from which a person counts, 0 to 1 (default: the model's)")
    parser.add_argument("--max-people", help="keep only the surest so many")
    parser.add_argument("--fov-degrees", help="field of view across the longer side (default: from EXIF, else 60)")
    parser.add_argument("--include", help="vertices, depth or both with a comma: what to add to the JSON")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    targets = plan(args.photos, args.output, args.format)
    fields = [(name, value) for name in OPTIONS if (value := getattr(args, name)) is not None]
    failed = 0
    with _remote(args) if args.server else _local(args) as source:
        for photo, format_name, target in targets:
            try:
                content = source.reconstruct(_read(photo), format_name, fields)
            except PhotoError as error:
                complain(f"{photo}: {error}")
                failed += 1
                continue
            if target is None:
                sys.stdout.write(content.decode() + "\n")
            else:
                _write(target, content)
                print(f"{photo} -> {target} ({len(content) / 1000:.0f} kB)", file=sys.stderr)
    if failed and len(targets) > 1:
        complain(f"{failed} of {len(targets)} photos failed")
    return USER_ERROR if failed else 0


def plan(photos: list[Path], output: str | None, format_name: str | None) -> list[tuple[Path, str, Path | None]]:
    """(photo, format, file to write) for each photo; no file means standard output."""
    if output is None:
        if format_name not in (None, "json"):
            raise UserError(f"--format {format_name} needs -o; only JSON is printed")
        return [(photo, "json", None) for photo in photos]
    into_folder = output.endswith("/") or Path(output).is_dir()
    if into_folder:
        chosen = format_name or "json"
        targets = [Path(output) / f"{photo.stem}.{chosen}" for photo in photos]
        if len(set(targets)) < len(targets):
            raise UserError("several photos have the same name; their results would overwrite each other")
        return [(photo, chosen, target) for photo, target in zip(photos, targets, strict=True)]
    if len(photos) > 1:
        raise UserError(f"{len(photos)} photos need a folder to write to: -o {output}/")
    extension = Path(output).suffix.lower().lstrip(".").replace("jpeg", "jpg")
    if extension not in FORMATS:
        raise UserError(f"the output must end in one of .{' .'.join(FORMATS)}, got {output}")
    if format_name not in (None, extension):
        raise UserError(f"--format {format_name} contradicts the output file {output}")
    return [(photos[0], extension, Path(output))]


class Source(Protocol):
    """Where people come from. Raises PhotoError for a photo that is at fault, and UserError where all would fail."""

    def reconstruct(self, photo: bytes, format_name: str, fields: list[tuple[str, str]]) -> bytes: ...


class Local:
    """The core in this process."""

    def __init__(self, core: "MeshRecovery", runner: Any) -> None:
        self._core, self._runner = core, runner

    def reconstruct(self, photo: bytes, format_name: str, fields: list[tuple[str, str]]) -> bytes:
        import uuid
        from dataclasses import replace

        from bodykit.meshio import WRITERS
        from service.errors import EngineUnavailable, ServiceError
        from service.formats.formats import FORMATS as SPOKEN
        from service.formats.formats import Job, people_meshes
        from service.rest.options import parse_options
        from service.results import Recovery

        writers = {item.extension: item for item in SPOKEN}
        core = self._core

        def write(recovery: Recovery) -> bytes:
            job = Job(recovery, core.manifest, core.body, core.limits, uuid.uuid4().hex)
            if format_name in MESH_FILES:
                return WRITERS[format_name](people_meshes(job))
            return writers[format_name].write(job)

        try:
            options = parse_options(fields).core
            vertices = options.vertices or format_name in MESH_FILES or writers[format_name].vertices
            return self._runner.run(core.recover(photo, replace(options, vertices=vertices), write))
        except ServiceError as error:
            if error.code in OF_THE_PHOTO:
                raise PhotoError(error.detail) from error
            place = core.engine.place if isinstance(error, EngineUnavailable) else ""
            raise UserError(error.detail + place) from error


class Remote:
    """A running service."""

    def __init__(self, url: str, *, api_key: str | None = None, tls: "ssl.SSLContext | None" = None) -> None:
        self._url, self._api_key, self._tls = url.rstrip("/"), api_key, tls
        self._faces: Any = None

    def reconstruct(self, photo: bytes, format_name: str, fields: list[tuple[str, str]]) -> bytes:
        if format_name not in MESH_FILES:
            return self._post(photo, MEDIA_TYPES[format_name], fields)
        reply = json.loads(self._post(photo, "application/json", [*fields, ("include", "vertices")]))
        return self._meshes(reply["people"], format_name)

    def _meshes(self, people: list[dict[str, Any]], format_name: str) -> bytes:
        import numpy as np

        from bodykit.meshio import WRITERS, Mesh
        from bodykit.palette import person_colours

        if self._faces is None:
            self._faces = np.array(json.loads(self._open("/v1/body?include=faces"))["faces"], np.int32)
        colours = person_colours(len(people)).tolist()
        return WRITERS[format_name](
            [
                Mesh(np.array(person["vertices"], np.float32), self._faces, f"person_{person['id']:02d}", tuple(colour))
                for person, colour in zip(people, colours, strict=True)
            ]
        )

    def _post(self, photo: bytes, accept: str, fields: list[tuple[str, str]]) -> bytes:
        headers = {"Content-Type": "application/octet-stream", "Accept": accept}
        return self._open("/v1/reconstruct?" + urlencode(fields), photo, headers)

    def _open(self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        try:
            request = urllib.request.Request(self._url + path, data, headers or {})
            if self._api_key is not None:
                request.add_unredirected_header("X-API-Key", self._api_key)  # a redirect may lead to anybody
            with urllib.request.urlopen(request, timeout=SERVER_TIMEOUT_S, context=self._tls) as reply:
                return bytes(reply.read())
        except urllib.error.HTTPError as error:
            code, detail = _problem(error)
            kind = PhotoError if code in OF_THE_PHOTO else UserError
            raise kind(f"{self._url} answered {error.code}: {detail}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise UserError(f"cannot reach the service at {self._url}: {reason}") from error


@contextmanager
def _local(args: argparse.Namespace) -> Iterator[Source]:
    import asyncio

    from service.errors import ServiceError
    from service.serve import open_core
    from service.settings import load_settings

    refuse_access(args, "--server")
    names = ("engine", "triton_url", "model_dir", "body", "threads")
    settings = load_settings({name: getattr(args, name) for name in names})
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


@contextmanager
def _remote(args: argparse.Namespace) -> Iterator[Source]:
    from service.client import InvalidUse, Tls

    if args.ca_file and not args.server.startswith("https://"):
        raise UserError(f"--ca-file needs a --server that begins with https://, got {args.server}")
    try:
        tls = Tls(ca_file=args.ca_file).context() if args.ca_file else None
    except InvalidUse as error:
        raise UserError(error.detail) from error
    yield Remote(args.server, api_key=read_key(args.api_key_file), tls=tls)


def _problem(error: urllib.error.HTTPError) -> tuple[str, str]:
    """Code and sentence of a problem document; without one, no code and what came instead."""
    text = error.read(10_000).decode(errors="replace")
    try:
        problem = json.loads(text)
        return str(problem["type"]).rpartition(":")[2], str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return "", text[:200] or error.reason


def _read(photo: Path) -> bytes:
    try:
        return photo.read_bytes()
    except OSError as error:
        raise PhotoError(f"cannot be read: {error.strerror}") from error


def _write(target: Path, content: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from error
