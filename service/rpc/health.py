"""The standard health service (grpc.health.v1): one status for the server and for the reconstruction service.

The messages come from grpcio-health-checking. Its servicer is not used: it forgets all watchers of a service as soon as one
of them leaves, and keeps the whole request of each.
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
MAX_WATCHES = 1000  # counted apart from the streams, because watching needs no key


class Health:
    """Reports whether `service` is serving, to Check and Watch. Not thread-safe. Raises ServiceErrors."""

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
        """End every watch after it has sent the last status."""
        self._stopped = True
        self._wake()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Each request is reduced to whether the service name in it is known; nothing else of it is kept."""
        write = pb.HealthCheckResponse.SerializeToString
        calls = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, self._known, write),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, self._known, write),
        }
        return grpc.method_handlers_generic_handler(HEALTH, calls)

    def _known(self, content: bytes) -> bool:
        return pb.HealthCheckRequest.FromString(content).service in self._names

    async def _check(self, known: bool, context: Context) -> pb.HealthCheckResponse:
        if not known:
            raise NotFound("no service of this name")
        return self._answer(known)

    async def _watch(self, known: bool, context: Context) -> AsyncIterator[pb.HealthCheckResponse]:
        sent = None
        with self._count_watch():
            while True:
                changed = self._changed
                if (answer := self._answer(known)) != sent:
                    yield answer
                    sent = answer
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
    def _count_watch(self) -> Iterator[None]:
        """A caller may have as many watches as it leaves free, so one caller alone gets half of them."""
        caller, free = current().caller, MAX_WATCHES - self._watches.total()
        if self._watches[caller] >= free:
            raise TooManyStreams("too many health watches are open; ask again later", retry_after_s=5)
        self._watches[caller] += 1
        try:
            yield
        finally:
            self._watches[caller] -= 1
            if not self._watches[caller]:
                del self._watches[caller]
