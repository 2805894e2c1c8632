"""A budget for the bytes of requests held in memory, over all protocols. Knows nothing of their contents.

Bytes are reserved before they are read. A client may hold as many bytes as are left free, so one client alone gets half and
the next one finds room.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.errors import Overloaded

# Streams stop being read when a quarter of the budget is left: the size of a frame already on its way is known only when it
# has arrived.
RESERVE_DIVISOR = 4


class ByteBudget:
    """`total` bytes to share; used from the event loop only. `on_change` receives the bytes held, `on_refusal` each refusal."""

    def __init__(
        self,
        total: int,
        *,
        on_change: Callable[[int], None] = lambda held: None,
        on_refusal: Callable[[], None] = lambda: None,
    ) -> None:
        self.total, self.held = total, 0
        self._on_change, self._on_refusal = on_change, on_refusal
        self._of_client: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []  # in order of arrival

    @contextmanager
    def account(self, client: str) -> Iterator["Account"]:
        """The account of one request or stream. Releases what it still holds at the end of the block."""
        account = Account(self, client)
        try:
            yield account
        finally:
            account.close()

    def fits(self, client: str, wanted: int) -> bool:
        """Whether this client may reserve `wanted` bytes now; for 0, whether it may read a frame of unknown size."""
        free, mine = self.free, self._of_client[client]
        if not wanted and free <= self.total // RESERVE_DIVISOR:
            return False
        return wanted <= free and (not mine or mine + wanted <= free - wanted)

    @property
    def free(self) -> int:
        return self.total - self.held

    def refusal(self, wanted: int) -> Overloaded:
        self._on_refusal()
        return Overloaded(f"other requests hold the memory that this one's {wanted} bytes need; try again in a moment")

    def change(self, client: str, by: int) -> None:
        self.held += by
        self._of_client[client] += by
        if not self._of_client[client]:
            del self._of_client[client]
        self._on_change(self.held)
        if by < 0:
            self._wake()

    async def wait(self, client: str, wanted: int) -> None:
        """Reserve `wanted` bytes as soon as they fit and no earlier request of the same client waits."""
        if self.fits(client, wanted) and not any(waiter.client == client for waiter in self._waiting):
            self.change(client, wanted)
            return
        waiter = _Waiter(client, wanted)
        self._waiting.append(waiter)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                self._wake()  # the waiters behind it may fit now
            elif waiter.reserved:
                self.change(client, -wanted)
            raise

    def _wake(self) -> None:
        """Wake every waiter that fits. One that does not fit blocks only later ones of the same client."""
        blocked: set[str] = set()
        for waiter in list(self._waiting):
            if waiter.client in blocked:
                continue
            if waiter.turn.done():  # just cancelled
                self._waiting.remove(waiter)
            elif self.fits(waiter.client, waiter.wanted):
                self._waiting.remove(waiter)
                waiter.reserved = True
                waiter.turn.set_result(None)
                self.change(waiter.client, waiter.wanted)
            else:
                blocked.add(waiter.client)


class Account:
    """The bytes held by one request or stream. Once closed it holds none, even if some of its work is still running."""

    def __init__(self, budget: ByteBudget, client: str) -> None:
        self._budget, self._client, self.held, self._open = budget, client, 0, True

    def reserve(self, count: int) -> None:
        """Reserve `count` bytes before reading them. Raises Overloaded when they do not fit."""
        if count and not self._budget.fits(self._client, count):
            raise self._budget.refusal(count)
        self._add(count)

    async def wait(self, count: int) -> None:
        """Reserve `count` bytes as soon as they fit."""
        await self._budget.wait(self._client, count)
        self.held += count

    async def wait_for_space(self) -> None:
        """Wait until a message of unknown size may be read."""
        await self._budget.wait(self._client, 0)

    def add_received(self, count: int) -> None:
        """Add bytes that have already arrived. Raises Overloaded when they must be discarded."""
        if count > self._budget.free:
            raise self._budget.refusal(count)
        self._add(count)

    def _add(self, count: int) -> None:
        if self._open:
            self.held += count
            self._budget.change(self._client, count)

    def release(self, count: int) -> None:
        """Release `count` bytes, at most all that are held."""
        if count := min(count, self.held):
            self.held -= count
            self._budget.change(self._client, -count)

    def close(self) -> None:
        """Release everything and hold nothing from now on."""
        self.release(self.held)
        self._open = False


@dataclass(eq=False)
class _Waiter:
    client: str
    wanted: int
    reserved: bool = False
    turn: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
