"""Tests of the lookup cache: lifetimes, shared lookups and invalidation."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisAway

from service.core.cache import LookupCache


class World:
    """Source of the looked-up values. A lookup reads its value, then waits at a gate."""

    def __init__(self) -> None:
        self.now, self.loads, self.away = 0.0, 0, False
        self.absent: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self, key: str) -> str | None:
        if self.away:
            raise RedisAway
        self.loads += 1
        value = None if key in self.absent else f"{key}{self.loads}"
        await self.gate.wait()
        return value


@pytest.fixture
def world() -> World:
    return World()


def cache_of(world: World, **kwargs) -> LookupCache[str, str | None]:
    limits = {"size": 2, "absent_size": 2, "ttl_s": 2, "stale_s": 60, "patience_s": 0.05} | kwargs
    return LookupCache(world.load, clock=lambda: world.now, **limits)


@pytest.fixture
def cache(world: World) -> LookupCache[str, str | None]:
    return cache_of(world)


async def under_way(world: World, loads: int = 1) -> None:
    """Wait until this many lookups have started."""
    async with asyncio.timeout(60):
        while world.loads < loads:
            await asyncio.sleep(0)


async def test_values_expire(world, cache):
    assert [await cache.get("a"), await cache.get("a")] == ["a1", "a1"]
    world.now = 2
    assert await cache.get("a") == "a2"


async def test_cached_values_outlive_an_outage_for_a_while(world, cache):
    await cache.get("a")
    world.away, world.now = True, 30
    assert await cache.get("a") == "a1"
    with pytest.raises(RedisAway):
        await cache.get("b")
    world.now = 63
    with pytest.raises(RedisAway):
        await cache.get("a")


async def test_values_are_loaded_again_after_an_outage(world, cache):
    await cache.get("a")
    world.away, world.now = True, 30
    await cache.get("a")
    world.away, world.now = False, 31.5
    assert await cache.get("a") == "a2"


async def test_size_is_bounded(world, cache):
    for key in "abc":
        await cache.get(key)
    assert await cache.get("a") == "a4"


async def test_unknown_names_do_not_evict_entries_in_use(world, cache):
    await cache.get("a")
    world.absent = {f"guess{i}" for i in range(100)}
    for guess in world.absent:
        assert await cache.get(guess) is None
    loads = world.loads
    assert await cache.get("a") == "a1"
    assert world.loads == loads


async def test_missing_objects_are_cached_with_their_own_limit(world, cache):
    world.absent = {"x", "y", "z"}
    assert [await cache.get("x"), await cache.get("x")] == [None, None]
    assert world.loads == 1
    for key in "yz":
        await cache.get(key)
    await cache.get("x")  # it was evicted: the budget is two
    assert world.loads == 4
    world.absent, world.now = set(), 2
    assert await cache.get("x") == "x5"


async def test_missing_objects_are_not_reported_during_an_outage(world, cache):
    world.absent = {"x"}
    await cache.get("x")
    world.away, world.now = True, 3
    with pytest.raises(RedisAway):
        await cache.get("x")


async def test_a_deleted_object_is_not_returned_in_an_outage(world, cache):
    await cache.get("a")
    world.absent, world.now = {"a"}, 2
    assert await cache.get("a") is None
    world.away, world.now = True, 5
    with pytest.raises(RedisAway):
        await cache.get("a")


async def test_concurrent_callers_share_one_load(world, cache):
    world.gate.clear()
    waiting = [asyncio.create_task(cache.get("a")) for _ in range(50)]
    await under_way(world)
    world.gate.set()
    assert await asyncio.gather(*waiting) == ["a1"] * 50


@pytest.mark.parametrize("gone", [1, 3])
async def test_a_canceled_caller_does_not_cancel_the_load(world, cache, gone):
    """Neither the caller that started the lookup nor all callers together."""
    world.gate.clear()
    waiting = [asyncio.create_task(cache.get("a")) for _ in range(3)]
    await under_way(world)
    for task in waiting[:gone]:
        task.cancel()
    await asyncio.sleep(0)
    world.gate.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert answers[gone:] == ["a1"] * (3 - gone)
    assert all(isinstance(a, asyncio.CancelledError) for a in answers[:gone])
    assert await cache.get("a") == "a1"
    assert world.loads == 1


async def test_a_failed_look_up_fails_all_who_wait_and_is_not_remembered(world, cache):
    world.away = True
    answers = await asyncio.gather(*(cache.get("a") for _ in range(3)), return_exceptions=True)
    assert [type(a) for a in answers] == [RedisAway] * 3
    world.away = False
    assert await cache.get("a") == "a1"


@pytest.mark.parametrize("how", ["forget", "forget_where", "expire_all"])
async def test_a_running_load_of_a_forgotten_key_is_not_cached(world, cache, how):
    world.gate.clear()
    waiting = asyncio.create_task(cache.get("a"))
    await under_way(world)
    {
        "forget": lambda: cache.forget("a"),
        "forget_where": lambda: cache.forget_where(lambda value: False),
        "expire_all": cache.expire_all,
    }[how]()
    world.gate.set()
    assert await waiting == "a2"  # waiting callers do not get the old one either
    assert await cache.get("a") == "a2"


async def test_a_value_that_is_forgotten_during_a_load_is_not_used(world, cache):
    await cache.get("a")
    world.now = 3
    world.gate.clear()
    waiting = asyncio.create_task(cache.get("a"))
    await under_way(world, 2)
    cache.forget("a")
    await asyncio.sleep(0.1)  # after the patience has ended
    assert not waiting.done()
    world.gate.set()
    assert await waiting == "a3"


async def test_forgetting_a_value_keeps_the_others(world, cache):
    await cache.get("a")
    await cache.get("b")
    cache.forget_where(lambda value: value == "a1")
    assert [await cache.get("a"), await cache.get("b")] == ["a3", "b2"]


async def test_forgotten_values_are_not_used_in_an_outage(world, cache):
    await cache.get("a")
    world.away = True
    cache.forget("a")
    with pytest.raises(RedisAway):
        await cache.get("a")


async def test_expired_values_are_reloaded_but_used_in_an_outage(world, cache):
    """An unstable Redis must not invalidate known values."""
    await cache.get("a")
    cache.expire_all()
    assert await cache.get("a") == "a2"
    cache.expire_all()
    world.away = True
    assert await cache.get("a") == "a2"


async def test_a_hanging_redis_delays_one_request_briefly(world, cache):
    await cache.get("a")
    await cache.get("b")
    world.now = 3
    world.gate.clear()
    async with asyncio.timeout(60):
        assert await cache.get("a") == "a1"  # after 0.05 s of patience
    for _ in range(100):
        assert [await cache.get("a"), await cache.get("b")] == ["a1", "b2"]
    assert world.loads == 3
    world.now = 5.5  # time to ask again: one request does, and only that one
    answers = await asyncio.gather(*(cache.get(k) for k in "abab"))
    assert answers == ["a1", "b2", "a1", "b2"]
    assert world.loads == 4
    world.gate.set()
    await asyncio.sleep(0.01)
    world.now = 6
    assert await cache.get("b") not in ("b2", None)


async def test_loads_time_out_while_redis_hangs(world):
    world.gate.clear()
    cache = cache_of(world, load_timeout_s=0.05)
    with pytest.raises(TimeoutError):
        await cache.get("a")


async def test_without_a_time_to_live_every_request_asks_for_itself(world):
    """A client that has just written a value reads it back."""
    cache = cache_of(world, ttl_s=0)
    world.gate.clear()
    first = asyncio.create_task(cache.get("a"))
    await under_way(world)
    second = asyncio.create_task(cache.get("a"))
    await under_way(world, 2)
    world.gate.set()
    assert [await first, await second] == ["a1", "a2"]


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_no_interleaving_returns_an_outdated_value(seed):
    """In any interleaving, a lookup after an announced change never returns the old value."""
    chance = random.Random(seed)
    truth = {"version": 0}

    async def load(_key: str) -> int:
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        seen = truth["version"]
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        return seen

    async def run() -> None:
        cache = LookupCache(load, ttl_s=1000)

        async def ask() -> None:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            announced = truth["version"]
            assert await cache.get("k") >= announced

        async def change() -> None:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            truth["version"] += 1
            chance.choice([cache.expire_all, lambda: cache.forget("k")])()

        jobs = [ask() for _ in range(8)] + [change() for _ in range(4)]
        chance.shuffle(jobs)
        await asyncio.gather(*jobs)
        assert await cache.get("k") == truth["version"]

    asyncio.run(run())
