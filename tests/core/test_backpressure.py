"""Tests of the slots that limit concurrent work of one process."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from service.core.backpressure import Slots
from service.core.errors import RateLimited


def slots_of(most: int, *, most_per_owner: int | None = None, wait_s: float = 30.0) -> Slots:
    def refusal() -> RateLimited:
        return RateLimited("No slot is free.")

    return Slots(most, refusal, most_per_owner=most_per_owner, wait_s=wait_s)


class Worker:
    """A task that holds a slot of its owner until it is told to end."""

    def __init__(self, slots: Slots, owner: str) -> None:
        self.has_slot = False
        self.may_end = asyncio.Event()
        self._slots, self._owner = slots, owner
        self.task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        async with self._slots.hold(self._owner):
            self.has_slot = True
            await self.may_end.wait()

    async def end(self) -> None:
        self.may_end.set()
        await self.task
        await settled()


async def settled() -> None:
    """Let all tasks run until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


async def start(slots: Slots, *owners: str) -> list[Worker]:
    workers = [Worker(slots, owner) for owner in owners]
    await settled()
    return workers


async def test_work_gets_slots_in_order():
    first, second, third = await start(slots_of(1), "a", "a", "a")
    assert [w.has_slot for w in (first, second, third)] == [True, False, False]
    await first.end()
    assert [w.has_slot for w in (second, third)] == [True, False]
    await second.end()
    await third.end()


async def test_a_free_slot_goes_to_the_owner_with_the_fewest():
    slots = slots_of(2)
    first, second, *more, other = await start(slots, *"aaaaa", "b")
    await first.end()
    assert other.has_slot
    assert not any(worker.has_slot for worker in more)
    for worker in (second, other, *more):
        await worker.end()
    assert slots.held == 0


async def test_an_owner_at_its_limit_does_not_block_others():
    slots = slots_of(3, most_per_owner=1)
    first, second, other = await start(slots, "a", "a", "b")
    assert [w.has_slot for w in (first, second, other)] == [True, False, True]
    await other.end()
    assert not second.has_slot
    await first.end()
    assert second.has_slot
    await second.end()


@pytest.mark.parametrize("wait_s", [0, 0.05])
async def test_work_without_a_slot_is_refused(wait_s):
    slots = slots_of(1, wait_s=wait_s)
    async with slots.hold("a"):
        with pytest.raises(RateLimited):
            async with slots.hold("b"):
                pass
    async with slots.hold("b"):
        pass


async def test_the_number_of_waiting_requests_is_limited():
    slots = slots_of(1)
    holder, *waiting, refused = await start(slots, *["a"] * 6)
    with pytest.raises(RateLimited):
        await refused.task
    for worker in (holder, *waiting):
        await worker.end()


async def test_a_failure_gives_the_slot_back():
    slots = slots_of(1)
    with pytest.raises(ZeroDivisionError):
        async with slots.hold("a"):
            raise ZeroDivisionError
    assert slots.held == 0


async def test_canceled_work_gives_up_its_place():
    slots = slots_of(1)
    holder, waiting, next_one = await start(slots, "a", "a", "a")
    waiting.task.cancel()
    await settled()
    await holder.end()
    assert next_one.has_slot
    await next_one.end()


async def test_work_that_is_canceled_as_it_gets_its_slot_gives_it_back():
    slots = slots_of(1)
    async with AsyncExitStack() as held:
        await held.enter_async_context(slots.hold("a"))
        waiting, next_one = await start(slots, "a", "a")
    waiting.task.cancel()  # it has its slot, but has not run since
    await settled()
    assert waiting.task.cancelled()
    assert next_one.has_slot
    await next_one.end()
