"""Tests that event streams are woken by what other connections write, and by nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from service.core import invalidation
from service.core.invalidation import InvalidationKind, Invalidations
from service.core.redis import Client, connect
from service.jobs.event_stream import JobChanges

SOON_S = 60


class Waiting:
    """What three streams wait for: two jobs of a project, and one of another."""

    def __init__(self, changes: JobChanges, stack: ExitStack) -> None:
        self.first = stack.enter_context(changes.watch("proj_a", "ftjob-1"))
        self.second = stack.enter_context(changes.watch("proj_a", "ftjob-2"))
        self.other = stack.enter_context(changes.watch("proj_b", "ftjob-1"))

    def woken(self) -> list[bool]:
        return [change.is_set() for change in (self.first, self.second, self.other)]

    def clear(self) -> None:
        for change in (self.first, self.second, self.other):
            change.clear()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    client = connect(redis_url)
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
def changes() -> JobChanges:
    return JobChanges()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
async def waiting(redis: Client, changes: JobChanges, stack: ExitStack) -> AsyncIterator[Waiting]:
    """Three streams that have been woken by the subscription, and wait again."""
    invalidations = Invalidations(redis)
    changes.listen(invalidations)
    waiting = Waiting(changes, stack)
    async with invalidations.listening():
        await asyncio.wait_for(waiting.other.wait(), SOON_S)
        assert waiting.woken() == [True, True, True]
        waiting.clear()
        yield waiting


async def publish(redis: Client, kind: InvalidationKind, project_id: str, name: str) -> None:
    async with redis.pipeline(transaction=True) as pipe:
        invalidation.publish(pipe, kind, project_id, name)
        await pipe.execute()


async def test_a_change_wakes_the_streams_of_its_job(redis, waiting):
    await publish(redis, InvalidationKind.JOB, "proj_a", "ftjob-1")
    await asyncio.wait_for(waiting.first.wait(), SOON_S)
    assert waiting.woken() == [True, False, False]


@pytest.mark.parametrize("kind", [InvalidationKind.KEY, InvalidationKind.PROJECT])
async def test_a_changed_key_or_project_wakes_its_streams(redis, waiting, kind):
    await publish(redis, kind, "proj_a", "any")
    await asyncio.wait_for(waiting.first.wait(), SOON_S)
    assert waiting.woken() == [True, True, False]


async def test_a_new_subscription_wakes_all_streams(redis, waiting):
    await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await asyncio.wait_for(waiting.first.wait(), SOON_S)
    assert waiting.woken() == [True, True, True]


async def test_a_stream_that_has_ended_does_not_keep_others_from_waking(
    redis, waiting, changes, stack
):
    with changes.watch("proj_a", "ftjob-1") as another:
        pass
    await publish(redis, InvalidationKind.JOB, "proj_a", "ftjob-1")
    await asyncio.wait_for(waiting.first.wait(), SOON_S)
    assert not another.is_set()
    stack.close()
    await publish(redis, InvalidationKind.JOB, "proj_a", "ftjob-1")  # nobody waits for it
    with changes.watch("proj_a", "ftjob-1") as later:
        await publish(redis, InvalidationKind.JOB, "proj_a", "ftjob-1")
        await asyncio.wait_for(later.wait(), SOON_S)
