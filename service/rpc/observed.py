"""Observes gRPC calls and streams: one span, one line in the log, one count for each."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import grpc
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from service.ratelimit import address_of_peer, network_of
from service.requestids import sane_id
from service.telemetry.observer import Observer
from service.telemetry.record import Record, current, remember

QUIET = tuple(f"/{name}/" for name in (health.SERVICE_NAME, reflection.SERVICE_NAME))  # asked for every few seconds
STATUSES = {code.value[0]: code.name for code in grpc.StatusCode}


class Observed(grpc.aio.ServerInterceptor):
    """The outermost interceptor, so that what the others refuse is seen, too. Inside of it all calls are streams."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        headers = {key: value for key, value in details.invocation_metadata or () if isinstance(value, str)}
        record = Record("grpc", request_id=sane_id(headers.get("x-request-id", "")))
        remember(record)  # here already, for what the other interceptors find out
        handler = await continuation(details)
        if details.method.startswith(QUIET):
            return handler
        if handler is None:
            return self._unknown(record, headers)
        record.route = details.method.removeprefix("/")
        return self._stream(handler, record, headers)

    def _stream(self, handler: Any, record: Record, headers: Mapping[str, str]) -> Any:
        def read(content: bytes) -> Any:
            current().bytes_in += len(content)
            return handler.request_deserializer(content)

        async def call(requests: Any, context: Any) -> AsyncIterator[bytes]:
            record.network = network_of(address_of_peer(context.peer()))
            with self._observer.request(record, headers):
                try:
                    async with aclosing(handler.stream_stream(requests, context)) as responses:
                        async for response in responses:
                            answer: bytes = handler.response_serializer(response)
                            record.bytes_out += len(answer)
                            yield answer
                except grpc.aio.AbortError:
                    _end(record, context)
                    raise
                except grpc.aio.InternalError:
                    record.end("CANCELLED", "cancelled")  # nobody is left to be told, as when a client goes
                    raise

        return grpc.stream_stream_rpc_method_handler(call, read)

    def _unknown(self, record: Record, headers: Mapping[str, str]) -> Any:
        """What grpc would answer itself."""

        async def call(_: Any, context: Any) -> AsyncIterator[bytes]:
            with self._observer.request(record, headers):
                record.end("UNIMPLEMENTED", "not-found")
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
            yield b""  # never reached; makes this a generator, as a streaming handler must be

        return grpc.stream_stream_rpc_method_handler(call)


def _end(record: Record, context: Any) -> None:
    """After an abort: the status stands in the context, the code of the error in the record where it was one of ours."""
    code = context.code()  # a number or a name of the status, as whoever aborted gave it
    status = code.name if isinstance(code, grpc.StatusCode) else STATUSES.get(code, "UNKNOWN")
    record.end(status, record.outcome if record.outcome != "ok" else status.lower().replace("_", "-"))
