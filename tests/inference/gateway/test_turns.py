"""Tests of the fair queue in front of an engine with few slots."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from service.core import clock
from service.core.redis import Client as RedisClient
from service.core.redis import connect
from service.inference import api_processes
from service.inference.upstreams.health import Policy
from tests.inference.conftest import BOTH_WAYS, OTHER_KEY, Client

BASE = "tiny-base"
ONE_AT_ONCE = Policy(requests_at_once=1)


def chat(user: str) -> dict[str, object]:
    return {"model": BASE, "messages": [{"role": "user", "content": "hi"}], "user": user}


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    connected = connect(redis_url)
    await connected.delete(api_processes.KEY)
    yield connected
    await connected.aclose(close_connection_pool=True)


@pytest.fixture
async def gate(engine) -> AsyncIterator[asyncio.Semaphore]:
    """Let the engine answer one request for each release."""
    semaphore = asyncio.Semaphore(0)

    async def reply(_):
        await semaphore.acquire()
        return web.json_response({"ok": True})

    engine.reply = reply
    yield semaphore
    for _ in range(20):
        semaphore.release()


def seen(engine) -> list[str]:
    """The users of the requests that reached the engine."""
    return [json.loads(request.body)["user"] for request in engine.seen]


async def waiting(client: Client, requests: int) -> None:
    """Wait until this many requests wait for a place."""
    route = client.upstreams.route(BASE, None)
    assert route is not None
    async with asyncio.timeout(60):
        while route[0].queue.waiting != requests:
            await asyncio.sleep(0.01)


async def reached(engine, requests: int) -> None:
    async with asyncio.timeout(60):
        while len(engine.seen) < requests:
            await asyncio.sleep(0.01)


@BOTH_WAYS
async def test_a_project_with_many_requests_does_not_delay_another(gateway, engine, gate):
    client = await gateway(policy=ONE_AT_ONCE)
    tasks = [asyncio.create_task(client.ask(json=chat("many"))) for _ in range(6)]
    await waiting(client, 5)
    tasks.append(asyncio.create_task(client.ask(json=chat("few"), key=OTHER_KEY)))
    await waiting(client, 6)
    gate.release()
    await reached(engine, 2)
    assert seen(engine) == ["many", "few"]
    for _ in range(6):
        gate.release()
    assert set(await asyncio.gather(*tasks)) == {b'{"ok": true}'}
    await waiting(client, 0)


@BOTH_WAYS
async def test_processes_share_the_places(gateway, engine, gate, redis):
    client = await gateway(policy=Policy(requests_at_once=4))
    async with api_processes.counting(redis, every_s=0.02):
        await known(api_processes.KEY, redis, 1)
        await redis.zadd(api_processes.KEY, {"another": clock.now(), "dead": clock.now() - 60})
        async with asyncio.timeout(60):
            while api_processes.share(4) != 2:
                await asyncio.sleep(0.01)
        await known(api_processes.KEY, redis, 2)
        assert [api_processes.share(places) for places in (1, 3, 256)] == [1, 1, 128]
        tasks = [asyncio.create_task(client.ask(json=chat(str(n)))) for n in range(5)]
        await waiting(client, 3)
        await reached(engine, 2)
        # When the other one has left, its places go to this one's requests at the next chance.
        await redis.zrem(api_processes.KEY, "another")
        async with asyncio.timeout(60):
            while api_processes.share(4) != 4:
                await asyncio.sleep(0.01)
        gate.release()
        await waiting(client, 0)
        for _ in range(4):
            gate.release()
        assert set(await asyncio.gather(*tasks)) == {b'{"ok": true}'}
    await known(api_processes.KEY, redis, 0)
    assert api_processes.share(4) == 4


async def known(key: str, redis: RedisClient, processes: int) -> None:
    """Wait until Redis knows this many processes."""
    async with asyncio.timeout(60):
        while await redis.zcard(key) != processes:
            await asyncio.sleep(0.01)


async def test_without_redis_the_last_number_of_processes_stays(closed_port, caplog):
    caplog.set_level("DEBUG", logger="service.inference.api_processes")
    redis = connect(f"redis://127.0.0.1:{closed_port}", retries=0)
    async with api_processes.counting(redis, every_s=0.02), asyncio.timeout(60):
        while caplog.text.count("cannot be counted") < 2:
            await asyncio.sleep(0.01)
        assert api_processes.share(4) == 4
    await redis.aclose(close_connection_pool=True)


@BOTH_WAYS
async def test_a_client_that_leaves_while_it_waits_frees_its_place(gateway, engine, gate):
    client = await gateway(policy=ONE_AT_ONCE)
    first, second = (asyncio.create_task(client.ask(json=chat(str(n)))) for n in range(2))
    await waiting(client, 1)
    gone = asyncio.create_task(client.ask(json=chat("gone"), key=OTHER_KEY))
    await waiting(client, 2)
    gone.cancel()
    await waiting(client, 1)
    gate.release()
    gate.release()
    await asyncio.gather(first, second)
    assert len(seen(engine)) == 2
    assert "gone" not in seen(engine)


@BOTH_WAYS
async def test_a_client_that_leaves_the_engine_frees_its_place(gateway, engine, gate):
    client = await gateway(policy=ONE_AT_ONCE)
    first = asyncio.create_task(client.ask(json=chat("first")))
    await reached(engine, 1)
    second = asyncio.create_task(client.ask(json=chat("second")))
    await waiting(client, 1)
    first.cancel()
    await reached(engine, 2)
    gate.release()
    gate.release()
    assert await second == b'{"ok": true}'


@BOTH_WAYS
async def test_an_engine_that_fails_frees_its_place(gateway, engine):
    client = await gateway(policy=ONE_AT_ONCE)

    async def reply(_):
        return web.Response(status=500)

    engine.reply = reply
    for _ in range(3):
        async with client.post(json=chat("a")) as response:
            assert response.status == 500


@BOTH_WAYS
async def test_a_full_queue_is_429(gateway, engine, gate):
    client = await gateway(policy=Policy(requests_at_once=1, max_waiting=2))
    tasks = [asyncio.create_task(client.ask(json=chat("many"))) for _ in range(2)]
    await waiting(client, 1)
    async with client.post(json=chat("many")) as response:
        assert response.status == 429
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert (await response.json())["error"] == {
            "message": "The engine is currently overloaded: it has no room for another request. "
            "Please try again later.",
            "type": "rate_limit_error",
            "param": None,
            "code": "engine_overloaded",
        }
    other = asyncio.create_task(client.ask(json=chat("few"), key=OTHER_KEY))
    await waiting(client, 2)
    for _ in range(3):
        gate.release()
    assert set(await asyncio.gather(*tasks, other)) == {b'{"ok": true}'}
