"""Observes gRPC calls and streams: one span, one log line and one count each. Ends calls whose client stops reading."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, nullcontext
from typing import Any

import grpc

from service.errors import SlowClient
from service.limits.rate_limit import address_of_peer, network_of
from service.rpc.health import HEALTH
from service.rpc.reflection import is_reflection
from service.rpc.statuses import status_of
from service.telemetry.observer import Observer
from service.telemetry.record import Record, current, set_current
from service.telemetry.request_ids import request_id_or_new

# For the client to read one response; until then everything that the call holds stays in memory. gRPC reports no progress
# within a response, so a large one gets additional time for a slow line.
READ_TIMEOUT_S, MIN_BYTES_PER_S = 30.0, 100_000
STATUSES = {code.value[0]: code.name for code in grpc.StatusCode}


class ObservationInterceptor(grpc.aio.ServerInterceptor):
    """The outermost interceptor, so that it also sees what the others refuse. Inside of it all calls are streams."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        headers = {key: value for key, value in details.invocation_metadata or () if isinstance(value, str)}
        record = Record("grpc", request_id=request_id_or_new(headers.get("x-request-id", "")))
        set_current(record)  # set here already, because the other interceptors fill it
        handler = await continuation(details)
        # Asked for every few seconds: not logged or traced.
        record.quiet = details.method.startswith(f"/{HEALTH}/") or is_reflection(details.method)
        if handler is None:
            return None if record.quiet else self._unknown(record, headers)
        record.route = details.method.removeprefix("/")
        return self._observed(handler, record, headers)

    def _observed(self, handler: Any, record: Record, headers: Mapping[str, str]) -> Any:
        def read(content: bytes) -> Any:
            current().bytes_in += len(content)
            return handler.request_deserializer(content)

        async def call(requests: Any, context: Any) -> None:
            record.network = network_of(address_of_peer(context.peer()))
            unread = None
            try:
                with nullcontext() if record.quiet else self._observer.request(record, headers):
                    await _respond(handler, requests, context, record)
            except SlowClient as error:
                unread = status_of(error)
            if unread is not None:
                # Everything that the call held is released. The status waits behind the response, should it be read after all.
                await context.abort_with_status(unread)

        return grpc.stream_stream_rpc_method_handler(call, read)

    def _unknown(self, record: Record, headers: Mapping[str, str]) -> Any:
        """The response that gRPC itself would give to an unknown method."""

        async def call(_: Any, context: Any) -> None:
            with self._observer.request(record, headers):
                record.end("UNIMPLEMENTED", "not-found")
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

        return grpc.stream_stream_rpc_method_handler(call)


async def _respond(handler: Any, requests: Any, context: Any, record: Record) -> None:
    """Write the responses of a call and record how it ends."""
    started = False
    try:
        async with aclosing(handler.stream_stream(requests, context)) as responses:
            async for response in responses:
                content: bytes = handler.response_serializer(response)
                record.bytes_out += len(content)
                if not started:
                    # Sent along with a response that is not read, they would count as unsent, and no status could follow.
                    await context.send_initial_metadata(())
                    started = True
                await _write(context, content)
    except SlowClient as error:
        record.end(error.grpc, error.code)
        raise
    except grpc.aio.AbortError:
        _record_abort(record, context)
        raise
    except grpc.aio.InternalError:
        record.end("CANCELLED", "cancelled")  # the client has gone
        raise


async def _write(context: Any, content: bytes) -> None:
    """Raises SlowClient when the response is not read in time."""
    timeout_s = READ_TIMEOUT_S + len(content) / MIN_BYTES_PER_S
    try:
        async with asyncio.timeout(timeout_s):
            await context.write(content)
    except TimeoutError as error:
        raise SlowClient(f"a response of {len(content)} bytes was not read within {timeout_s:.1f} s") from error


def _record_abort(record: Record, context: Any) -> None:
    """After an abort the status is in the context, and the code of a ServiceError in the record."""
    code = context.code()  # a number or a StatusCode, as passed to abort
    status = code.name if isinstance(code, grpc.StatusCode) else STATUSES.get(code, "UNKNOWN")
    record.end(status, record.outcome if record.outcome != "ok" else status.lower().replace("_", "-"))
