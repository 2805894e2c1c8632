"""Reads the requests of all calls within the byte budget."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.errors import BodyTooLarge, MalformedRequest, ServiceError, SlowClient
from service.limits.held_bytes import Account, ByteBudget
from service.recovery import MeshRecovery
from service.rpc.health import HEALTH
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.reflection import is_reflection
from service.rpc.statuses import refuse
from service.telemetry.record import current

RECONSTRUCT = f"/{pb.DESCRIPTOR.services_by_name['ReconstructionService'].full_name}/Reconstruct"
UNREADABLE = "the bytes are not a valid message of this call"
# Health checks need no key. Their messages, which may be as long as any other, share a budget of their own, in which one
# caller has room for two at once.
HEALTH_MESSAGES = 4
MAX_REFLECTION_BYTES = 64 * 1024  # the name of a file or a symbol; the reply repeats it
THREADED_PARSE_BYTES = 2**20  # parsing copies the image: 0.1 ms for a megabyte, but 18 for fifteen, on fresh pages
Parser = Callable[[bytes], Any]


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Reads the messages of all calls. The only message of a unary call is read once there is room for it and its image.

    gRPC sees every call as a stream, because it would read the message of a unary call before any interceptor is asked.
    Bytes that do not parse are answered with a sentence; gRPC itself would send the text of the exception.
    """

    def __init__(self, core: MeshRecovery, *, max_message_bytes: int, idle_s: float) -> None:
        self._core, self._max_bytes, self._idle_s = core, max_message_bytes, idle_s
        self._health_budget = ByteBudget(HEALTH_MESSAGES * max_message_bytes)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        if handler is None:
            return None
        respond = self._responder(handler, details.method)

        async def call(_: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async with aclosing(respond(context)) as responses:
                    async for response in responses:
                        yield response
            except ServiceError as error:
                await refuse(context, error)

        return grpc.stream_stream_rpc_method_handler(call, bytes, handler.response_serializer)

    def _responder(self, handler: Any, method: str) -> Callable[[Any], Any]:
        """The responses of a call, by its kind."""
        budget = self._health_budget if method.startswith(f"/{HEALTH}/") else self._core.held
        parse = _parser(handler, MAX_REFLECTION_BYTES if is_reflection(method) else self._max_bytes)
        if handler.request_streaming:
            return lambda context: handler.stream_stream(_Messages(context, parse), context)
        if handler.response_streaming:
            return lambda context: self._unary_stream(handler, parse, budget, context)
        return lambda context: self._unary(handler, parse, budget, context, capacity=method == RECONSTRUCT)

    async def _unary_stream(self, handler: Any, parse: Parser, budget: ByteBudget, context: Any) -> AsyncIterator[Any]:
        with budget.account(current().caller) as account:
            request = await self._request(context, account, parse)
            responses = handler.unary_stream(request, context)
            del request
        async with aclosing(responses):
            async for response in responses:
                yield response

    async def _unary(
        self, handler: Any, parse: Parser, budget: ByteBudget, context: Any, *, capacity: bool
    ) -> AsyncIterator[Any]:
        yield await self._unary_response(handler, parse, budget, context, capacity=capacity)

    async def _unary_response(
        self, handler: Any, parse: Parser, budget: ByteBudget, context: Any, *, capacity: bool
    ) -> Any:
        """A function of its own: the message, and the room for it, are released before the response is written."""
        with budget.account(current().caller) as account:
            if capacity:
                self._core.check_capacity(timeout_s=context.time_remaining())
            return await handler.unary_unary(await self._request(context, account, parse), context)

    async def _request(self, context: Any, account: Account, parse: Parser) -> Any:
        return await _parsed(await self._message(context, account), parse)

    async def _message(self, context: Any, account: Account) -> bytes:
        """The only message. Its length is known once it has arrived, so room for the longest one is reserved."""
        try:
            async with asyncio.timeout(self._idle_s):
                await account.wait(self._max_bytes)
                content = await context.read()
        except TimeoutError as error:
            raise SlowClient(f"the message did not arrive within {self._idle_s:g} s") from error
        if content is grpc.aio.EOF:
            raise MalformedRequest(UNREADABLE)
        account.release(self._max_bytes - len(content))
        return content


class _Messages:
    """The messages of a stream, parsed. Read from the context, because the iterator that comes with a call keeps each one
    until the next.
    """

    def __init__(self, context: Any, parse: Parser) -> None:
        self._context, self._parse = context, parse

    def __aiter__(self) -> "_Messages":
        return self

    async def __anext__(self) -> Any:
        content = await self._context.read()
        if content is grpc.aio.EOF:
            raise StopAsyncIteration
        return await _parsed(content, self._parse)


def _parser(handler: Any, max_bytes: int) -> Parser:
    def parse(content: bytes) -> Any:
        if len(content) > max_bytes:
            raise BodyTooLarge(f"expected a message of at most {max_bytes} bytes, got {len(content)}")
        try:
            return handler.request_deserializer(content)
        except DecodeError as error:
            raise MalformedRequest(UNREADABLE) from error

    return parse


async def _parsed(content: bytes, parse: Parser) -> Any:
    """Large messages are parsed in a thread, so that the event loop runs between the copies that parsing makes."""
    return parse(content) if len(content) < THREADED_PARSE_BYTES else await asyncio.to_thread(parse, content)
