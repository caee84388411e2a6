"""The log names the request that an engine refused."""

from __future__ import annotations

import logging

import pytest
from aiohttp import web

from service.core import logs
from tests.inference.conftest import BASE, BOTH_WAYS

CHAT = {"model": BASE, "messages": [{"role": "user", "content": "hi"}]}
ERROR = {"error": {"message": "strange", "code": 400}}


async def refuses(_: web.Request) -> web.Response:
    return web.json_response(ERROR, status=400)


async def refuses_in_a_stream(_: web.Request) -> web.Response:
    event = b'data: {"error":{"message":"strange","code":400}}\n\n'
    return web.Response(body=event, content_type="text/event-stream")


async def refuses_later(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await answer.prepare(request)
    await answer.write(b'data: {"choices": []}\n\n')
    await answer.write(b'data: {"error":{"message":"strange","code":400}}\n\n')
    return answer


@BOTH_WAYS
@pytest.mark.parametrize("reply", [refuses, refuses_in_a_stream, refuses_later])
async def test_a_refusal_is_logged_with_the_id_of_its_request(gateway, engine, reply):
    seen: list[str | None] = []

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(logs.request_id.get())

    handler, log = Seen(), logging.getLogger("service.inference.gateway.engine_errors")
    client = await gateway(cache_s=60)
    await client.ask(json=CHAT)  # opens the connection to the engine
    engine.reply = reply
    log.addHandler(handler)
    try:
        for name in ("req-1", "req-2"):
            await client.ask(json={**CHAT, "stream": True}, headers={"x-request-id": name})
    finally:
        log.removeHandler(handler)
    assert seen == ["req-1", "req-2"]
