"""Pictures of a video file, an address or a camera, decoded by FFmpeg's libraries (PyAV). Knows no service.

What a container says about its pictures beside them is heeded in full: display matrix, shape of the pixels, clock, and the
35 mm equivalent focal length that phones write.
"""

import io
import math
import struct
import threading
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

from PIL import Image

from bodykit.errors import UserError
from depthhmr_cli.picture import Picture

if TYPE_CHECKING:
    import av

JPEG_QUALITY = 90
PICTURES_PER_SECOND = 30.0  # where nothing says it
CLOSE_TIMEOUT_S = 2.0
NETWORK_TIMEOUT_S = 10.0  # to open an address, and for each read from it
SHORTEST_STEP_S = 1e-3
PIXEL_ASPECTS = (0.1, 10.0)  # width of a pixel over its height; a shape beyond these is a broken header
FOCAL_35MM_TAG = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
FOCAL_35MM = (5.0, 2000.0)
DIAGONAL_35MM = 43.2666  # mm; equivalence is by diagonal (CIPA DCG-001)

# Display matrix (ISO 14496-12, 6.2.2) by the signs of a, b, c, d: x' = a x + c y, y' = b x + d y.
TURNS: dict[tuple[int, ...], Image.Transpose | None] = {
    (1, 0, 0, 1): None,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,  # Pillow turns counter-clockwise
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}


class Video:
    """Opened, and known to hold pictures; iterated once.

    `source_format` is FFmpeg's name of it, for what does not say it itself (a camera). Raises UserError.
    """

    def __init__(self, name: str, *, fps: float | None, live: bool, source_format: str | None = None) -> None:
        import av

        self.name, self.live, self.note, self._fps = name, live, "", fps
        timeout = NETWORK_TIMEOUT_S if "://" in name else None
        try:
            self._container = av.open(name, format=source_format, timeout=timeout)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            what = "open the camera" if live else "read the video"
            raise UserError(f"cannot {what} {name}: {_reason(error)}") from error
        stream = self._container.streams.best("video")  # never the cover picture beside it
        if stream is None:
            self._container.close()
            raise UserError(f"there are no pictures in {name}, only sound or text")
        self._stream: Any = stream
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
                self.note = f"{self.name} could be read up to picture {number} only: {_reason(error)}"
                return
            if frame is None:
                return
            taken_s = frame.time if frame.time is not None else number / self._rate()
            first_s = taken_s if first_s is None else first_s
            # Broken files have clocks that stand still or go back; tracking needs one that does not.
            time_s = max(taken_s - first_s, last_s + SHORTEST_STEP_S)
            last_s = time_s
            if self._fps is not None:
                if time_s < due_s - 1e-6:
                    continue
                due_s = max(due_s + 1 / self._fps, time_s)
            yield Picture(_jpeg(upright(frame, self._pixel_aspect())), time_s)

    def close(self) -> None:
        self._closed = True
        if self._lock.acquire(timeout=CLOSE_TIMEOUT_S):  # a camera that sends nothing is left to the end of the process
            self._container.close()
            self._lock.release()

    @property
    def fov_degrees(self) -> float | None:
        """Field of view across the longer side, by the 35 mm equivalent that a phone wrote."""
        text = self._stream.metadata.get(FOCAL_35MM_TAG) or self._container.metadata.get(FOCAL_35MM_TAG)
        try:
            focal_35mm = float(text)
        except (TypeError, ValueError):
            return None
        if not FOCAL_35MM[0] <= focal_35mm <= FOCAL_35MM[1]:  # also for nan
            return None
        width, height = self._stream.codec_context.width * self._pixel_aspect(), self._stream.codec_context.height
        focal_px = focal_35mm * math.hypot(width, height) / DIAGONAL_35MM
        return math.degrees(2 * math.atan(max(width, height) / (2 * focal_px)))

    def _expected(self) -> int | None:
        """Pictures to come, as the file's header has it."""
        length = self._stream.frames
        if not length or self._fps is None:
            return length or None
        return min(length, max(1, round(length / self._rate() * self._fps)))

    def _rate(self) -> float:
        return float(self._stream.average_rate or PICTURES_PER_SECOND)

    def _pixel_aspect(self) -> float:
        """Width of a pixel over its height; the container goes before the codec."""
        aspect = float(self._stream.sample_aspect_ratio or 1)
        return aspect if PIXEL_ASPECTS[0] <= aspect <= PIXEL_ASPECTS[1] else 1.0


def upright(frame: "av.VideoFrame", pixel_aspect: float) -> Image.Image:
    """A frame as it is meant to be seen: with square pixels, turned and mirrored. No pixel is lost to the squaring."""
    image: Image.Image = frame.to_image()
    if pixel_aspect > 1:
        image = image.resize((round(image.width * pixel_aspect), image.height), Image.Resampling.BICUBIC)
    elif pixel_aspect < 1:
        image = image.resize((image.width, round(image.height / pixel_aspect)), Image.Resampling.BICUBIC)
    turn = _turn_of(frame)
    return image if turn is None else image.transpose(turn)


def _turn_of(frame: "av.VideoFrame") -> Image.Transpose | None:
    """By the display matrix: phones store pictures lying, front cameras mirrored. PyAV's `rotation` knows no mirroring."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return None
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])  # two rows of three: 16.16 fixed point
    largest = max(abs(a), abs(b), abs(c), abs(d), 1)
    # Shears and odd angles, which no camera writes, count as the nearest quarter turn.
    signs = tuple(0 if 2 * abs(value) < largest else (1 if value > 0 else -1) for value in (a, b, c, d))
    return TURNS.get(signs)


def _jpeg(image: Image.Image) -> bytes:
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=JPEG_QUALITY)
    return packed.getvalue()


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
