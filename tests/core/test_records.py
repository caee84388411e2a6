"""Tests of collections on a real Valkey: partitioning, order, concurrent writers, labels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest

from service.core.records import Collection, Labels, Missing, Page, Record
from service.core.redis import Client, connect
from tests.redis_work import Work, least_work


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


async def test_an_id_is_created_once(things):
    await things.create(thing(1))
    with pytest.raises(ValueError, match="exists"):
        await things.create(thing(1))


async def test_racing_updates_lose_nothing(things):
    await things.create(thing(1))

    async def add() -> None:
        await things.update("proj_a", "t1", lambda t: t.model_copy(update={"n": t.n + 1}))

    await asyncio.gather(*(add() for _ in range(40)))
    assert (await things.get("proj_a", "t1")).n == 40


async def test_an_update_that_raises_writes_nothing(things):
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


PROJECT = "proj_a"
MANY = 1000


class Colored(Record):
    colors: tuple[str, ...] = ()


class ColoredThings:
    """A collection whose records are labeled by their colors."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.records = Collection(redis, "things", Colored)
        self.labels = Labels(self.records, lambda thing: thing.colors)

    async def add(self, number: int, *colors: str) -> None:
        thing = Colored(id=f"t{number}", project_id=PROJECT, created_at=number, colors=colors)
        await self.records.create(thing, also=lambda pipe: self.labels.add(pipe, thing))

    async def add_as_an_older_version(self, number: int, *colors: str) -> None:
        await self.records.create(
            Colored(id=f"t{number}", project_id=PROJECT, created_at=number, colors=colors)
        )

    async def delete(self, number: int) -> None:
        thing = await self.records.get(PROJECT, f"t{number}")
        assert thing is not None
        await self.records.delete(
            PROJECT, thing.id, also=lambda pipe: self.labels.remove(pipe, thing)
        )

    async def listed(self, *colors: str, oldest_first: bool = False, limit: int = 3) -> list[int]:
        """Return the numbers of all things with these colors, read page by page."""
        found: list[int] = []
        after = None
        while True:
            page = await self.labels.page(
                PROJECT, colors, after=after, limit=limit, oldest_first=oldest_first
            )
            found += [thing.created_at for thing in page.items]
            if not page.has_more:
                return found
            after = page.items[-1].id


@pytest.fixture
async def colored(redis_url) -> AsyncIterator[ColoredThings]:
    redis = connect(redis_url)
    await redis.flushdb()
    yield ColoredThings(redis)
    await redis.aclose(close_connection_pool=True)


async def work_to_list(colored: ColoredThings, colors: Sequence[str], listed: list[int]) -> Work:
    async def call() -> None:
        assert await colored.listed(*colors) == listed

    return await least_work(colored.redis, call)


async def test_labeled_lists_equal_a_scan(colored: ColoredThings):
    for number in range(20):
        colors = [c for c, n in (("red", 2), ("blue", 3)) if number % n == 0]
        await colored.add(number, *colors)
    assert await colored.listed() == list(range(19, -1, -1))
    assert await colored.listed("red") == list(range(18, -1, -2))
    assert await colored.listed("red", oldest_first=True) == list(range(0, 19, 2))
    assert await colored.listed("red", "blue") == [18, 12, 6, 0]
    assert await colored.listed("red", "green") == []
    await colored.delete(12)
    assert await colored.listed("blue", "red") == [18, 6, 0]
    with pytest.raises(Missing):
        await colored.labels.page(PROJECT, ["red"], after="t12", limit=1)


async def test_records_of_older_versions_are_labeled_in_order(colored: ColoredThings):
    await colored.add_as_an_older_version(1, "red")
    await colored.add(2, "red")
    await colored.add_as_an_older_version(3, "red")
    await colored.add_as_an_older_version(4)
    assert await colored.listed("red") == [3, 2, 1]
    work = await work_to_list(colored, ["red"], [3, 2, 1])
    assert work.commands < 10, "they are labeled again and again"


async def test_records_deleted_by_an_older_version_are_searched_for_once(
    colored: ColoredThings,
):
    for number in range(3):
        await colored.add(number, "red")
    await colored.records.delete(PROJECT, "t1")
    assert await colored.listed("red") == [2, 0]
    assert (await work_to_list(colored, ["red"], [2, 0])).commands < 7


async def test_an_unreadable_record_hides_no_other(colored: ColoredThings):
    await colored.add_as_an_older_version(1, "red")
    await colored.add_as_an_older_version(2, "red")
    await colored.redis.set(colored.records.key(PROJECT, "t2"), json.dumps({"id": 2}))
    assert await colored.listed("red") == [1]


async def test_a_filter_reads_only_what_it_returns(colored: ColoredThings):
    async with colored.redis.pipeline(transaction=True) as pipe:
        for number in range(MANY):
            shade = "red" if number % 2 or number == 0 else "blue"
            colors = (shade, "rare") if number == 0 else (shade,)
            thing = Colored(id=f"t{number}", project_id=PROJECT, created_at=number, colors=colors)
            colored.records.add(pipe, thing)
            colored.labels.add(pipe, thing)
        await pipe.execute()
    for wanted, expected in ((["rare"], [0]), (["rare", "red"], [0]), (["red", "blue"], [])):
        work = await work_to_list(colored, wanted, expected)
        assert work.commands < 20, wanted
        assert work.keys_read < 20, wanted


async def test_a_page_reads_one_record_more_than_it_returns(colored: ColoredThings):
    for number in range(30):
        await colored.add(number, "red")

    async def call() -> Page[Colored]:
        return await colored.labels.page(PROJECT, [], after=None, limit=5)

    work, page = await least_work(colored.redis, call), await call()
    assert [thing.created_at for thing in page.items] == [29, 28, 27, 26, 25]
    assert work.commands == 2
    assert work.keys_read == 7, "the list of IDs and six records"


async def test_keys_do_not_contain_the_text_of_labels(colored: ColoredThings):
    await colored.add(1, "a secret color")
    assert not [key for key in await colored.redis.keys("*") if b"secret" in key]
