"""Tests of snapshots of Redis: all records are as of one point in time."""

from __future__ import annotations

import asyncio
import tempfile

import pytest

from service.backup import snapshot
from service.backup.contents import BackupError
from service.core.redis import Client

PAIRS, WRITERS = 1000, 8


async def move(redis: Client, stop: asyncio.Event, writer: int) -> int:
    """Change two keys and an index in each transaction, until stopped."""
    number = 0
    while not stop.is_set():
        pair = (number * WRITERS + writer) % PAIRS
        async with redis.pipeline(transaction=True) as pipe:
            pipe.set(f"finetuned:first:{pair}", f"{writer} {number}")
            pipe.set(f"finetuned:second:{pair}", f"{writer} {number}")
            pipe.set(f"finetuned:new:{writer}:{number}", 1, px=3_600_000)
            pipe.zadd("finetuned:index", {f"{writer}:{number}": number})
            pipe.delete(f"finetuned:new:{writer}:{number - 50}")
            pipe.zrem("finetuned:index", f"{writer}:{number - 50}")
            await pipe.execute()
        number += 1
    return number


async def test_a_snapshot_has_all_or_no_writes_of_a_transaction(redis, redis_url):
    async with redis.pipeline(transaction=False) as pipe:
        for pair in range(PAIRS):
            pipe.mset({f"finetuned:first:{pair}": "-", f"finetuned:second:{pair}": "-"})
        await pipe.execute()
    await redis.set("finetuned:lease:x", 1)
    await redis.set("else", 1)
    stop = asyncio.Event()
    moving = [asyncio.create_task(move(redis, stop, i)) for i in range(WRITERS)]
    with tempfile.TemporaryFile() as spool:
        try:
            found = await snapshot.take(redis_url, spool)
        finally:
            stop.set()
        assert sum(await asyncio.gather(*moving)) > WRITERS, "nothing changed during the backup"
        await redis.flushdb()
        async with redis.pipeline(transaction=False) as pipe:
            for saved in found:
                pipe.restore(saved.key, max(saved.expires_at_ms, 0), saved.value, absttl=True)
            await pipe.execute()
    first = await redis.mget([f"finetuned:first:{pair}" for pair in range(PAIRS)])
    assert first == await redis.mget([f"finetuned:second:{pair}" for pair in range(PAIRS)])
    assert set(first) != {b"-"}
    new = {key.decode().removeprefix("finetuned:new:") for key in await redis.keys("*:new:*")}
    assert {member.decode() for member in await redis.zrange("finetuned:index", 0, -1)} == new
    assert new
    assert 0 < await redis.pttl(f"finetuned:new:{new.pop()}") <= 3_600_000
    assert not await redis.exists("finetuned:lease:x", "else")
    await redis.set("finetuned:x", 1)  # the pause is over


async def test_a_redis_that_is_emptied_during_a_backup_is_an_error(redis, redis_url):
    await redis.mset({f"finetuned:x:{number}": 1 for number in range(3000)})
    with tempfile.TemporaryFile() as spool:
        taking = asyncio.create_task(snapshot.take(redis_url, spool))
        while not spool.tell():
            await asyncio.sleep(0)
        await redis.flushdb()
        with pytest.raises(BackupError, match="was emptied"):
            await taking
