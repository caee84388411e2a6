"""Tests of requests for several answers: limited, and each answer counts."""

from __future__ import annotations

import asyncio

import pytest

from service.config.limits import Limits
from tests.inference.conftest import BOTH_WAYS

BASE = "tiny-base"
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("path", "fields", "param", "code"),
    [
        ("/v1/chat/completions", {"n": 128}, "n", "integer_above_max_value"),
        ("/v1/completions", {"best_of": 1000}, "best_of", "unsupported_parameter"),
        ("/v1/completions", {"prompt": ["a"] * 17}, "prompt", "array_above_max_length"),
        ("/v1/completions", {"prompt": [[1]] * 9, "n": 2}, "n", "integer_above_max_value"),
    ],
)
@BOTH_WAYS
async def test_too_many_answers_never_reach_the_engine(gateway, engine, path, fields, param, code):
    client = await gateway()
    async with client.post(path, json={"model": BASE, **fields}) as response:
        error = (await response.json())["error"]
        assert response.status == 400
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert engine.seen == []


@BOTH_WAYS
async def test_answers_count_against_limits(gateway, engine):
    client = await gateway(key_limits=Limits(requests_per_minute=10, tokens_per_minute=1000))
    async with client.post(json={**CHAT, "n": 4, "max_tokens": 100}) as response:
        assert response.status == 200
        assert response.headers["x-ratelimit-remaining-requests"] == "6"
        assert int(response.headers["x-ratelimit-remaining-tokens"]) < 600
    prompts = {"model": BASE, "prompt": ["a", "b", "c", "d"], "n": 2}
    async with client.post("/v1/completions", json=prompts) as response:
        assert response.status == 429
        assert "requests per minute" in (await response.json())["error"]["message"]
    assert len(engine.seen) == 1


@BOTH_WAYS
async def test_a_request_for_several_answers_waits_for_as_many_places(gateway, engine):
    client = await gateway(key_limits=Limits(concurrent_requests=5))
    arrived, go_on = asyncio.Event(), asyncio.Event()
    at_once = engine.reply

    async def reply(request):
        arrived.set()
        await go_on.wait()
        return await at_once(request)

    engine.reply = reply
    many = asyncio.create_task(client.ask(json={**CHAT, "n": 4}))
    await asyncio.wait_for(arrived.wait(), 60)
    for leaves in (True, False):
        two = asyncio.create_task(client.ask(json={**CHAT, "n": 2}))
        async with asyncio.timeout(60):
            while not client.meter.waiting:
                await asyncio.sleep(0.01)
            if leaves:
                two.cancel()
                while client.meter.waiting:
                    await asyncio.sleep(0.01)
    assert len(engine.seen) == 1
    go_on.set()
    assert b"ok" in await two
    assert b"ok" in await many
    assert len(engine.seen) == 2
