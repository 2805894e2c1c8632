"""uvicorn's connection with a bound on the head of a request, in bytes and in seconds, and on how slowly an answer is read.

The parser has none: one header of 200 MB that never ended took 400 MB and kept the event loop busy for 40 seconds.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024  # request line and all headers
HEAD_TIMEOUT_S = 10.0  # for them to arrive
PIECE = 16 * 1024
# Who takes less of an answer in so long is hung up on: what is not taken stays in memory here.
READ_EVERY_S, READ_BYTES = 30.0, 64 * 1024


class Connection(HttpToolsProtocol):
    """A connection whose client has said nothing, or half of a head, for `HEAD_TIMEOUT_S` is closed."""

    _in_head, _head_bytes = True, 0
    _timer: asyncio.TimerHandle | None = None
    _reader_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader(None)

    def resume_writing(self) -> None:
        self._forget_reader()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        self._forget_reader()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._begin_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        while data and self._in_head and not self.transport.is_closing():
            piece, data = data[:PIECE], data[PIECE:]
            self._head_bytes += len(piece)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The head of the request is too large.")
                return
            super().data_received(piece)
        if data and not self.transport.is_closing():
            super().data_received(data)

    def _begin_head(self) -> None:
        self._end_head()
        self._in_head, self._head_bytes = True, 0
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_slow)

    def _end_head(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _watch_reader(self, before: int | None) -> None:
        """`before` is what was waiting to be read the last time."""
        left = self.transport.get_write_buffer_size()
        if before is not None and before - left < READ_BYTES:
            self.transport.abort()
            return
        self._reader_timer = self.loop.call_later(READ_EVERY_S, self._watch_reader, left)

    def _forget_reader(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None
