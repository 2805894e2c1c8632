"""Where the pictures of `depthhmr stream` come from: a video file, a folder of pictures, a camera. Knows no service."""

import glob
import io
import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bodykit.errors import UserError

if TYPE_CHECKING:
    import av

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
JPEG_QUALITY = 90
PICTURES_PER_SECOND = 30.0  # of a folder, where nothing says it
CLOSE_TIMEOUT_S = 2.0
SHORTEST_STEP_S = 1e-3
CAMERA = re.compile(r"\d+|/dev/video\d+")


@dataclass(frozen=True, eq=False)
class Picture:
    """One image file, and when it was taken: seconds since the first one."""

    content: bytes
    time_s: float


class Footage(Protocol):
    """Opened, and known to hold pictures; iterated once."""

    name: str
    total: int | None  # pictures to come, if that is known
    live: bool  # pictures come when they come, and wait for nobody
    note: str  # what was wrong with it, known when it has ended; "" for nothing

    def __iter__(self) -> Iterator[Picture]: ...

    def close(self) -> None: ...


def open_footage(source: str, *, fps: float | None = None) -> Footage:
    """A number or /dev/videoN is a camera, a folder or a pattern with * pictures, everything else a video.

    `fps`: at most so many pictures per second of a video or a camera; of a folder, how many were taken per second.
    Raises UserError for what is not there or is something else.
    """
    if fps is not None and not 0 < fps <= 1000:
        raise UserError(f"--fps must lie above 0 and not above 1000, got {fps:g}")
    path = Path(source)
    if CAMERA.fullmatch(source):
        device = source if source.startswith("/") else f"/dev/video{source}"
        return Video(device, fps=fps, live=True)
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in PICTURES]
        if not files:
            raise UserError(f"there is no picture ({', '.join(PICTURES)}) in the folder {source}")
        return Folder(source, files, fps=fps or PICTURES_PER_SECOND)
    if path.is_file():
        if path.suffix.lower() in PICTURES:
            return Folder(source, [path], fps=fps or PICTURES_PER_SECOND)
        return Video(source, fps=fps, live=False)
    if glob.has_magic(source):
        files = [Path(name) for name in glob.glob(source) if Path(name).suffix.lower() in PICTURES]
        if not files:
            raise UserError(f"no picture ({', '.join(PICTURES)}) fits the pattern {source}")
        return Folder(source, files, fps=fps or PICTURES_PER_SECOND)
    raise UserError(f"there is no file or folder {source}; a camera is a number, as in `depthhmr stream 0`")


class Folder:
    """Picture files in the order of their names, in which 10 comes after 9."""

    live = False
    note = ""

    def __init__(self, name: str, files: Iterable[Path], *, fps: float) -> None:
        self.name, self._fps = name, fps
        self._files = sorted(files, key=lambda file: natural(str(file)))
        self.total: int | None = len(self._files)

    def __iter__(self) -> Iterator[Picture]:
        for number, file in enumerate(self._files):
            try:
                content = file.read_bytes()
            except OSError as error:
                raise UserError(f"cannot read the picture {file}: {error.strerror}") from error
            yield Picture(content, number / self._fps)

    def close(self) -> None:
        pass


class Video:
    """A video file or a camera, decoded by FFmpeg's libraries (PyAV)."""

    def __init__(self, name: str, *, fps: float | None, live: bool) -> None:
        import av

        self.name, self.live, self.note, self._fps = name, live, "", fps
        try:
            self._container = av.open(name, format="v4l2" if live else None, timeout=None)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            what = "open the camera" if live else "read the video"
            raise UserError(f"cannot {what} {name}: {_why(error)}") from error
        if not self._container.streams.video:
            self._container.close()
            raise UserError(f"there are no pictures in {name}, only sound or text")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        # Pictures are taken by another thread than the one that closes, and FFmpeg does not survive both at once.
        self._lock, self._closed = threading.Lock(), False
        self.total = None if live else self._expected()

    def __iter__(self) -> Iterator[Picture]:
        import av

        first_s: float | None = None
        last_s, due_s = -SHORTEST_STEP_S, 0.0
        frames = self._container.decode(self._stream)
        for number in count():
            try:
                with self._lock:
                    frame = None if self._closed else next(frames, None)
            except av.error.FFmpegError as error:
                self.note = f"{self.name} could be read up to picture {number} only: {_why(error)}"
                return
            if frame is None:
                return
            taken_s = frame.time if frame.time is not None else number / self._rate()
            first_s = taken_s if first_s is None else first_s
            # Broken files have clocks that stand still or go back; who follows people needs one that does not.
            time_s = max(taken_s - first_s, last_s + SHORTEST_STEP_S)
            last_s = time_s
            if self._fps is not None:
                if time_s < due_s - 1e-6:
                    continue
                due_s = max(due_s + 1 / self._fps, time_s)
            yield Picture(_jpeg(frame), time_s)

    def close(self) -> None:
        self._closed = True
        if self._lock.acquire(timeout=CLOSE_TIMEOUT_S):  # a camera that sends nothing is left to the end of the process
            self._container.close()
            self._lock.release()

    def _expected(self) -> int | None:
        """Pictures to come, as the file's header has it."""
        length = self._stream.frames
        if not length or self._fps is None:
            return length or None
        return min(length, max(1, round(length / self._rate() * self._fps)))

    def _rate(self) -> float:
        return float(self._stream.average_rate or PICTURES_PER_SECOND)


def at_its_own_speed(footage: Footage) -> Iterator[Picture]:
    """The pictures at the times at which they were taken, as a camera would give them."""
    begin: float | None = None
    for picture in footage:
        begin = time.monotonic() if begin is None else begin
        time.sleep(max(0.0, begin + picture.time_s - time.monotonic()))
        yield picture


def natural(name: str) -> list[tuple[int, str]]:
    """A key for sorting in which numbers count as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _jpeg(frame: "av.VideoFrame") -> bytes:
    """Upright: a phone writes its pictures lying, and beside them by how much to turn them."""
    image: Any = frame.to_image()
    if frame.rotation % 360:
        image = image.rotate(frame.rotation, expand=True)  # both count counter-clockwise
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=JPEG_QUALITY)
    return packed.getvalue()


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
