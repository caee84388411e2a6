"""Tests that nothing in a request can prevent its metering."""

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
    ("path", "fields", "param"),
    [
        ("/v1/chat/completions", {"stream": 1}, "stream"),
        ("/v1/chat/completions", {"stream": "true"}, "stream"),
        ("/v1/chat/completions", {"max_tokens": "200"}, "max_tokens"),
        ("/v1/completions", {"n": "200"}, "n"),
        ("/v1/responses", {"stream": "true"}, "stream"),
        ("/v1/responses", {"max_output_tokens": 20.0}, "max_output_tokens"),
    ],
)
@BOTH_WAYS
async def test_a_value_that_vllm_would_convert_is_400(gateway, engine, path, fields, param):
    client = await gateway()
    async with client.post(path, json={"model": BASE, **fields}) as response:
        error = (await response.json())["error"]
        assert response.status == 400
    assert (error["type"], error["code"], error["param"]) == (
        "invalid_request_error", "invalid_type", param,
    )  # fmt: skip
    assert error["message"].startswith(f"Invalid type for '{param}': expected a")
    assert engine.seen == []


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
