"""Where the pictures of `depthhmr stream` come from: a video file, a folder of pictures, a camera. Knows no service."""

import glob
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from bodykit.errors import UserError
from depthhmr_cli.picture import SENT_SUFFIXES, Picture, pictures_of

PICTURES_PER_SECOND = 30.0  # of a folder, where nothing says it
CAMERA = re.compile(r"\d+|/dev/video\d+")
ADDRESS = re.compile(r"(rtsps?|rtmps?|srt|udp|tcp|https?)://.+", re.IGNORECASE)
LIVE_ADDRESS = re.compile(r"(rtsps?|rtmps?|srt|udp|tcp)://", re.IGNORECASE)
# Brands of still pictures in the container that MP4 uses (ISO 23008-12, AV1 Image File Format). FFmpeg reads one tile of
# such a picture as a video.
STILL_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")


class Footage(Protocol):
    """Opened, and known to hold pictures; iterated once."""

    name: str
    total: int | None  # pictures to come, if that is known
    live: bool  # pictures come at their own pace, and are lost if they are not taken
    note: str  # what was wrong with it, known when it has ended; "" for nothing

    @property
    def fov_degrees(self) -> float | None:
        """Field of view across the longer side, where the source itself says it."""

    def __iter__(self) -> Iterator[Picture]: ...

    def close(self) -> None: ...


def open_footage(source: str, *, fps: float | None = None) -> Footage:
    """A number or /dev/videoN is a camera, rtsp:// and http:// are addresses, a folder or a pattern with * holds pictures,
    everything else is a video.

    `fps`: at most so many pictures per second of a video or a camera; of a folder, how many were taken per second.
    Raises UserError for what does not exist or is something else.
    """
    if fps is not None and not 0 < fps <= 1000:
        raise UserError(f"--fps must lie above 0 and not above 1000, got {fps:g}")
    if CAMERA.fullmatch(source):
        device = source if source.startswith("/") else f"/dev/video{source}"
        return _video(device, fps=fps, live=True, source_format="v4l2")
    if ADDRESS.fullmatch(source):
        return _video(source, fps=fps, live=bool(LIVE_ADDRESS.match(source)))
    path = Path(source)
    if path.is_dir():
        return Folder(source, _some_pictures(path.iterdir(), f"in the folder {source}"), fps=fps or PICTURES_PER_SECOND)
    if path.is_file():
        if path.suffix.lower() in SENT_SUFFIXES:
            return Folder(source, [path], fps=fps or PICTURES_PER_SECOND)
        _refuse_still(path)
        return _video(source, fps=fps, live=False)
    if glob.has_magic(source):
        files = _some_pictures(map(Path, glob.glob(source)), f"that fits the pattern {source}")
        return Folder(source, files, fps=fps or PICTURES_PER_SECOND)
    raise UserError(
        f"there is no file or folder {source}; a camera is a number, as in `depthhmr stream 0`, or an address (rtsp://, http://)"
    )


def _some_pictures(files: Iterable[Path], where: str) -> list[Path]:
    pictures = pictures_of(files)
    if not pictures:
        raise UserError(f"there is no picture ({', '.join(SENT_SUFFIXES)}) {where}")
    return pictures


def _refuse_still(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if head[4:8] == b"ftyp" and head[8:12] in STILL_BRANDS:
        kind = "AVIF" if head[8:12].startswith(b"avi") else "HEIC"
        raise UserError(f"{path} is a {kind} picture, not a video; expected a video, or pictures as JPEG, PNG or WebP")


def _video(name: str, *, fps: float | None, live: bool, source_format: str | None = None) -> Footage:
    from depthhmr_cli.video import Video  # the optional extra `video`

    return Video(name, fps=fps, live=live, source_format=source_format)


class Folder:
    """Picture files, in their order."""

    live = False
    note = ""
    fov_degrees = None  # each picture has its own EXIF

    def __init__(self, name: str, files: Iterable[Path], *, fps: float) -> None:
        self.name, self._fps = name, fps
        self._files = list(files)
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


def at_its_own_speed(footage: Footage) -> Iterator[Picture]:
    """The pictures at the times at which they were taken, as a camera would give them."""
    begin: float | None = None
    for picture in footage:
        begin = time.monotonic() if begin is None else begin
        time.sleep(max(0.0, begin + picture.time_s - time.monotonic()))
        yield picture
