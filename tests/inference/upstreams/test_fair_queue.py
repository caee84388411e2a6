"""Tests of the fair queue of projects."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from service.core.errors import RateLimited, Unavailable
from service.inference.upstreams.fair_queue import FairQueue, Slot


class Line:
    """Requests of projects at an engine with a number of places."""

    def __init__(self, places: int, wait_s: float = 60, **limits: Any) -> None:
        self.places = places
        self.queue = FairQueue("m", lambda: self.places, wait_s=wait_s, **limits)
        self.served: list[str] = []
        self.held: list[Slot] = []

    def ask(
        self, project: str, *, tokens: int = 10, answers: int = 1, body_bytes: int = 0
    ) -> asyncio.Task[Slot]:
        async def take() -> Slot:
            turn = await self.queue.take(
                project, tokens=tokens, answers=answers, body_bytes=body_bytes
            )
            self.served.append(project)
            self.held.append(turn)
            return turn

        return asyncio.create_task(take())

    async def end_first(self) -> None:
        """End the request that was sent first, and let the next ones be sent."""
        self.held.pop(0).end()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_requests_are_sent_at_once_while_there_are_places():
    line = Line(3)
    for _ in range(4):
        line.ask("a")
    await line.settle()
    assert (line.served, line.queue.waiting) == (["a"] * 3, 1)
    await line.end_first()
    assert (line.served, line.queue.waiting) == (["a"] * 4, 0)


async def test_a_project_with_many_requests_delays_another_by_one_place():
    line = Line(4)
    for _ in range(50):
        line.ask("many")
    await line.settle()
    line.ask("few")
    await line.settle()
    await line.end_first()
    assert line.served[-1] == "few"


async def test_two_projects_with_many_requests_share_the_places():
    line = Line(4)
    for _ in range(20):
        line.ask("a")
    await line.settle()
    for _ in range(20):
        line.ask("b")
    for _ in range(8):
        await line.end_first()
    assert sorted(turn.project.name for turn in line.held) == ["a", "a", "b", "b"]


async def test_places_are_shared_by_tokens():
    line = Line(4)
    for _ in range(20):
        line.ask("long", tokens=300)
    for _ in range(20):
        line.ask("short", tokens=100)
    await line.settle()
    for _ in range(12):
        await line.end_first()
    assert sorted(turn.project.name for turn in line.held) == ["long", "short", "short", "short"]


async def test_what_was_not_used_before_is_hardly_a_credit():
    line = Line(2)
    line.ask("few", tokens=10)
    for _ in range(300):
        line.ask("many", tokens=1000)
    await line.settle()
    few = line.held.pop(0)
    for _ in range(200):
        await line.end_first()
    before = len(line.served)
    for _ in range(100):
        line.ask("few", tokens=1000)
    for _ in range(30):
        await line.end_first()
    assert 15 <= line.served[before:].count("few") <= 24
    few.end()


async def test_who_is_alone_gets_all_places():
    line = Line(2)
    for _ in range(6):
        line.ask("a", tokens=10_000)
    await line.settle()
    for done in range(4):
        assert len(line.held) == 2
        assert len(line.served) == 2 + done
        await line.end_first()


async def test_several_answers_take_several_places():
    line = Line(4)
    for answers in (3, 2):
        line.ask("a", answers=answers)
    await line.settle()
    line.ask("b")
    await line.settle()
    assert len(line.held) == 1
    await line.end_first()
    assert line.served == ["a", "b", "a"]
    line.ask("c", answers=16)  # more than there are: it gets all of them
    line.ask("d")
    await line.settle()
    await line.end_first()
    assert line.served == ["a", "b", "a"]
    await line.end_first()
    assert line.served[-1] == "c"
    await line.end_first()
    assert line.served[-1] == "d"


async def test_an_engine_that_joins_adds_places():
    line = Line(1)
    for _ in range(3):
        line.ask("a")
    await line.settle()
    line.places = 3
    await line.end_first()
    assert len(line.held) == 2


async def test_who_leaves_frees_its_place_in_the_queue():
    line = Line(2)
    line.ask("a")
    await line.settle()
    wide, narrow = line.ask("b", answers=2), line.ask("c")
    await line.settle()
    assert line.served == ["a"]
    wide.cancel()
    await line.settle()
    assert (line.served, line.queue.waiting) == (["a", "c"], 0)
    assert narrow.done()


async def test_who_leaves_at_the_moment_of_its_turn_gives_it_back():
    line = Line(1)
    line.ask("a")
    await line.settle()
    leaves, stays = line.ask("b"), line.ask("c")
    await line.settle()
    line.held.pop(0).end()  # gives the place to b, whose task has not run yet
    leaves.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leaves
    await line.settle()
    assert line.served == ["a", "c"]
    assert stays.done()


async def test_who_waits_too_long_is_refused():
    line = Line(1, wait_s=0.01)
    await line.ask("a")
    with pytest.raises(RateLimited) as refused:
        await line.ask("b")
    assert (refused.value.code, refused.value.status) == ("engine_overloaded", 429)
    assert 1 <= int(refused.value.headers["retry-after"]) <= 60
    assert line.queue.waiting == 0
    await line.end_first()
    await line.ask("c")


@pytest.mark.parametrize(("body_bytes", "limit"), [(0, 4), (25, 4)])
async def test_a_project_fills_at_most_half_of_the_queue(body_bytes, limit):
    line = Line(1, max_waiting=8, max_waiting_bytes=200)
    line.ask("a")
    tasks = [line.ask("a", body_bytes=body_bytes) for _ in range(limit)]
    await line.settle()
    with pytest.raises(RateLimited):
        await line.ask("a", body_bytes=body_bytes)
    tasks += [line.ask("b", body_bytes=body_bytes) for _ in range(limit)]
    await line.settle()
    assert line.queue.waiting == 2 * limit
    with pytest.raises(RateLimited):
        await line.ask("c", body_bytes=body_bytes)
    for task in tasks:
        task.cancel()
    await line.settle()
    assert line.queue.waiting == 0


async def test_requests_wait_for_an_engine_that_starts():
    line = Line(0, start_wait_s=60)
    asked = [line.ask("a") for _ in range(3)]
    await line.settle()
    assert (line.served, line.queue.waiting) == ([], 3)
    line.places = 2
    line.queue.fill()
    await line.settle()
    assert (line.served, line.queue.waiting) == (["a"] * 2, 1)
    for task in asked:
        task.cancel()


async def test_the_wait_for_an_engine_is_limited_in_time_and_number():
    line = Line(0, start_wait_s=0.05, max_waiting=2)
    asked = [line.ask("a"), line.ask("a"), line.ask("b"), line.ask("c")]
    results = await asyncio.gather(*asked, return_exceptions=True)
    for error in results:
        assert isinstance(error, Unavailable)
        assert (error.code, error.headers["retry-after"]) == ("engine_unavailable", "10")
    assert line.queue.waiting == 0
