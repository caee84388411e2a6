"""The look-up cache: how long an answer lives, and what happens when Redis is away."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisAway

from service.core.cache import LookupCache


class World:
    def __init__(self) -> None:
        self.now, self.loads, self.away = 0.0, 0, False

    async def load(self, key: str) -> str:
        if self.away:
            raise RedisAway
        self.loads += 1
        return f"{key}{self.loads}"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def cache(world: World) -> LookupCache[str, str]:
    return LookupCache(world.load, ttl_s=2, stale_s=60, size=2, clock=lambda: world.now)


async def test_remembers_for_its_time_and_no_longer(world, cache):
    assert [await cache.get("a"), await cache.get("a")] == ["a1", "a1"]
    world.now = 2
    assert await cache.get("a") == "a2"


async def test_known_answers_outlive_an_outage_for_a_while(world, cache):
    await cache.get("a")
    world.away, world.now = True, 30
    assert await cache.get("a") == "a1"
    with pytest.raises(RedisAway):
        await cache.get("b")
    world.now = 63
    with pytest.raises(RedisAway):
        await cache.get("a")


async def test_size_is_bounded(world, cache):
    for key in "abc":
        await cache.get(key)
    assert await cache.get("a") == "a4"
