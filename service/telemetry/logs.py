"""The log: lines of text or of JSON on standard error, written by a thread of their own.

The standard library does it all: uvicorn, grpc and ONNX Runtime's Python log through it anyhow, and a line of JSON is one
short formatter. A reader that is gone, a full disk, or a pipe that nobody empties costs lines, never a request.
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
MAX_QUEUED_LINES = 4096  # that wait to be written; more are dropped
CLOSE_TIMEOUT_S = 1.0  # what a stop of the service waits for the last lines
TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class TextFormatter(logging.Formatter):
    """For people: the request's id stands at the end of the line."""

    def __init__(self) -> None:
        super().__init__(TEXT_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{name}={value}" for name, value in _ids(record).items())
        return f"{super().formatMessage(record)} {ids}".rstrip()


class JsonFormatter(logging.Formatter):
    """For machines: one object per line, whatever is in the message."""

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
    """Hands lines to a thread that writes them to `stream`, which has no buffer: Python could not end while a thread that
    is stuck holds the lock of one.
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
        except Exception:  # a message that does not fit its arguments must not end a request
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        self.dropped += 1

    def close(self) -> None:
        """Wait for the last lines, for a moment."""
        super().close()
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return  # the writer is stuck, and so would we be
        self._thread.join(CLOSE_TIMEOUT_S)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                _write_all(self._stream, line.encode(errors="backslashreplace") + b"\n")
            except (OSError, ValueError):  # nobody reads, no room, or closed
                self.dropped += 1


def start_logging(level: str, log_format: str, *, access: bool) -> BackgroundHandler:
    """Set up the log of this process, once."""
    handler = BackgroundHandler(FileIO(STANDARD_ERROR, "w", closefd=False))
    handler.setFormatter(JsonFormatter() if log_format == JSON else TextFormatter())
    # `debug` is for our own code. Others write what they are given: Pillow the tags of a photo, with the place where it was
    # taken, and the parser of forms names and content.
    logging.basicConfig(level="INFO" if level == "debug" else level.upper(), handlers=[handler])
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())
    if not access:
        logging.getLogger(ACCESS).setLevel(logging.CRITICAL)
    return handler


def keep_standard_streams() -> None:
    """Give the numbers 0, 1 and 2 to /dev/null where nobody has opened them. The next socket would get them otherwise, and
    libraries in C write their complaints to number 2, whatever that is.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    sys.stdout = sys.stdout or TextIOWrapper(FileIO(STANDARD_OUTPUT, "w", closefd=False))
    sys.stderr = sys.stderr or TextIOWrapper(FileIO(STANDARD_ERROR, "w", closefd=False))


def say(line: str) -> None:
    """Write `line` to standard output; when nobody takes it, so be it."""

    def write() -> None:
        with FileIO(STANDARD_OUTPUT, "w", closefd=False) as stream, suppress(OSError):
            _write_all(stream, line.encode() + b"\n")

    saying = threading.Thread(target=write, name="say", daemon=True)
    saying.start()
    saying.join(CLOSE_TIMEOUT_S)


def _write_all(stream: FileIO, content: bytes) -> None:
    """Without a buffer, a write may take a part of what it is given."""
    left = memoryview(content)
    while left:
        left = left[stream.write(left) :]


def _ids(record: logging.LogRecord) -> dict[str, str]:
    """The ids of the request that a line is about: the one that came with it, or the one at hand."""
    request = getattr(record, "request", None)
    if not isinstance(request, Record):
        request = current_or_none()
    if request is None:
        return {}
    return {name: value for name in ("request_id", "trace_id") if (value := getattr(request, name))}
