"""The byte budget of all requests: what may be read, what waits, and that everything is released."""

import asyncio

import pytest

from service.errors import Overloaded
from service.limits.held_bytes import RESERVE_DIVISOR, ByteBudget

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


def test_reserved_bytes_are_held_until_the_end_of_the_block():
    seen: list[int] = []
    budget = ByteBudget(100, on_change=seen.append)

    with budget.account("a") as account:
        account.reserve(60)
        account.release(10)
        assert budget.held == account.held == 50

    assert budget.held == 0 and seen == [60, 50, 0]


def test_bytes_that_do_not_fit_are_refused_before_they_are_read():
    refusals: list[None] = []
    budget = ByteBudget(100, on_refusal=lambda: refusals.append(None))

    with budget.account("a") as first, budget.account("b") as second:
        first.reserve(60)
        with pytest.raises(Overloaded, match="the memory that this one's 50 bytes need"):
            second.reserve(50)
        second.reserve(0)  # a request without a body needs no room

    assert len(refusals) == 1


def test_one_client_leaves_half_to_others_but_a_first_request_may_take_all():
    budget = ByteBudget(100)

    with budget.account("many") as one, budget.account("many") as two, budget.account("other") as three:
        one.reserve(40)
        two.reserve(10)
        with pytest.raises(Overloaded):
            two.reserve(1)
        three.reserve(50)
    with budget.account("many") as one:
        one.reserve(100)


async def test_a_waiter_goes_on_when_it_fits_and_blocks_only_the_same_client():
    budget = ByteBudget(100)
    with budget.account("a") as first, budget.account("a") as second, budget.account("b") as other:
        first.reserve(50)
        waiting = asyncio.ensure_future(second.wait(30))
        await settle()
        await asyncio.wait_for(other.wait(20), 5)
        assert not waiting.done()

        first.release(40)
        await asyncio.wait_for(waiting, 5)
        assert budget.held == 60


async def test_waiting_is_in_order_and_cancellation_releases_the_bytes():
    budget = ByteBudget(100)
    order: list[str] = []
    with (
        budget.account("x") as holder,
        budget.account("a") as one,
        budget.account("a") as two,
        budget.account("a") as last,
    ):
        holder.reserve(100)

        async def wait(name: str, account) -> None:
            await account.wait(20)
            order.append(name)

        tasks = [asyncio.ensure_future(wait(*item)) for item in (("one", one), ("two", two), ("last", last))]
        await settle()
        tasks[1].cancel()
        await settle()
        holder.release(100)
        asyncio.get_running_loop().call_soon(tasks[0].cancel)  # cancelled before or after its turn: both are consistent
        await settle()
        await asyncio.gather(*tasks, return_exceptions=True)

        assert order in (["one", "last"], ["last"]) and tasks[1].cancelled()
        assert budget.held == one.held + last.held
    assert budget.held == 0 and not budget._waiting


async def test_streams_are_not_read_when_little_is_left_and_late_arrivals_are_bounded():
    budget = ByteBudget(100)
    with budget.account("a") as one, budget.account("b") as two, budget.account("c") as three:
        await asyncio.wait_for(one.wait_for_space(), 5)
        one.add_received(100 - 100 // RESERVE_DIVISOR)
        reading = asyncio.ensure_future(two.wait_for_space())
        await settle()
        assert not reading.done()

        three.add_received(20)  # had been sent already
        with pytest.raises(Overloaded):
            three.add_received(10)
        one.release(50)
        await asyncio.wait_for(reading, 5)
    assert budget.held == 0


async def test_a_cancelled_waiter_lets_those_behind_it_go_on():
    budget = ByteBudget(100)
    with budget.account("slow") as holder, budget.account("a") as large, budget.account("a") as small:
        holder.reserve(60)
        first = asyncio.ensure_future(large.wait(50))
        await settle()
        second = asyncio.ensure_future(small.wait_for_space())
        await settle()
        assert not first.done() and not second.done()

        first.cancel()

        await asyncio.wait_for(second, 5)


def test_an_account_gives_back_no_more_than_it_holds_and_closed_it_holds_nothing():
    budget = ByteBudget(100)
    with budget.account("a") as account:
        account.reserve(20)
        account.release(30)
        assert budget.held == account.held == 0
        account.reserve(20)

    account.release(20)
    account.add_received(10)

    assert budget.held == account.held == 0
