"""How many bytes of requests may be held at once, over all protocols. Knows nothing of what they are.

Whoever wants to read something takes its bytes first. A client that holds some already may hold as many as are left free, so
that one alone holds half, and whoever comes next finds room.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.errors import Overloaded

# Part of the sum that is left for what is on its way already when streams stop being read: a frame's size is known when it
# has come.
RESERVE_DIVISOR = 4


class ByteBudget:
    """A sum of bytes for the event loop to share out. `on_change` is told how many are held, `on_refusal` of each refusal."""

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
        self._waiting: list[_Waiter] = []  # in the order in which they came

    @contextmanager
    def account(self, client: str) -> Iterator["Account"]:
        """What one request or stream holds; whatever that is at the end of the block is given back."""
        account = Account(self, client)
        try:
            yield account
        finally:
            account.close()

    def fits(self, client: str, wanted: int) -> bool:
        """Whether this client may have so many bytes now; for 0, whether it may read on, however many come."""
        free, mine = self.free, self._of_client[client]
        if not wanted and free <= self.total // RESERVE_DIVISOR:
            return False
        return wanted <= free and (not mine or mine + wanted <= free - wanted)

    @property
    def free(self) -> int:
        return self.total - self.held

    def refusal(self, wanted: int) -> Overloaded:
        self._on_refusal()
        return Overloaded(
            f"other requests hold the memory that this one's {wanted} bytes would take; ask again in a moment"
        )

    def change(self, client: str, by: int) -> None:
        self.held += by
        self._of_client[client] += by
        if not self._of_client[client]:
            del self._of_client[client]
        self._on_change(self.held)
        if by < 0:
            self._wake()

    async def wait(self, client: str, wanted: int) -> None:
        """Take so many bytes, as soon as there is room and nobody of the same client came before."""
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
                self._wake()  # those behind it may have room
            elif waiter.taken:
                self.change(client, -wanted)
            raise

    def _wake(self) -> None:
        """Who has room goes on; who has none holds back only those of the same client."""
        stopped: set[str] = set()
        for waiter in list(self._waiting):
            if waiter.client in stopped:
                continue
            if waiter.turn.done():  # cancelled a moment ago
                self._waiting.remove(waiter)
            elif self.fits(waiter.client, waiter.wanted):
                self._waiting.remove(waiter)
                waiter.taken = True
                waiter.turn.set_result(None)
                self.change(waiter.client, waiter.wanted)
            else:
                stopped.add(waiter.client)


class Account:
    """The bytes that one request or stream holds. Closed it holds none any more, whatever work of it is still under way."""

    def __init__(self, budget: ByteBudget, client: str) -> None:
        self._budget, self._client, self.held, self._open = budget, client, 0, True

    def reserve(self, count: int) -> None:
        """Raises Overloaded when there is no room for so many."""
        if count and not self._budget.fits(self._client, count):
            raise self._budget.refusal(count)
        self._add(count)

    async def wait(self, count: int) -> None:
        """Take so many as soon as there is room."""
        await self._budget.wait(self._client, count)
        self.held += count

    async def wait_for_space(self) -> None:
        """Until there is some room: how much is needed will be known when it has come."""
        await self._budget.wait(self._client, 0)

    def add_received(self, count: int) -> None:
        """Take what has come already. Raises Overloaded when it must be thrown away."""
        if count > self._budget.free:
            raise self._budget.refusal(count)
        self._add(count)

    def _add(self, count: int) -> None:
        if self._open:
            self.held += count
            self._budget.change(self._client, count)

    def release(self, count: int) -> None:
        """Give back so many, and no more than are held."""
        if count := min(count, self.held):
            self.held -= count
            self._budget.change(self._client, -count)

    def close(self) -> None:
        """Give back all of it, for good."""
        self.release(self.held)
        self._open = False


@dataclass(eq=False)
class _Waiter:
    client: str
    wanted: int
    taken: bool = False
    turn: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
