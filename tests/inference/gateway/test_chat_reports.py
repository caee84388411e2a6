"""Tests of the reports of chats: from the gateway through Redis to a worker."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp import web

from service.core.redis import connect
from service.inference.chat_load import ChatLoad, ChatReport, ChatReports, ChatState, p95

BODY = {"model": "tiny-base", "messages": [{"role": "user", "content": "hi"}], "stream": True}


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@contextlib.asynccontextmanager
async def listening(redis_url: str):
    redis, load = connect(redis_url), ChatLoad()
    task = asyncio.create_task(load.listen(redis))
    try:
        yield load
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await redis.aclose(close_connection_pool=True)


async def until(is_true) -> None:
    async with asyncio.timeout(60):
        while not is_true():
            await asyncio.sleep(0.02)


@pytest.fixture
async def reports(redis_url):
    redis = connect(redis_url)
    made = ChatReports(redis)
    async with made.publishing():
        yield made
    await redis.aclose(close_connection_pool=True)


async def test_a_worker_sees_a_chat_while_it_waits_and_its_latency(
    gateway, engine, reports, redis_url
):
    begin, end = asyncio.Event(), asyncio.Event()

    async def reply(request):
        await begin.wait()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"id":"c","choices":[]}\n\n')
        await end.wait()
        return response

    engine.reply = reply
    client = await gateway(reports=reports)
    async with listening(redis_url) as load:
        await until(lambda: load.state == ChatState(0, None))
        asking = asyncio.create_task(client.post(json=BODY).__aenter__())
        await until(lambda: load.state and load.state.in_flight == 1 and load.state.p95_ms)
        assert load.p95_since(0) is None  # its answer has not begun
        begin.set()
        await until(lambda: load.p95_since(0) is not None)
        assert load.state.in_flight == 1  # it is still being streamed
        end.set()
        await (await asking).read()
        await until(lambda: load.state.in_flight == 0)
        assert load.state.p95_ms == load.p95_since(0)


async def test_a_refused_chat_has_no_latency(gateway, engine, reports):
    async def reply(_):
        return web.json_response({"error": {"message": "no", "code": 400}}, status=400)

    engine.reply = reply
    client = await gateway(reports=reports)
    async with client.post(json=BODY) as response:
        assert response.status == 400
    report = reports.report()
    assert (report.in_flight, report.first_byte_ms) == (0, ())


@pytest.mark.slow
async def test_reports_survive_a_hanging_redis(reports, redis_url):
    """While Redis hangs, the state is unknown. Then it is known again."""
    redis = connect(redis_url)
    async with listening(redis_url) as load:
        await until(lambda: load.state is not None)
        await redis.execute_command("CLIENT", "PAUSE", "5000", "ALL")
        await until(lambda: load.state is None)
        await until(lambda: load.state is not None)
    await redis.aclose(close_connection_pool=True)


def test_the_state_combines_all_processes_and_forgets_those_that_are_gone():
    clock = Clock()
    load = ChatLoad(clock)
    assert load.state is None
    load.note(ChatReport(process="a", in_flight=2, first_byte_ms=(100, 300), waiting_ms=(900,)))
    load.note(ChatReport(process="b", in_flight=1, first_byte_ms=(200,)))
    assert load.state == ChatState(3, 900)
    clock.now_s = 2
    load.note(ChatReport(process="b", in_flight=1))
    clock.now_s = 4
    assert load.state == ChatState(1, 300)  # a is gone, and with it the chat that waited
    clock.now_s = 6
    assert load.state is None


def test_only_the_latest_latencies_count_for_the_state():
    clock = Clock()
    load = ChatLoad(clock)
    load.note(ChatReport(process="a", in_flight=1, first_byte_ms=(5000,)))
    clock.now_s = 16
    load.note(ChatReport(process="a", in_flight=1, first_byte_ms=(100,)))
    assert load.state == ChatState(1, 100)
    assert load.p95_since(0) == 5000


def test_the_95th_percentile_is_a_latency_that_occurred():
    assert p95([]) is None
    assert p95([7]) == 7
    assert p95(range(1, 101)) == 95
