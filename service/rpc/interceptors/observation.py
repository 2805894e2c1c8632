"""Observes gRPC calls and streams: one span, one line in the log, one count for each; and waits for no reader for ever."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, nullcontext
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection

from service.errors import SlowClient
from service.limits.rate_limit import address_of_peer, network_of
from service.rpc.health import HEALTH
from service.rpc.statuses import status_of
from service.telemetry.observer import Observer
from service.telemetry.record import Record, current, set_current
from service.telemetry.request_ids import request_id_or_new

QUIET = tuple(f"/{name}/" for name in (HEALTH, reflection.SERVICE_NAME))  # asked for every few seconds
# For the client to let one answer through; until then all that the call has is kept. gRPC tells nothing of the progress within an
# answer, so that a large one gets as much more as a slow line needs.
READ_WITHIN_S, SLOWEST_BYTES_PER_S = 30.0, 100_000
STATUSES = {code.value[0]: code.name for code in grpc.StatusCode}


class ObservationInterceptor(grpc.aio.ServerInterceptor):
    """The outermost interceptor, so that what the others refuse is seen, too. Inside of it all calls are streams."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        headers = {key: value for key, value in details.invocation_metadata or () if isinstance(value, str)}
        record = Record("grpc", request_id=request_id_or_new(headers.get("x-request-id", "")))
        set_current(record)  # here already, for what the other interceptors find out
        handler = await continuation(details)
        record.quiet = details.method.startswith(QUIET)
        if handler is None:
            return None if record.quiet else self._unknown(record, headers)
        record.route = details.method.removeprefix("/")
        return self._stream(handler, record, headers)

    def _stream(self, handler: Any, record: Record, headers: Mapping[str, str]) -> Any:
        def read(content: bytes) -> Any:
            current().bytes_in += len(content)
            return handler.request_deserializer(content)

        async def call(requests: Any, context: Any) -> None:
            record.network = network_of(address_of_peer(context.peer()))
            unread = None
            try:
                with nullcontext() if record.quiet else self._observer.request(record, headers):
                    await answered(requests, context)
            except SlowClient as error:
                unread = status_of(error)
            if unread is not None:
                # All that the call had is given back. Its status stands behind the answer, for who reads on after all.
                await context.abort_with_status(unread)

        async def answered(requests: Any, context: Any) -> None:
            begun = False
            try:
                async with aclosing(handler.stream_stream(requests, context)) as responses:
                    async for response in responses:
                        answer: bytes = handler.response_serializer(response)
                        record.bytes_out += len(answer)
                        if not begun:
                            # Sent with the answer, grpc would take them for not sent until it is read, and no status could be.
                            await context.send_initial_metadata(())
                            begun = True
                        await _write(context, answer)
            except SlowClient as error:
                record.end(error.grpc, error.code)
                raise
            except grpc.aio.AbortError:
                _end(record, context)
                raise
            except grpc.aio.InternalError:
                record.end("CANCELLED", "cancelled")  # nobody is left to be told, as when a client goes
                raise

        return grpc.stream_stream_rpc_method_handler(call, read)

    def _unknown(self, record: Record, headers: Mapping[str, str]) -> Any:
        """What grpc would answer itself."""

        async def call(_: Any, context: Any) -> None:
            with self._observer.request(record, headers):
                record.end("UNIMPLEMENTED", "not-found")
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

        return grpc.stream_stream_rpc_method_handler(call)


async def _write(context: Any, answer: bytes) -> None:
    """Raises SlowClient when the answer is not read in time."""
    within_s = READ_WITHIN_S + len(answer) / SLOWEST_BYTES_PER_S
    try:
        async with asyncio.timeout(within_s):
            await context.write(answer)
    except TimeoutError as error:
        raise SlowClient(f"an answer of {len(answer)} bytes was not read within {within_s:.1f} s") from error


def _end(record: Record, context: Any) -> None:
    """After an abort: the status stands in the context, the code of the error in the record where it was one of ours."""
    code = context.code()  # a number or a name of the status, as whoever aborted gave it
    status = code.name if isinstance(code, grpc.StatusCode) else STATUSES.get(code, "UNKNOWN")
    record.end(status, record.outcome if record.outcome != "ok" else status.lower().replace("_", "-"))
