"""Tests that handler and ASGI application answer, count and limit requests alike."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

from service.config.limits import Limits
from service.core import metrics
from service.inference.upstreams import Timeouts
from tests.inference.conftest import BASE

PATH = "/v1/chat/completions"
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "hi"}]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
_OWN = {"date", "x-request-id"}
_CHANGING = {
    f"x-ratelimit-{name}-{what}"
    for name in ("remaining", "reset")
    for what in ("requests", "tokens")
}


async def ok(_: web.Request) -> web.Response:
    return web.json_response({"choices": [], "usage": USAGE})


async def in_pieces(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"content-type": "application/json"})
    await answer.prepare(request)
    for piece in (b'{"usage": {"prompt_tokens": 3,', b' "completion_tokens": 2}}'):
        await answer.write(piece)
        await asyncio.sleep(0.02)
    return answer


async def refuses(_: web.Request) -> web.Response:
    return web.json_response({"error": {"message": "no", "code": 400}}, status=400)


async def fails(_: web.Request) -> web.Response:
    return web.json_response({"error": {"message": "inner", "code": 500}}, status=500)


async def hangs_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    await asyncio.sleep(60)
    return web.Response()


async def streams(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await answer.prepare(request)
    events: list[dict[str, object]] = [
        {"choices": [{"delta": {}}]},
        {"choices": [], "usage": USAGE},
    ]
    for event in events:
        await answer.write(b"data: %b\n\n" % json.dumps(event).encode())
    await answer.write(b"data: [DONE]\n\n")
    return answer


async def told(client, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return the status, the headers in their order and the body of a response."""
    async with client.post(PATH, data=body) as answer:
        headers = [(name.decode().lower(), value.decode()) for name, value in answer.raw_headers]
        shown = [(name, "" if name in _OWN | _CHANGING else value) for name, value in headers]
        return answer.status, shown, await answer.read()


@pytest.mark.parametrize(
    ("reply", "fields", "status"),
    [
        (ok, {}, 200),
        (ok, {"max_tokens": 7, "n": 2}, 200),
        (in_pieces, {}, 200),
        (streams, {"stream": True}, 200),
        (streams, {"stream": True, "stream_options": {"include_usage": True}}, 200),
        (refuses, {}, 400),
        (fails, {}, 500),
        (hangs_up, {}, 503),
        (ok, {"model": "unknown"}, 404),
        (ok, {"temperature": "hot"}, 400),
        (ok, {"unknown": 1}, 400),
        (ok, {"max_tokens": 10**9}, 429),
    ],
)
async def test_all_ways_answer_alike(gateway, engine, reply, fields, status):
    engine.reply = reply
    limits = Limits(requests_per_minute=1000, tokens_per_minute=1_000_000)
    body = json.dumps({**CHAT, **fields}).encode()
    answers = []
    for handles, cache_s in ((False, 0), (True, 0), (True, 60)):
        client = await gateway(key_limits=limits, handles=handles, cache_s=cache_s)
        if cache_s:
            await told(client, body)  # looks up the key and the model, opens a connection
        answers.append(await told(client, body))
        assert not handles or client.handler.handled == (2 if cache_s else 1)
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == status
    bodies = {seen.body for seen in engine.seen}
    assert len(bodies) <= 1  # the engine got the same, if anything


async def test_its_requests_are_counted_once(gateway, engine):
    engine.reply = ok
    client = await gateway(cache_s=60)
    cells = [
        metrics.HTTP_REQUESTS.cell("POST", PATH, "200"),
        metrics.SERVED_REQUESTS.cell(BASE, "base", "acme", "200"),
        metrics.SERVED_TOKENS.cell(BASE, "base", "acme", "in"),
        metrics.SERVED_TOKENS.cell(BASE, "base", "acme", "out"),
        metrics.IN_FLIGHT.cell("acme"),
    ]
    before = [cell.value for cell in cells]
    await told(client, json.dumps(CHAT).encode())
    assert [cell.value - was for cell, was in zip(cells, before, strict=True)] == [1, 1, 3, 2, 0]


async def test_an_engine_that_does_not_answer_in_time_is_504(gateway, engine):
    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    engine.reply = ok
    timeouts = Timeouts(connect_s=2, first_byte_s=0.2, between_chunks_s=0.2)
    client = await gateway(cache_s=60, timeouts=timeouts)
    await told(client, json.dumps(CHAT).encode())  # opens the connection to the engine
    engine.reply = never
    assert (await told(client, json.dumps(CHAT).encode()))[0] == 504
    assert client.handler.handled == 2
