"""Tests of collections on a real Valkey: partitioning, order and concurrent writers."""

from __future__ import annotations

import asyncio

import pytest

from service.core.records import Collection, Missing, Record
from service.core.redis import connect


class Thing(Record):
    n: int = 0


@pytest.fixture
async def things(redis_url):
    redis = connect(redis_url)
    await redis.flushdb()
    yield Collection(redis, "things", Thing)
    await redis.aclose(close_connection_pool=True)


def thing(i: int, project: str = "proj_a") -> Thing:
    return Thing(id=f"t{i}", project_id=project, created_at=i)


async def test_records_are_partitioned_by_project(things):
    await things.create(thing(1))
    assert await things.get("proj_a", "t1") == thing(1)
    assert await things.get("proj_b", "t1") is None
    assert (await things.page("proj_b")).items == []
    assert await things.delete("proj_b", "t1") is False
    with pytest.raises(Missing):
        await things.update("proj_b", "t1", lambda t: t)


async def test_an_id_is_made_once(things):
    await things.create(thing(1))
    with pytest.raises(ValueError, match="exists"):
        await things.create(thing(1))


async def test_racing_updates_lose_nothing(things):
    await things.create(thing(1))

    async def add() -> None:
        await things.update("proj_a", "t1", lambda t: t.model_copy(update={"n": t.n + 1}))

    await asyncio.gather(*(add() for _ in range(40)))
    assert (await things.get("proj_a", "t1")).n == 40


async def test_a_change_that_refuses_writes_nothing(things):
    await things.create(thing(1))

    def refuse(_: Thing) -> Thing:
        raise PermissionError

    with pytest.raises(PermissionError):
        await things.update("proj_a", "t1", refuse)
    assert (await things.get("proj_a", "t1")).n == 0


async def test_pages_run_through_filters_and_deletions(things):
    for i in range(250):
        await things.create(thing(i))
    seen, after = [], None
    while True:
        page = await things.page(
            "proj_a", after=after, limit=7, where=lambda t: t.created_at % 3 == 0
        )
        seen += [t.created_at for t in page.items]
        if not page.has_more:
            break
        after = page.items[-1].id
    assert seen == [i for i in reversed(range(250)) if i % 3 == 0]
    await things.delete("proj_a", "t9")
    with pytest.raises(Missing):
        await things.page("proj_a", after="t9")
