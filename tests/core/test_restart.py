"""Tests that commands wait for a store that restarts."""

from __future__ import annotations

import asyncio

import pytest

from service.core.redis import connect, reply


@pytest.mark.slow
async def test_commands_wait_for_a_server_that_restarts(valkey):
    """During the restart, the port refuses connections."""
    client = connect(valkey.url, retries=60, patience_s=60)
    await client.set("a", "1")
    valkey.kill()
    commands = [asyncio.create_task(reply(client.get("a"))), asyncio.create_task(watched(client))]
    await asyncio.sleep(1)
    valkey.start()
    async with asyncio.timeout(60):
        assert await asyncio.gather(*commands) == [b"1", b"1"]
    await client.aclose(close_connection_pool=True)


async def watched(client) -> bytes | None:
    """Transactions take a different path through redis-py than commands."""
    async with client.pipeline() as pipe:
        await pipe.watch("a")
        return await pipe.get("a")
