"""Tests of hosts whose clock is wrong: what they compare is the time of Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from arq.constants import in_progress_key_prefix

from service.core import clock, queue
from service.core.redis import Client, connect
from service.core.redis.time_sync import follow_clock
from tests.worker.test_survival import polling, until

HOUR_S = 3600.0


@pytest.fixture
def wrong_by(monkeypatch) -> Iterator[Callable[[float], None]]:
    """Set the clock of this host wrong by some seconds, for the service and for arq."""
    right = time.time

    def set_wrong(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: right() + seconds)
        monkeypatch.setattr("arq.worker.timestamp_ms", lambda: int(time.time() * 1000))

    yield set_wrong
    clock.set_difference(0.0)


async def redis_s(redis: Client) -> float:
    seconds, _ = await redis.time()
    return float(seconds)


@pytest.mark.parametrize("wrong_s", [HOUR_S, -HOUR_S])
async def test_the_service_uses_the_time_of_redis(redis, wrong_by, caplog, wrong_s):
    wrong_by(wrong_s)
    async with follow_clock(redis):
        assert abs(clock.now() - await redis_s(redis)) < HOUR_S / 2
    assert f"differs from that of Redis by {wrong_s:.0f}"[:-2] in caplog.text


async def test_a_redis_that_is_away_does_not_hold_up_the_start(wrong_by):
    client = connect("redis://127.0.0.1:1", retries=0)
    async with follow_clock(client):
        assert clock.difference_s() == 0
    await client.aclose(close_connection_pool=True)


@pytest.mark.parametrize("wrong_s", [HOUR_S, -HOUR_S])
async def test_a_task_is_due_at_once(redis, wrong_by, wrong_s):
    wrong_by(wrong_s)
    await queue.enqueue(redis, queue.CPU, "task", "p", "a", 1)
    await queue.enqueue(redis, queue.CPU, "task", "p", "b", 1, delay_s=HOUR_S)
    assert await queue.due(redis, queue.CPU, 10) == ["task:a:1"]
    assert await queue.take(redis, queue.CPU, "task:b:1", 60) is None


@pytest.mark.parametrize("wrong_s", [HOUR_S, -HOUR_S])
async def test_a_worker_takes_what_is_due(redis, wrong_by, wrong_s):
    """A task that wants to run again later does so, on the clock of Redis."""
    begun = asyncio.Event()

    async def run(_ctx: Any, _project: str, _subject: str, _attempt: int) -> None:
        begun.set()
        raise queue.Retry(defer=100 * HOUR_S)

    await queue.enqueue(redis, queue.CPU, "task", "p", "a", 1)
    wrong_by(wrong_s)
    async with polling(redis, run):
        await asyncio.wait_for(begun.wait(), 60)
    due_s = await redis.zscore(queue.CPU, "task:a:1") / 1000
    assert abs(due_s - 100 * HOUR_S - await redis_s(redis)) < HOUR_S / 2


async def test_what_killed_workers_took_hides_nothing(redis):
    for number in range(250):
        await queue.enqueue(redis, queue.CPU, "task", "p", str(number), 1)
        await redis.set(f"{in_progress_key_prefix}task:{number}:1", "1")
    await queue.enqueue(redis, queue.CPU, "task", "p", "last", 1)
    assert await queue.due(redis, queue.CPU, 1) == ["task:last:1"]


async def test_no_more_tasks_are_due_than_asked_for(redis):
    for name in "abc":
        await queue.enqueue(redis, queue.CPU, "task", "p", name, 1)
    assert await queue.due(redis, queue.CPU, 2) == ["task:a:1", "task:b:1"]


async def test_a_worker_with_one_slot_leaves_the_next_task_to_another_worker(redis):
    """Two trainings on one GPU would run out of its memory."""
    begun: list[tuple[str, str]] = []
    may_end = asyncio.Event()

    def of(worker: str) -> Callable[..., Any]:
        async def run(_ctx: Any, _project: str, subject: str, _attempt: int) -> None:
            begun.append((worker, subject))
            await may_end.wait()

        return run

    for name in "abc":
        await queue.enqueue(redis, queue.CPU, "task", "p", name, 1)
    async with polling(redis, of("first")) as first:
        await until(lambda: len(begun) == 1)
        await asyncio.sleep(20 * first.poll_delay_s)
        assert begun == [("first", "a")]
        async with polling(redis, of("second")):
            await until(lambda: len(begun) == 2)
            may_end.set()
            await until(lambda: len(begun) == 3)
    assert begun[1] == ("second", "b")
