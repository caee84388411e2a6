"""Tests that tokens and answers are counted, whatever a request or an answer contains."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

from service.config.limits import Limits
from service.core import metrics
from tests.inference.conftest import BOTH_WAYS

BASE = "tiny-base"
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "hi"}]}
RESPONSE = {"model": BASE, "input": "hi"}
CHAT_USAGE = {"prompt_tokens": 24, "total_tokens": 44, "completion_tokens": 20}
RESPONSE_USAGE = {"input_tokens": 24, "output_tokens": 20, "total_tokens": 44}


def served_tokens() -> tuple[float, float]:
    labels = (BASE, "base", "acme")
    cells = [metrics.SERVED_TOKENS.cell(*labels, way) for way in ("in", "out")]
    return cells[0].value, cells[1].value


async def tokens_since(before: tuple[float, float]) -> tuple[float, float]:
    """Return the counted tokens, which may be recorded after the response's last byte."""
    async with asyncio.timeout(60):
        while served_tokens() == before:
            await asyncio.sleep(0.01)
    after = served_tokens()
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (
            "/v1/chat/completions",
            {"choices": [{}], "usage": CHAT_USAGE, "prompt_logprobs": [{"decoded_token": "usage"}]},
        ),
        (
            "/v1/responses",
            {"tools": [{"usage": {}}], "usage": RESPONSE_USAGE, "user": "usage", "text": {}},
        ),
    ],
)
@pytest.mark.parametrize("pieces", [1, 7])
@BOTH_WAYS
async def test_an_answer_that_says_usage_elsewhere_is_counted(
    gateway, engine, path, answer, pieces
):
    body = json.dumps(answer, separators=(",", ":")).encode()

    async def reply(request):
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        size = -(-len(body) // pieces)
        for at in range(0, len(body), size):
            await response.write(body[at : at + size])
        return response

    engine.reply = reply
    client = await gateway(key_limits=Limits(tokens_per_minute=1_000_000))
    before = served_tokens()
    given = CHAT if path == "/v1/chat/completions" else RESPONSE
    assert await client.ask(path=path, json=given) == body
    assert await tokens_since(before) == (24, 20)


@BOTH_WAYS
async def test_a_stream_of_responses_is_counted(gateway, engine):
    event = {"response": {"metadata": {"usage": "no"}, "usage": RESPONSE_USAGE, "user": "usage"}}

    async def reply(request):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'event: response.created\ndata: {"response":{"usage":null}}\n\n')
        await response.write(
            b"event: response.completed\ndata: %b\n\n" % json.dumps(event).encode()
        )
        return response

    engine.reply = reply
    client = await gateway()
    before = served_tokens()
    await client.ask(path="/v1/responses", json={**RESPONSE, "stream": True})
    assert await tokens_since(before) == (24, 20)


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
