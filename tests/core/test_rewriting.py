"""Tests of the rewriting of the append-only file of Redis after deletions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from secrets import token_hex

import pytest

from service.core import clock
from service.core.redis import Client, connect, rewriting
from service.core.redis.acl import WORKER, acl_lines, with_credentials
from service.core.redis.rewriting import JOURNAL, AppendOnlyFile, JournalFiles, Rewrite, Rewriter
from service.core.storage import Storage
from tests.core.conftest import Valkey
from tests.files_below import files_below

pytestmark = pytest.mark.slow


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Client]:
    client = connect(valkey.url)
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.from_url((tmp_path / "s").as_uri())


@pytest.fixture
def rewriter(redis: Client, storage: Storage) -> Rewriter:
    return Rewriter(redis, partial(storage.keys, JOURNAL), has_journal=True)


async def delete(redis: Client, *names: str) -> int:
    """Delete keys, request a rewrite, and return the time of the deletion."""
    async with redis.pipeline() as pipe:
        pipe.delete(*names)
        rewriting.request(pipe)
        await pipe.execute()
    return clock.now_s()


async def rewritten(redis: Client, rewriter: Rewriter, deleted_at: int) -> Rewrite:
    async with asyncio.timeout(60):
        while (found := await rewriter.covering(deleted_at)) is None:
            await rewriter.advance(await rewriting.requests(redis))
    return found


def files_with(folder: Path, token: str) -> list[str]:
    return [path.name for path in files_below(folder) if token.encode() in path.read_bytes()]


async def count(redis: Client) -> int:
    return int((await redis.info("persistence"))["aof_rewrites"])


async def test_many_deletions_are_in_no_file_after_one_rewrite(redis, rewriter, tmp_path):
    await redis.config_set("rdbcompression", "no")
    token, kept = token_hex(32), token_hex(32)
    await redis.mset({f"finetuned:{n}": f"{token} {n}" for n in range(5)} | {"finetuned:k": kept})
    await redis.execute_command("BGREWRITEAOF")  # so that the base has it too
    await rewritten(redis, rewriter, await delete(redis, "finetuned:none"))
    await redis.set("finetuned:5", token)
    assert len(files_with(tmp_path, token)) == 2  # in the base, and in what came later
    before = await count(redis)
    times = [await delete(redis, f"finetuned:{n}") for n in range(6)]
    assert await rewriter.covering(times[0]) is None
    assert len(files_with(tmp_path, token)) == 2
    found = await rewritten(redis, rewriter, times[-1])
    assert (found.append_only_file, found.journal, found.replicas) == (
        *(AppendOnlyFile.REWRITTEN, JournalFiles.NONE, 0),
    )
    assert files_with(tmp_path, token) == []
    assert files_with(tmp_path, kept)
    await rewriter.advance(await rewriting.requests(redis))
    assert await count(redis) == before + 1
    assert await rewriter.covering(await delete(redis, "finetuned:k")) is None
    assert await rewriter.covering(found.began_at - 3600) == found


async def test_a_rewrite_of_a_server_that_restarted_does_not_count(redis, rewriter, valkey: Valkey):
    await redis.set(rewriting.JOURNALED, -1)
    deleted_at = await delete(redis, "finetuned:a")
    await rewriter.advance(await rewriting.requests(redis))  # it now waits for the journal
    assert await rewriter.covering(deleted_at) is None
    valkey.kill()
    valkey.start()
    await redis.set(rewriting.JOURNALED, await rewriting.requests(redis))
    assert await count(redis) == 0
    assert (await rewritten(redis, rewriter, deleted_at)).journal is JournalFiles.REWRITTEN
    assert await count(redis) == 1


async def test_a_rewrite_reports_a_missing_permission_or_file(
    redis, tmp_path, caplog, valkey: Valkey
):
    storage = Storage.from_url((tmp_path / "s").as_uri())
    await storage.put_bytes("journal/x/y/00000000.gz", b"")
    [_, name, *rules] = acl_lines({WORKER: "secret"})[0].split(" ")
    await redis.execute_command("ACL", "SETUSER", name, *rules, "-bgrewriteaof")
    worker = connect(with_credentials(valkey.url, name, "secret"))
    try:
        refused = Rewriter(worker, partial(storage.keys, JOURNAL), has_journal=False)
        found = await rewritten(redis, refused, await delete(worker, "finetuned:a"))
        assert found.append_only_file is AppendOnlyFile.NOT_PERMITTED
        assert found.journal is JournalFiles.KEPT
        assert "does not permit BGREWRITEAOF" in caplog.text
        assert await count(redis) == 0
        await redis.execute_command("ACL", "SETUSER", name, "+bgrewriteaof")
        found = await rewritten(redis, refused, await delete(worker, "finetuned:a"))
        assert found.append_only_file is AppendOnlyFile.REWRITTEN
    finally:
        await worker.aclose(close_connection_pool=True)
    await redis.config_set("appendonly", "no")
    off = Rewriter(redis, partial(storage.keys, JOURNAL), has_journal=False)
    found = await rewritten(redis, off, await delete(redis, "finetuned:a"))
    assert found.append_only_file is AppendOnlyFile.OFF


@pytest.mark.parametrize(("took_s", "rests_s"), [(0.2, 0), (1, 0), (2, 20), (30, 300)])
def test_rewrites_take_little_of_the_time(took_s, rests_s):
    assert rewriting.rest_s(took_s) == rests_s
