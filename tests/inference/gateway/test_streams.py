"""Tests of streams whose tokens are counted, and of aliases."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from service.core import metrics
from service.models.aliases.changes import Aliases
from service.models.aliases.records import Target
from tests.inference.conftest import BOTH_WAYS

BASE = "tiny-base"
ADAPTER = f"ft:{BASE}:acme:tone:abc123"
MESSAGES = [{"role": "user", "content": "hi"}]
EVENTS = [
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Ahoy"}}]}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
]
USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def streaming(engine):
    """An engine that streams, with a usage event if requested."""

    async def reply(request):
        asked = json.loads(engine.seen[-1].body)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        options = asked.get("stream_options") or {}
        for event in [*EVENTS, *([USAGE] if options.get("include_usage") else []), DONE]:
            await response.write(event)
        return response

    engine.reply = reply
    return engine


def sent_to(engine) -> dict[str, Any]:
    """Return the newest request as an engine received it, without the salt."""
    body = json.loads(engine.seen[-1].body)
    assert body.pop("cache_salt")
    return body


def counted(direction: str) -> float:
    return sum(
        sample.value
        for metric in metrics.SERVED_TOKENS.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["direction"] == direction
    )


@BOTH_WAYS
async def test_a_stream_is_counted_and_the_caller_sees_nothing_of_it(gateway, streaming):
    client = await gateway()
    before = counted("in"), counted("out")
    body = {"model": BASE, "messages": MESSAGES, "stream": True}
    async with client.post(json=body) as response:
        assert await response.read() == b"".join([*EVENTS, DONE])
    assert sent_to(streaming) == body | {"stream_options": {"include_usage": True}}
    assert (counted("in") - before[0], counted("out") - before[1]) == (7, 2)


@pytest.mark.parametrize("options", [{"include_usage": True}, {"include_usage": True, "x": 1}])
@BOTH_WAYS
async def test_who_asks_for_usage_gets_it(gateway, streaming, options):
    client = await gateway()
    body = json.dumps(
        {"stream": True, "model": BASE, "messages": MESSAGES, "stream_options": options}
    )
    async with client.post(data=body) as response:
        assert await response.read() == b"".join([*EVENTS, USAGE, DONE])
    assert streaming.seen[-1].body.startswith(body[:-1].encode())
    assert sent_to(streaming) == json.loads(body)


@BOTH_WAYS
async def test_other_stream_options_stay(gateway, streaming):
    client = await gateway()
    options = {"include_usage": False, "x": 1}
    body = {"model": BASE, "messages": MESSAGES, "stream": True, "stream_options": options}
    async with client.post(json=body) as response:
        assert await response.read() == b"".join([*EVENTS, DONE])
    options = json.loads(streaming.seen[-1].body)["stream_options"]
    assert options == {"include_usage": True, "x": 1}


@BOTH_WAYS
async def test_events_are_not_made_of_many_tokens(gateway, streaming):
    """If the client of a stream disconnects, its events are counted."""
    client = await gateway()
    body = {"model": BASE, "messages": MESSAGES, "stream": True, "stream_interval": 1000}
    await client.ask(json=body)
    options = {"stream_options": {"include_usage": True}}
    assert sent_to(streaming) == body | options | {"stream_interval": None}


@BOTH_WAYS
async def test_a_response_stream_is_left_alone(gateway, streaming):
    client = await gateway()
    body = json.dumps({"model": BASE, "input": "hi", "stream": True}).encode()
    async with client.post("/v1/responses", data=body) as response:
        await response.read()
    assert sent_to(streaming) == json.loads(body)


@BOTH_WAYS
async def test_an_alias_reaches_the_engine_as_the_model_it_stands_for(
    gateway, engine, registry, add_adapter
):
    await add_adapter(ADAPTER)
    aliases = Aliases(registry.redis, registry, max_per_project=10)
    name = "ft:gpt-4o-mini:acme::abc"
    await aliases.put("proj_acme", name, (Target(model=ADAPTER, weight=100),), key_id="key_a")
    client = await gateway()
    body = {"model": name, "messages": MESSAGES}
    async with client.post(json=body) as response:
        assert response.status == 200
    assert sent_to(engine) == body | {"model": ADAPTER}
    assert engine.seen[-1].headers["x-finetuned-adapter"].startswith("ft%3A")
    async with client.post(json=body, key="sk-ft-other") as response:
        assert response.status == 404
