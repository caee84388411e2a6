"""Tests of failed requests: whether any of their bytes can have arrived."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from service.core.errors import Unavailable
from service.inference.upstreams import Timeouts
from service.inference.upstreams.client import EngineClient, NotSent

PATH = "/v1/completions"


async def kept(client: EngineClient, url: str) -> None:
    """Make one request, after which its connection is kept."""
    answer = await client.post(url, PATH, b"{}", {})
    await answer.read_all(1024)
    answer.close()


TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize("last_words", [b"", TIMED_OUT], ids=["closes", "says 408"])
async def test_a_connection_lost_before_the_write_was_not_asked(engine, last_words):
    """The engine closes an idle connection at the moment it is reused."""
    async with EngineClient(Timeouts()) as client:
        await kept(client, engine.url)
        asking = asyncio.ensure_future(client.post(engine.url, PATH, b"{}", {}))
        await asyncio.sleep(0)  # taken, and the write waits for others
        (connection,) = client._pools[engine.url]._busy
        if last_words:
            connection.data_received(last_words)
        else:
            connection.abort()
        answer = await asking
        assert answer.status == 200
        answer.close()
    assert len(engine.seen) == 2


async def test_a_pool_stays_while_it_connects(black_hole, until):
    """If the pool were swept, nobody would close its connection."""
    url = black_hole().url
    timeouts = Timeouts(connect_s=0.5, first_byte_s=0.04, between_chunks_s=0.04)
    async with EngineClient(timeouts) as client:  # sweeps every 10 ms
        asking = asyncio.ensure_future(client.post(url, PATH, b"{}", {}))
        await asyncio.sleep(0.2)
        assert url in client._pools
        with pytest.raises(NotSent):
            await asking
        await until(lambda: not client._pools)


async def test_an_engine_that_hangs_up_is_not_asked_over_and_over():
    accepted = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, EngineClient(Timeouts()) as client:
        with pytest.raises((NotSent, Unavailable)):
            await client.post(url, PATH, b"{}", {})
    assert accepted == 1


async def test_a_connection_lost_after_the_write_may_have_been_asked(engine):
    arrived = asyncio.Event()

    async def reply(_):
        arrived.set()
        await asyncio.sleep(30)
        return web.json_response({})

    async with EngineClient(Timeouts()) as client:
        await kept(client, engine.url)
        engine.reply = reply
        asking = asyncio.ensure_future(client.post(engine.url, PATH, b"{}", {}))
        await asyncio.wait_for(arrived.wait(), 5)
        (connection,) = client._pools[engine.url]._busy
        connection.abort()
        with pytest.raises(Unavailable):
            await asking
    assert len(engine.seen) == 2


async def test_a_caller_that_left_before_the_write_asks_nothing(engine):
    async with EngineClient(Timeouts()) as client:
        await kept(client, engine.url)
        asking = asyncio.ensure_future(client.post(engine.url, PATH, b"{}", {}))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(0.1)
    assert len(engine.seen) == 1
