"""Logging: lines of text or JSON on standard error, written by a background thread.

Built on the standard library, which uvicorn, grpc and ONNX Runtime use as well; JSON takes one short formatter. A closed reader,
a full disk or a blocked pipe loses lines but never delays a request.
"""

import json
import logging
import os
import queue
import sys
import threading
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO, TextIOWrapper
from typing import Any

from service.telemetry.record import Record, current_or_none

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
TEXT, JSON = "text", "json"
OURS = ("service", "bodykit", "depthhmr", "depthhmr_cli")
ACCESS = "service.access"
MAX_QUEUED_LINES = 4096  # further lines are dropped
CLOSE_TIMEOUT_S = 1.0  # how long shutdown waits for the last lines
TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class TextFormatter(logging.Formatter):
    """Lines for people, with the request's ids at the end."""

    def __init__(self) -> None:
        super().__init__(TEXT_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{name}={value}" for name, value in _ids(record).items())
        return f"{super().formatMessage(record)} {ids}".rstrip()


class JsonFormatter(logging.Formatter):
    """One JSON object per line, whatever the message contains."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_ids(record),
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = "".join(traceback.format_exception(record.exc_info[1]))
        return json.dumps(line, default=str)


class BackgroundHandler(logging.Handler):
    """Passes lines to a thread that writes them to `stream`. The stream is unbuffered: the interpreter cannot exit while a
    blocked thread holds a buffer's lock.
    """

    def __init__(self, stream: FileIO) -> None:
        super().__init__()
        self._stream = stream
        self.dropped = 0
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_QUEUED_LINES)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self.dropped += 1
        except Exception:  # a message that does not match its arguments must not fail a request
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        self.dropped += 1

    def close(self) -> None:
        """Wait for the last lines, at most `CLOSE_TIMEOUT_S`."""
        super().close()
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return  # the writer is blocked, so waiting would be useless
        self._thread.join(CLOSE_TIMEOUT_S)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                _write_all(self._stream, line.encode(errors="backslashreplace") + b"\n")
            except (OSError, ValueError):  # no reader, no space, or closed
                self.dropped += 1


def start_logging(level: str, log_format: str, *, access: bool) -> BackgroundHandler:
    """Set up logging for this process. Call it once."""
    handler = BackgroundHandler(FileIO(STANDARD_ERROR, "w", closefd=False))
    handler.setFormatter(JsonFormatter() if log_format == JSON else TextFormatter())
    # `debug` applies to our own loggers only. Libraries log their input: Pillow the EXIF tags of a photo, including the place
    # where it was taken, and the form parser names and contents.
    logging.basicConfig(level="INFO" if level == "debug" else level.upper(), handlers=[handler])
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())
    if not access:
        logging.getLogger(ACCESS).setLevel(logging.CRITICAL)
    return handler


def keep_standard_streams() -> None:
    """Open /dev/null for each of the file descriptors 0, 1 and 2 that is closed. Otherwise the next socket would get it, and C
    libraries would write their messages for descriptor 2 into that socket.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor
    sys.stdout = sys.stdout or TextIOWrapper(FileIO(STANDARD_OUTPUT, "w", closefd=False))
    sys.stderr = sys.stderr or TextIOWrapper(FileIO(STANDARD_ERROR, "w", closefd=False))


def say(line: str) -> None:
    """Write `line` to standard output. Gives up after `CLOSE_TIMEOUT_S` if the reader blocks."""

    def write() -> None:
        with FileIO(STANDARD_OUTPUT, "w", closefd=False) as stream, suppress(OSError):
            _write_all(stream, line.encode() + b"\n")

    saying = threading.Thread(target=write, name="say", daemon=True)
    saying.start()
    saying.join(CLOSE_TIMEOUT_S)


def _write_all(stream: FileIO, content: bytes) -> None:
    """Write all of `content`: an unbuffered stream may accept only a part per call."""
    left = memoryview(content)
    while left:
        left = left[stream.write(left) :]


def _ids(record: logging.LogRecord) -> dict[str, str]:
    """The ids of the request that a line belongs to: the record's own, or the current one."""
    request = getattr(record, "request", None)
    if not isinstance(request, Record):
        request = current_or_none()
    if request is None:
        return {}
    return {name: value for name in ("request_id", "trace_id") if (value := getattr(request, name))}
