"""Refuses calls without a valid key, and calls over the rate limit, before their message is parsed."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc

from service.access.authenticator import AccessControl
from service.errors import RateLimited, Unauthenticated
from service.limits.rate_limit import address_of_peer
from service.rpc.health import HEALTH
from service.rpc.statuses import refuse


class AuthenticationInterceptor(grpc.aio.ServerInterceptor):
    """Checks every call but health checks."""

    def __init__(self, access: AccessControl) -> None:
        self._access = access

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        if handler is None or details.method.startswith(f"/{HEALTH}/"):
            return handler
        headers = {key: value for key, value in details.invocation_metadata or () if isinstance(value, str)}

        async def call(requests: Any, context: Any) -> Any:
            try:
                await self._access.admit(headers, address_of_peer(context.peer()))
            except (Unauthenticated, RateLimited) as error:
                await refuse(context, error)
            async with aclosing(handler.stream_stream(requests, context)) as responses:
                async for response in responses:
                    yield response

        return grpc.stream_stream_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)
