"""The admission queue: refusals, the order of turns, and that no place is ever lost."""

import asyncio
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.errors import Overloaded
from service.limits.admission import (
    BULK_EVERY,
    DEADLINE_SHARE,
    MAX_RETRY_S,
    AdmissionQueue,
    AdmissionTicket,
    Pace,
    retry_after,
)

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Notes:
    """Records what the queue reports."""

    def __init__(self) -> None:
        self.depth: Counter[str] = Counter()
        self.waits: list[tuple[str, float]] = []
        self.refusals: list[str] = []
        self.pace = 0.0

    def queued(self, priority: str, change: int) -> None:
        self.depth[priority] += change

    def waited(self, priority: str, seconds: float) -> None:
        self.waits.append((priority, seconds))

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)

    def paced(self, images_per_s: float) -> None:
        self.pace = images_per_s


class Work:
    """One image that is processed until `end` is called."""

    def __init__(
        self, queue: AdmissionQueue, ticket: AdmissionTicket, until: float | None = None, starts: list | None = None
    ):
        self.ticket, self.until, self.started = ticket, until, False
        self._queue, self._end, self._starts = queue, asyncio.Event(), starts if starts is not None else []
        self.error: Exception | None = None
        self.task = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        async with self._queue.place(self.ticket, self.until):
            self.started = True
            self._starts.append(self)
            await self._end.wait()
            if self.error is not None:
                raise self.error

    async def end(self) -> None:
        self._end.set()
        await settle()


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def queue(clock, notes) -> AdmissionQueue:
    return AdmissionQueue(2, 10, notes, clock=clock)


async def full(queue: AdmissionQueue, clock: Clock, pace_s: float = 1.0) -> list[Work]:
    """Take all places, and teach the queue that together they finish an image every `pace_s` seconds."""
    queue.pace.learn(queue.places * pace_s, pace_s)
    works = [Work(queue, AdmissionTicket(f"early {index}")) for index in range(queue.places)]
    await settle()
    return works


async def ended(*works: Work) -> None:
    for work in works:
        work.task.cancel()
    await asyncio.gather(*(work.task for work in works), return_exceptions=True)


async def started_in_order(
    queue: AdmissionQueue, holders: list[Work], tickets: list[AdmissionTicket]
) -> list[AdmissionTicket]:
    """Let all of `tickets` wait, then give them one place after the other."""
    starts: list[Work] = []
    works = [Work(queue, ticket, starts=starts) for ticket in tickets]
    await settle()
    while running := [work for work in [*holders, *works] if work.started and not work.task.done()]:
        await running[0].end()
    return [work.ticket for work in starts]


async def test_a_free_place_is_taken_at_once(queue, notes):
    async with queue.place(AdmissionTicket("a")):
        assert queue.running == 1 and queue.waiting == 0

    assert queue.running == 0 and notes.waits == [("interactive", 0.0)]


async def test_the_number_of_admitted_images_is_limited(queue, notes):
    nine, one = queue.admission(AdmissionTicket("a"), 30.0, images=9), queue.admission(AdmissionTicket("b"), 30.0)
    with nine, one, pytest.raises(Overloaded, match="10 images are already running or waiting"):
        queue.check(AdmissionTicket("c"), 30.0)

    assert notes.refusals == ["places"] and queue.admitted == 0


async def test_a_request_that_cannot_meet_its_deadline_is_refused_at_once(queue, clock, notes):
    holders = await full(queue, clock, pace_s=1.0)

    queue.check(AdmissionTicket("a"), 3.1 / DEADLINE_SHARE)  # two running and itself: 3 s
    with pytest.raises(
        Overloaded, match=r"this image would be done in about 3\.0 s, and its deadline is 3\.8 s"
    ) as caught:
        queue.check(AdmissionTicket("a"), 3.8)

    assert notes.refusals == ["deadline"] and caught.value.retry_after_s >= 1
    await ended(*holders)


async def test_retry_after_is_when_there_will_be_room(queue, clock):
    holders = await full(queue, clock, pace_s=10.0)

    with pytest.raises(Overloaded) as caught:
        queue.check(AdmissionTicket("a"), 20.0)

    assert 15 <= caught.value.retry_after_s <= 30  # 30 s of work, half of them too many, and the spread
    await ended(*holders)


def test_retry_after_is_spread_and_bounded():
    assert {retry_after(0.1) for _ in range(50)} == {1}
    assert len({retry_after(10) for _ in range(200)}) > 3
    assert {retry_after(1e9) for _ in range(50)} == {MAX_RETRY_S}


async def test_one_client_alone_leaves_half_of_the_room_to_others(queue, clock, notes):
    holders = await full(queue, clock, pace_s=0.1)
    many, admissions = AdmissionTicket("many"), []
    with suppress(Overloaded):
        while True:
            admissions.append(queue.admission(many, 30.0))
            admissions[-1].__enter__()

    assert queue.admitted == queue.max_images // 2 and notes.refusals == ["share"]
    with queue.admission(AdmissionTicket("other"), 30.0):
        pass
    for admission in admissions[:-1]:
        admission.__exit__(None, None, None)
    await ended(*holders)


async def test_a_client_with_many_waiting_images_is_refused_before_another(clock, notes):
    queue = AdmissionQueue(2, 100, notes, clock=clock)
    holders = await full(queue, clock, pace_s=1.0)
    waiting = [Work(queue, AdmissionTicket("many")) for _ in range(20)]
    await settle()

    with pytest.raises(Overloaded):
        queue.check(AdmissionTicket("many"), 20.0)
    queue.check(AdmissionTicket("other"), 20.0)
    await ended(*holders, *waiting)


async def test_clients_take_turns_however_much_each_has_waiting(queue, clock):
    holders = await full(queue, clock)
    tickets = [AdmissionTicket("many")] * 5 + [AdmissionTicket("few")] * 2 + [AdmissionTicket("one")]

    order = await started_in_order(queue, holders, tickets)

    names = [ticket.client for ticket in order]
    assert names == ["many", "few", "one", "many", "few", "many", "many", "many"]


async def test_a_clients_streams_take_turns_too(queue, clock):
    holders = await full(queue, clock)
    tickets = [AdmissionTicket("a", "first")] * 3 + [AdmissionTicket("a", "second")] * 2 + [AdmissionTicket("a")]

    order = await started_in_order(queue, holders, tickets)

    assert [ticket.flow for ticket in order] == ["first", "second", None, "first", "second", "first"]


async def test_bulk_work_gives_way_but_does_not_starve(queue, clock):
    holders = await full(queue, clock)
    tickets = [AdmissionTicket("b", bulk=True)] * 3 + [AdmissionTicket("a")] * 9

    order = await started_in_order(queue, holders, tickets)

    bulk = [index for index, ticket in enumerate(order) if ticket.bulk]
    assert bulk == [BULK_EVERY - 1, 2 * BULK_EVERY - 1, 11]


async def test_bulk_work_starts_at_once_when_nothing_else_waits(queue, clock):
    holders = await full(queue, clock)

    order = await started_in_order(queue, holders, [AdmissionTicket("b", bulk=True)] * 3)

    assert len(order) == 3


async def test_bulk_work_reckons_with_all_interactive_work_ahead(clock, notes):
    queue = AdmissionQueue(2, 100, notes, clock=clock)
    holders = await full(queue, clock, pace_s=1.0)
    waiting = [Work(queue, AdmissionTicket("a")) for _ in range(3)]
    await settle()

    queue.check(AdmissionTicket("b"), 5.0 / DEADLINE_SHARE)  # 2 running, one of the other's three, itself
    with pytest.raises(Overloaded):
        queue.check(AdmissionTicket("b", bulk=True), 5.0 / DEADLINE_SHARE)
    await ended(*holders, *waiting)


async def test_work_past_its_deadline_is_never_started(queue, clock):
    holders = await full(queue, clock)
    starts: list[Work] = []
    late, patient = (
        Work(queue, AdmissionTicket("a"), clock.now + 1, starts),
        Work(queue, AdmissionTicket("b"), None, starts),
    )
    await settle()

    clock.now += 1
    await holders[0].end()

    assert starts == [patient]
    with pytest.raises(TimeoutError):
        await late.task
    await ended(*holders, patient)


async def test_cancellation_releases_the_place_at_once_queued_or_running(queue, clock):
    holders = await full(queue, clock)
    queued, next_one = Work(queue, AdmissionTicket("a")), Work(queue, AdmissionTicket("a"))
    await settle()
    assert queue.waiting == 2

    queued.task.cancel()
    await settle()
    assert queue.waiting == 1 and not next_one.started
    holders[0].task.cancel()
    await settle()

    assert next_one.started and queue.waiting == 0 and queue.running == queue.places
    await ended(*holders, next_one)
    assert queue.running == 0


async def test_a_turn_that_comes_at_the_moment_of_cancellation_is_passed_on(queue, clock):
    holders = await full(queue, clock)
    leaving, next_one = Work(queue, AdmissionTicket("a")), Work(queue, AdmissionTicket("b"))
    await settle()

    holders[0]._end.set()
    asyncio.get_running_loop().call_soon(leaving.task.cancel)  # after its turn has come, before it runs
    await settle()

    assert leaving.task.cancelled() and next_one.started and queue.running == queue.places
    await ended(*holders, next_one)
    assert queue.running == queue.waiting == 0


def test_the_pace_is_that_of_all_places_together():
    pace = Pace(4)
    assert pace.seconds is None
    pace.learn(0.4, None)
    assert pace.seconds == 0.4  # it is not yet known how many run side by side
    eager = Pace(4, parallel=2)
    eager.learn(0.4, None)
    assert eager.seconds == 0.2
    for _ in range(100):
        pace.learn(0.4, 0.1)
    assert pace.seconds == pytest.approx(0.1)


def test_an_outdated_pace_is_corrected_by_single_images():
    pace = Pace(2)
    for _ in range(50):
        pace.learn(20.0, 10.0)  # the engine hung
    for _ in range(500):
        pace.learn(0.02, None)  # it has recovered, but the queue is empty
    assert pace.seconds == pytest.approx(0.02, rel=0.01)
    for _ in range(500):
        pace.learn(2.0, None)  # it has become slow
    assert pace.seconds == pytest.approx(2.0, rel=0.01)


async def test_the_pace_is_measured_while_all_places_are_taken(queue, clock, notes):
    works = [Work(queue, AdmissionTicket("a")) for _ in range(8)]
    await settle()
    for work in works:
        clock.now += 0.5
        await work.end()

    assert queue.pace.seconds == pytest.approx(0.5, rel=0.25) and notes.pace == pytest.approx(2, rel=0.25)


@pytest.mark.parametrize("error", [None, ValueError("broken")])
async def test_failed_work_counts_for_the_pace_and_cancelled_work_does_not(queue, clock, error):
    work = Work(queue, AdmissionTicket("a"))
    await settle()
    clock.now += 1
    if error is None:
        await ended(work)
    else:
        work.error = error
        await work.end()
        with pytest.raises(ValueError, match="broken"):
            await work.task

    assert queue.pace.seconds == (None if error is None else 1.0)


CLIENTS = st.sampled_from(["a", "b", "c"])


class QueueMachine(RuleBasedStateMachine):
    """Clients of both priorities that arrive, end, fail, disconnect and time out, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock, self.notes = Clock(), Notes()
        self.queue = AdmissionQueue(2, 50, self.notes, clock=self.clock)
        self.works: list[Work] = []
        self.starts: list[Work] = []
        self.seen = 0
        # Starts of others since this client last had a turn or began to wait: (bulk, client) -> client -> number
        self.passed: dict[tuple[bool, str], Counter[str]] = {}
        self.bulk_passed = self.interactive_passed = 0

    def run(self, action=None) -> None:
        async def act() -> None:
            if action is not None:
                action()
            await settle()

        self.loop.run_until_complete(act())
        self.look()

    def waiting(self) -> list[Work]:
        return [work for work in self.works if not work.started and not work.task.done()]

    def running(self) -> list[Work]:
        return [work for work in self.works if work.started and not work.task.done()]

    def look(self) -> None:
        """Check the turns since the last call."""
        for work in self.starts[self.seen :]:
            assert work.until is None or self.clock.now < work.until, "started past its deadline"
            key = (work.ticket.bulk, work.ticket.client)
            self.passed.pop(key, None)
            for (bulk, _), counts in self.passed.items():
                if bulk == work.ticket.bulk:
                    counts[work.ticket.client] += 1
                    assert counts[work.ticket.client] <= 1, "one client had two turns while another waited"
            if work.ticket.bulk:
                self.bulk_passed = 0
                self.interactive_passed += 1
                assert self.interactive_passed <= 1 or not any(bulk is False for bulk, _ in self.passed)
            else:
                self.interactive_passed = 0
                self.bulk_passed += 1
                assert self.bulk_passed < BULK_EVERY or not any(bulk for bulk, _ in self.passed), "bulk starves"
        self.seen = len(self.starts)
        keys = {(work.ticket.bulk, work.ticket.client) for work in self.waiting()}
        self.passed = {key: self.passed.get(key, Counter()) for key in keys}
        if not any(bulk for bulk, _ in keys):
            self.bulk_passed = 0
        if all(bulk for bulk, _ in keys):
            self.interactive_passed = 0

    @rule(client=CLIENTS, flow=st.integers(0, 1), bulk=st.booleans(), time_s=st.none() | st.integers(1, 5))
    def come(self, client: str, flow: int, bulk: bool, time_s: int | None) -> None:
        until = None if time_s is None else self.clock.now + time_s
        ticket = AdmissionTicket(client, flow, bulk)
        self.run(lambda: self.works.append(Work(self.queue, ticket, until, self.starts)))

    @precondition(lambda self: self.running())
    @rule(data=st.data(), fails=st.booleans())
    def end(self, data: st.DataObject, fails: bool) -> None:
        work = data.draw(st.sampled_from(self.running()))
        work.error = ValueError("broken") if fails else None
        self.run(work._end.set)

    @precondition(lambda self: self.waiting() or self.running())
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.run(data.draw(st.sampled_from(self.waiting() + self.running())).task.cancel)

    @precondition(lambda self: self.waiting() and self.running())
    @rule(data=st.data())
    def leave_while_another_ends(self, data: st.DataObject) -> None:
        ends, leaves = data.draw(st.sampled_from(self.running())), data.draw(st.sampled_from(self.waiting()))

        def both() -> None:
            ends._end.set()
            asyncio.get_running_loop().call_soon(leaves.task.cancel)

        # A client cancelled at the moment of its turn has had it: the waits of the client and of its kind restart.
        self.passed.pop((leaves.ticket.bulk, leaves.ticket.client), None)
        self.bulk_passed = self.interactive_passed = -1
        self.run(both)

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @invariant()
    def places_are_neither_lost_nor_given_twice(self) -> None:
        running, waiting = len(self.running()), len(self.waiting())
        assert self.queue.running == running <= self.queue.places
        assert self.queue.waiting == waiting == self.notes.depth.total()
        assert running == self.queue.places or not waiting, "a place is free while an image waits"

    def teardown(self) -> None:
        self.loop.run_until_complete(ended(*self.works))
        assert self.queue.running == self.queue.waiting == self.notes.depth.total() == 0
        assert not self.queue._interactive._clients and not self.queue._bulk._clients
        self.loop.close()


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
