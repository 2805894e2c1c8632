"""uvicorn's HTTP connection with limits: on the size and duration of everything in a request besides its body, and on how
slowly a response is read. What the parser refuses is answered by the application, as any other error.

The parser has no limits: a header of 200 MB that never ended took 400 MB and blocked the event loop for 40 seconds, and so
did a trailer behind a chunked body.
"""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.errors import HeadTooLarge, MalformedRequest, ServiceError

MAX_HEAD_BYTES = 64 * 1024  # request line and headers; also trailers, or the framing between two chunks of a body
HEAD_TIMEOUT_S = 10.0  # for a head to arrive, and for the rest of a request that already has its response
CHUNK_BYTES = 16 * 1024
# A client that reads less than this within the interval is disconnected: its response stays in memory until it is read.
READ_INTERVAL_S, MIN_READ_BYTES = 30.0, 64 * 1024
HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")


class Connection(HttpToolsProtocol):
    """Closes a connection without a request in progress when no head, or no end of the previous request, arrives within
    `HEAD_TIMEOUT_S`; an idle connection is kept for uvicorn's `timeout_keep_alive`.
    """

    _fed = 0  # bytes given to the parser since the last piece of body, and since a head or a request started or ended
    _reads_head = False
    _idle = False  # between two requests
    _refused = False  # nothing more is read
    _body_error: ServiceError | None = None
    _timer: asyncio.TimerHandle | None = None
    _reader_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_timer()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader(None)

    def resume_writing(self) -> None:
        self._stop_watching_reader()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_watching_reader()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._fed, self._reads_head = 0, True
        self._start_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._fed, self._reads_head = 0, False
        self._stop_timer()
        if error := self._head_error():
            self._refused = True
            self.scope["state"]["refusal"] = error
        super().on_headers_complete()
        self.cycle.receive = self._checked(self.cycle)  # type: ignore[method-assign, assignment]

    def on_body(self, body: bytes) -> None:
        self._fed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._fed = 0
        if not self._in_progress():
            self._start_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.cycle.more_body:
            self._start_timer()  # in addition to uvicorn's, which any byte of an unfinished request stops
        else:
            self._idle = True  # uvicorn's timer closes it

    def data_received(self, data: bytes) -> None:
        if self._idle:
            self._idle = False
            self._start_timer()
        for begin in range(0, len(data), CHUNK_BYTES):
            if self.transport.is_closing() or self._refused:
                return
            piece = data[begin : begin + CHUNK_BYTES]
            self._fed += len(piece)
            # The head may have started within the last piece; its exact size is checked when it is complete.
            if self._fed > MAX_HEAD_BYTES + (CHUNK_BYTES if self._reads_head else 0):
                self._too_large()
                return
            super().data_received(piece)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for what the parser refuses."""
        reason = str(sys.exception() or msg)[:200]
        self._refuse(MalformedRequest(f"the request is not valid HTTP: {reason}"))

    def _head_error(self) -> ServiceError | None:
        """What is wrong with a complete head, though the parser accepts it."""
        if self._head_bytes() > MAX_HEAD_BYTES:
            return _head_too_large()
        hosts = [value for name, value in self.headers if name == b"host"]
        if self.parser.get_http_version() != "1.0" and len(hosts) != 1:
            return MalformedRequest(f"expected one Host header (RFC 9112, 3.2), got {len(hosts)}")
        if any(not HOST.fullmatch(host) for host in hosts):
            return MalformedRequest("the Host header is not a host name with an optional port")
        return None

    def _head_bytes(self) -> int:
        request_line = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n")
        return request_line + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers) + len("\r\n")

    def _refuse(self, error: ServiceError) -> None:
        """Have the application answer with `error`, after the responses that are due. Nothing more is read."""
        self._refused = True
        if self._in_progress() and self.cycle.more_body:
            self._body_error, self.cycle.keep_alive = error, False
            self.cycle.message_event.set()
            return
        due = self._in_progress()
        self.cycle = self._refusal_cycle(error)
        if due:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)

    def _refusal_cycle(self, error: ServiceError) -> RequestResponseCycle:
        """A request that stands for the bytes that were no request."""
        super().on_message_begin()
        self.scope["method"], self.scope["path"], self.scope["raw_path"], self.scope["query_string"] = (
            "_OTHER",
            "",
            b"",
            b"",
        )
        self.scope["state"]["refusal"] = error
        cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        cycle.more_body = False
        return cycle

    def _checked(self, cycle: RequestResponseCycle) -> Callable[[], Awaitable[Any]]:
        receive = cycle.receive

        async def checked() -> Any:
            message = await receive()
            if self._body_error is None or message["type"] != "http.request":
                return message
            if cycle.response_started:  # too late for another one
                return {"type": "http.disconnect"}
            raise self._body_error

        return checked

    def _in_progress(self) -> bool:
        """Whether a response is due. With pipelined requests, `cycle` is the last one."""
        return self.cycle is not None and not self.cycle.response_complete

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if self._in_progress():  # half of the next head has arrived
            self._start_timer()
        elif not self.transport.is_closing():
            self.transport.close()

    def _too_large(self) -> None:
        if self._in_progress():  # a refusal would be taken for its response
            self.transport.abort()
        else:
            self._refuse(_head_too_large())

    def _watch_reader(self, before: int | None) -> None:
        """`before` is the number of unread bytes at the previous check."""
        unread = self.transport.get_write_buffer_size()
        if before is not None and before - unread < MIN_READ_BYTES:
            self.transport.abort()
            return
        self._reader_timer = self.loop.call_later(READ_INTERVAL_S, self._watch_reader, unread)

    def _stop_watching_reader(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(f"expected a request head of at most {MAX_HEAD_BYTES} bytes, got more")
