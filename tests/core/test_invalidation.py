"""Tests that changes by one process reach all others at once, even after a lost connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from redis.exceptions import WatchError

from service.core import invalidation
from service.core.invalidation import CHANNEL, InvalidationKind, Invalidations
from service.core.redis import Client, connect


class Heard:
    """Messages that a subscriber received."""

    def __init__(self, invalidations: Invalidations) -> None:
        self.messages: list[tuple[str, str, str]] = []
        self.gaps = 0
        for kind in InvalidationKind:
            invalidations.on(kind, self._take(kind))
        invalidations.on_gap(self._gap)

    def _take(self, kind: InvalidationKind) -> Callable[[str, str], None]:
        return lambda project_id, name: self.messages.append((kind, project_id, name))

    def _gap(self) -> None:
        self.gaps += 1


async def until(check: Callable[[], bool], timeout_s: float = 15) -> None:
    async with asyncio.timeout(timeout_s):
        while not check():
            await asyncio.sleep(0.01)


@pytest.fixture
async def redis(valkey) -> AsyncIterator[Client]:
    client = connect(valkey.url)
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
async def heard(redis) -> AsyncIterator[Heard]:
    invalidations = Invalidations(redis)
    listener = Heard(invalidations)
    async with invalidations.listening():
        await until(lambda: listener.gaps == 1)
        yield listener


async def publish(redis, kind: InvalidationKind, project_id: str, name: str) -> None:
    async with redis.pipeline(transaction=True) as pipe:
        invalidation.publish(pipe, kind, project_id, name)
        await pipe.execute()


async def test_each_kind_reaches_its_listener(redis, heard):
    for kind in InvalidationKind:
        await publish(redis, kind, "proj_a", f"ft:x/{kind}")
    await until(lambda: len(heard.messages) == len(InvalidationKind))
    assert heard.messages == [(kind, "proj_a", f"ft:x/{kind}") for kind in InvalidationKind]
    assert heard.gaps == 1


async def test_a_failed_transaction_publishes_nothing(redis, heard):
    await redis.set("watched", 1)
    async with redis.pipeline(transaction=True) as pipe:
        await pipe.watch("watched")
        await redis.set("watched", 2)
        pipe.multi()
        invalidation.publish(pipe, InvalidationKind.KEY, "proj_a", "key_never")
        with pytest.raises(WatchError):
            await pipe.execute()
    await publish(redis, InvalidationKind.KEY, "proj_a", "key_b")
    await until(lambda: bool(heard.messages))
    assert heard.messages == [(InvalidationKind.KEY, "proj_a", "key_b")]


@pytest.mark.parametrize(
    "data", [b"\xff", b"", b"{}", b'["key"]', b'["other", "p", "n"]', b"7", b'[["x"], "p", "n"]']
)
async def test_an_unreadable_message_expires_all_entries(redis, heard, data):
    await redis.publish(CHANNEL, data)
    await until(lambda: heard.gaps == 2)
    await publish(redis, InvalidationKind.MODEL, "proj_a", "m")
    await until(lambda: bool(heard.messages))


async def test_an_outage_is_reported_as_a_gap(valkey, redis, heard):
    valkey.kill()
    await asyncio.sleep(0.5)
    valkey.start()
    await until(lambda: heard.gaps == 2)
    await publish(redis, InvalidationKind.MODEL, "proj_a", "m")
    await until(lambda: heard.messages == [(InvalidationKind.MODEL, "proj_a", "m")])


async def test_a_connection_that_is_cut_is_a_gap(redis, heard):
    await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: heard.gaps == 2)
    await publish(redis, InvalidationKind.MODEL, "proj_a", "m")
    await until(lambda: bool(heard.messages))


@pytest.mark.slow
async def test_a_silent_connection_is_closed(valkey, redis):
    invalidations = Invalidations(redis, ping_every_s=0.2)
    listener = Heard(invalidations)
    async with invalidations.listening():
        await until(lambda: listener.gaps == 1)
        await asyncio.sleep(1)  # idle, but responding: no gap
        assert listener.gaps == 1
        valkey.hang()
        await asyncio.sleep(1)
        valkey.resume()
        await until(lambda: listener.gaps == 2)


async def test_listening_can_begin_while_redis_is_unavailable(valkey, redis):
    valkey.kill()
    invalidations = Invalidations(redis)
    listener = Heard(invalidations)
    async with invalidations.listening():
        await asyncio.sleep(0.3)
        assert listener.gaps == 0
        valkey.start()
        await until(lambda: listener.gaps == 1)


def test_messages_name_no_secret(redis):
    """Messages identify a key by its id, never by its secret or digest."""
    pipe = redis.pipeline()
    invalidation.publish(pipe, InvalidationKind.KEY, "proj_a", "key_1")
    (command,) = [args for args, _ in pipe.command_stack]
    assert json.loads(command[2]) == ["key", "proj_a", "key_1"]
