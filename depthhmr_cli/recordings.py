"""What `depthhmr stream` writes: JSON lines, a GLB file per picture, one animated GLB. Each takes the events of a stream."""

import sys
from pathlib import Path
from typing import IO, Any, Protocol

from bodykit.errors import UserError
from depthhmr_cli.sightings import Sightings
from service.client import Dropped, FrameError, Person, Ready, Result, StreamEvent, Summary


class Recording(Protocol):
    """Takes every event, and is closed however the stream ends: what was answered is kept."""

    target: str
    written: bool  # whether there is something at the target

    def take(self, event: StreamEvent, time_s: float | None) -> None:
        """`time_s` is when the event's picture was taken."""

    def close(self) -> None: ...


class JsonLines:
    """One JSON object per line: ready, then result, error or dropped for every picture, then summary."""

    def __init__(self, path: Path | None) -> None:
        self.target = "standard output" if path is None else str(path)
        self.written = True
        self._path = path
        self._file: IO[bytes] = sys.stdout.buffer if path is None else _opened(path)

    def take(self, event: StreamEvent, time_s: float | None) -> None:
        import orjson

        line = as_json(event, time_s)
        try:
            self._file.write(orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))
            self._file.flush()  # a reader sees every line at once, and nothing is lost
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UserError(f"cannot write {self.target}: {error.strerror}") from error

    def close(self) -> None:
        if self._path is not None:
            self._file.close()


class GlbFolder:
    """frame_000000.glb and so on, numbered as the pictures are."""

    def __init__(self, folder: Path) -> None:
        self.target, self.written = f"{folder}/", False
        self._folder = folder
        _make(folder)

    def take(self, event: StreamEvent, time_s: float | None) -> None:
        if isinstance(event, Result):
            assert event.reconstruction.glb is not None, "this recording needs glb=True"
            _write(self._folder / f"frame_{event.frame_id:06d}.glb", event.reconstruction.glb)
            self.written = True

    def close(self) -> None:
        pass


class AnimatedGlb:
    """One glTF file with a skeleton per person, written at the end."""

    def __init__(self, path: Path, body: Path | None) -> None:
        from bodykit.body import load_body

        self.target, self.written = str(path), False
        self._path, self._body = path, load_body(body)
        self._sightings = Sightings()
        _make(path.parent)

    def take(self, event: StreamEvent, time_s: float | None) -> None:
        if isinstance(event, Ready) and event.info.body.sha256 != self._body.sha256:
            raise UserError(
                f"the service speaks of the body {event.info.body.name!r} {event.info.body.version}, "
                f"but the body here is {self._body.name!r} {self._body.version}: give the same file with --body"
            )
        if isinstance(event, Result):
            self._sightings.take(event.reconstruction.people, time_s)

    def close(self) -> None:
        import numpy as np

        from bodykit.meshio import animation

        times = self._sightings.times
        if times:
            _write(self._path, animation.write(self._body, self._sightings.motions(), np.array(times)))
            self.written = True


def as_json(event: StreamEvent, time_s: float | None) -> dict[str, Any]:
    """An event as a line; people as in the REST reply, with their track."""
    if isinstance(event, Ready):
        info = event.info
        return {
            "kind": "ready",
            "model": vars(info.model) | {"body": vars(info.body)},
            "frame": {"axes": info.axes, "units": info.units},
            "joint_names": info.joint_names,
            "max_in_flight": event.max_in_flight,
        }
    if isinstance(event, Summary):
        return {"kind": "summary"} | vars(event)
    head: dict[str, Any] = {"frame_id": event.frame_id, "time_s": time_s}
    if isinstance(event, Dropped):
        return {"kind": "dropped"} | head
    if isinstance(event, FrameError):
        return {"kind": "error"} | head | {"code": event.code, "reason": event.reason, "detail": event.detail}
    found = event.reconstruction
    return {
        "kind": "result",
        **head,
        "image": {"width": found.width, "height": found.height},
        "camera": vars(found.camera),
        "people": [_person(person) for person in found.people],
        "timings_ms": vars(found.timings),
    }


def _person(person: Person) -> dict[str, Any]:
    return {name: value for name, value in vars(person).items() if value is not None}


def _opened(path: Path) -> IO[bytes]:
    _make(path.parent)
    try:
        return path.open("wb")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
