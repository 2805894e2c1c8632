"""uvicorn's connection with bounds, in bytes and in seconds, on what a request has besides its body, and on how slowly an
answer is read.

The parser has none: one header of 200 MB that never ended took 400 MB and kept the event loop busy for 40 seconds, and so
did a trailer behind a chunked body.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024  # request line and all headers; also all trailers, or what comes between two pieces of body
HEAD_TIMEOUT_S = 10.0  # for a head to arrive, and for the rest of a request that has its answer already
CHUNK_BYTES = 16 * 1024
# Who takes less of an answer in so long is hung up on: what is not taken stays in memory here.
READ_EVERY_S, READ_BYTES = 30.0, 64 * 1024


class Connection(HttpToolsProtocol):
    """A connection that has no request in work is closed when neither a head nor the end of the request before it comes for
    `HEAD_TIMEOUT_S`.
    """

    _fed = 0  # bytes that the parser took since the last piece of body, and since a head or a request began or ended
    _timer: asyncio.TimerHandle | None = None
    _reader_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin_timer()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader(None)

    def resume_writing(self) -> None:
        self._forget_reader()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_timer()
        self._forget_reader()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._fed = 0
        self._begin_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._fed = 0
        self._end_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._fed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._fed = 0
        if not self._in_work():
            self._begin_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._begin_timer()  # beside uvicorn's, which any byte of an unfinished request ends

    def data_received(self, data: bytes) -> None:
        for begin in range(0, len(data), CHUNK_BYTES):
            if self.transport.is_closing():
                return
            piece = data[begin : begin + CHUNK_BYTES]
            self._fed += len(piece)
            if self._fed > MAX_HEAD_BYTES:
                self._too_large()
                return
            super().data_received(piece)

    def _in_work(self) -> bool:
        """Whether an answer is due. Of several requests, one behind the other, `cycle` is the last."""
        return self.cycle is not None and not self.cycle.response_complete

    def _begin_timer(self) -> None:
        self._end_timer()
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_slow)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if self._in_work():  # half of the next head has come
            self._begin_timer()
        elif not self.transport.is_closing():
            self.transport.close()

    def _too_large(self) -> None:
        if self._in_work():  # a refusal would be taken for its answer
            self.transport.abort()
        else:
            self.send_400_response("The head of the request is too large.")

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
