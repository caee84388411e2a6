"""Tests of the sets of unfinished work, which must agree with its records."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.records import Collection, Record
from service.core.redis import Client
from service.work.unfinished import read_unfinished

KEY = "unfinished"


class Work(Record):
    is_done: bool = True


@pytest.fixture
async def works(redis) -> Collection[Work]:
    """A work that is done and whose member is still in the set."""
    works = Collection(redis, "works", Work)
    work = Work(id="w", project_id="p", created_at=1)
    await works.create(work, also=lambda pipe: pipe.sadd(KEY, "p/w", "p/deleted"))
    return works


async def unfinished(redis: Client, works: Collection[Work]) -> list[str]:
    found = await read_unfinished(redis, KEY, lambda _: works, lambda work: not work.is_done)
    return [work.id for work in found]


async def test_ended_and_deleted_work_is_removed_from_the_set(redis, works):
    assert await unfinished(redis, works) == []
    assert await redis.smembers(KEY) == set()


async def test_work_that_is_restarted_during_the_read_stays(redis, works, monkeypatch):
    """Otherwise it would never continue."""
    read = redis.mget

    async def read_and_restart(keys: list[str]) -> Any:
        values = await read(keys)
        await works.update(
            "p",
            "w",
            lambda work: work.model_copy(update={"is_done": False}),
            also=lambda pipe, _: pipe.sadd(KEY, "p/w"),
        )
        return values

    monkeypatch.setattr(redis, "mget", read_and_restart)
    assert await unfinished(redis, works) == []
    monkeypatch.undo()
    assert await redis.smembers(KEY) == {b"p/w"}
    assert await unfinished(redis, works) == ["w"]
