"""Tests of labels: filtered lists are those of a scan, and read only what they return."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

import pytest

from service.core.records import Collection, Labels, Missing, Page, Record
from service.core.redis import Client, connect
from tests.redis_work import Work, least_work

PROJECT = "proj_a"
MANY = 1000


class Thing(Record):
    colors: tuple[str, ...] = ()


class Things:
    """A collection whose records are labeled by their colors."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.records = Collection(redis, "things", Thing)
        self.labels = Labels(self.records, lambda thing: thing.colors)

    async def add(self, number: int, *colors: str) -> None:
        thing = Thing(id=f"t{number}", project_id=PROJECT, created_at=number, colors=colors)
        await self.records.create(thing, also=lambda pipe: self.labels.add(pipe, thing))

    async def add_as_an_older_version(self, number: int, *colors: str) -> None:
        await self.records.create(
            Thing(id=f"t{number}", project_id=PROJECT, created_at=number, colors=colors)
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
async def things(redis_url) -> AsyncIterator[Things]:
    redis = connect(redis_url)
    await redis.flushdb()
    yield Things(redis)
    await redis.aclose(close_connection_pool=True)


async def work_to_list(things: Things, colors: Sequence[str], listed: list[int]) -> Work:
    async def call() -> None:
        assert await things.listed(*colors) == listed

    return await least_work(things.redis, call)


async def test_lists_are_those_of_a_scan(things: Things):
    for number in range(20):
        colors = [c for c, n in (("red", 2), ("blue", 3)) if number % n == 0]
        await things.add(number, *colors)
    assert await things.listed() == list(range(19, -1, -1))
    assert await things.listed("red") == list(range(18, -1, -2))
    assert await things.listed("red", oldest_first=True) == list(range(0, 19, 2))
    assert await things.listed("red", "blue") == [18, 12, 6, 0]
    assert await things.listed("red", "green") == []
    await things.delete(12)
    assert await things.listed("blue", "red") == [18, 6, 0]
    with pytest.raises(Missing):
        await things.labels.page(PROJECT, ["red"], after="t12", limit=1)


async def test_records_of_older_versions_are_labeled_in_their_place(things: Things):
    await things.add_as_an_older_version(1, "red")
    await things.add(2, "red")
    await things.add_as_an_older_version(3, "red")
    await things.add_as_an_older_version(4)
    assert await things.listed("red") == [3, 2, 1]
    work = await work_to_list(things, ["red"], [3, 2, 1])
    assert work.commands < 10, "they are labeled again and again"


async def test_records_that_older_versions_deleted_are_not_searched_for_again(things: Things):
    for number in range(3):
        await things.add(number, "red")
    await things.records.delete(PROJECT, "t1")
    assert await things.listed("red") == [2, 0]
    assert (await work_to_list(things, ["red"], [2, 0])).commands < 7


async def test_an_unreadable_record_hides_no_other(things: Things):
    await things.add_as_an_older_version(1, "red")
    await things.add_as_an_older_version(2, "red")
    await things.redis.set(things.records.key(PROJECT, "t2"), json.dumps({"id": 2}))
    assert await things.listed("red") == [1]


async def test_a_filter_reads_only_what_it_returns(things: Things):
    async with things.redis.pipeline(transaction=True) as pipe:
        for number in range(MANY):
            shade = "red" if number % 2 or number == 0 else "blue"
            colors = (shade, "rare") if number == 0 else (shade,)
            thing = Thing(id=f"t{number}", project_id=PROJECT, created_at=number, colors=colors)
            things.records.add(pipe, thing)
            things.labels.add(pipe, thing)
        await pipe.execute()
    for wanted, expected in ((["rare"], [0]), (["rare", "red"], [0]), (["red", "blue"], [])):
        work = await work_to_list(things, wanted, expected)
        assert work.commands < 20, wanted
        assert work.keys_read < 20, wanted


async def test_a_page_reads_one_record_more_than_it_returns(things: Things):
    for number in range(30):
        await things.add(number, "red")

    async def call() -> Page[Thing]:
        return await things.labels.page(PROJECT, [], after=None, limit=5)

    work, page = await least_work(things.redis, call), await call()
    assert [thing.created_at for thing in page.items] == [29, 28, 27, 26, 25]
    assert work.commands == 2
    assert work.keys_read == 7, "the list of IDs and six records"


async def test_the_text_of_a_label_is_in_no_key(things: Things):
    await things.add(1, "a secret color")
    assert not [key for key in await things.redis.keys("*") if b"secret" in key]
