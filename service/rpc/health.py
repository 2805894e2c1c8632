"""The standard health service (grpc.health.v1): one status, for the server and for our service alike.

grpcio-health-checking has the messages. Its servicer forgets all watchers of a service as soon as one of them leaves, and
keeps each one's whole request.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import grpc
from grpc_health.v1 import health_pb2 as pb

from service.errors import Draining, NotFound, TooManyStreams
from service.telemetry.record import current

Context: TypeAlias = grpc.aio.ServicerContext
HEALTH = pb.DESCRIPTOR.services_by_name["Health"].full_name
# Who watches needs no key, and so these are counted by themselves and not among the streams.
MAX_WATCHES = 1000


class Health:
    """Tells who asks, and whoever watches, whether `service` is served. For the event loop. Raises ServiceErrors."""

    def __init__(self, service: str) -> None:
        self._names = ("", service)
        self._serving, self._stopped = False, False
        self._changed = asyncio.Event()  # a new one after each change
        self._watches: Counter[str] = Counter()  # by caller

    def set(self, serving: bool) -> None:
        if serving != self._serving:
            self._serving = serving
            self._wake()

    def stop(self) -> None:
        """Every watch ends, when it has told the last status."""
        self._stopped = True
        self._wake()

    def handlers(self) -> grpc.GenericRpcHandler:
        """The calls get, in the place of a request, whether the name in it is known: nothing else of it is kept."""
        write = pb.HealthCheckResponse.SerializeToString
        calls = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, self._is_known, write),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, self._is_known, write),
        }
        return grpc.method_handlers_generic_handler(HEALTH, calls)

    def _is_known(self, content: bytes) -> bool:
        return pb.HealthCheckRequest.FromString(content).service in self._names

    async def _check(self, known: bool, context: Context) -> pb.HealthCheckResponse:
        if not known:
            raise NotFound("there is no service of this name")
        return self._answer(known)

    async def _watch(self, known: bool, context: Context) -> AsyncIterator[pb.HealthCheckResponse]:
        told = None
        with self._one_more_watch():
            while True:
                changed = self._changed
                if (answer := self._answer(known)) != told:
                    yield answer
                    told = answer
                if self._stopped:
                    raise Draining("the service is going down; connect again")
                await changed.wait()

    def _answer(self, known: bool) -> pb.HealthCheckResponse:
        if not known:
            return pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVICE_UNKNOWN)
        serving = pb.HealthCheckResponse.SERVING if self._serving else pb.HealthCheckResponse.NOT_SERVING
        return pb.HealthCheckResponse(status=serving)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    @contextmanager
    def _one_more_watch(self) -> Iterator[None]:
        """One caller alone gets half of them: as many as it leaves free."""
        caller, left = current().caller, MAX_WATCHES - self._watches.total()
        if self._watches[caller] >= left:
            raise TooManyStreams("too many watch this service's health; ask again later", retry_after_s=5)
        self._watches[caller] += 1
        try:
            yield
        finally:
            self._watches[caller] -= 1
            if not self._watches[caller]:
                del self._watches[caller]
