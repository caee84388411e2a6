"""Tests of engines that are unavailable, slow, dying or sending garbage, on real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import openai
import pytest
from aiohttp import web

from service.inference.upstreams import Timeouts

BASE = "tiny-base"
CHAT: dict[str, Any] = {"model": BASE, "messages": [{"role": "user", "content": "hi"}]}
SSE = {"content-type": "text/event-stream"}
CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
)


async def failure(client, **kwargs) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    async with client.post(json=CHAT, **kwargs) as response:
        body = await response.json()
        assert set(body["error"]) == {"message", "type", "param", "code"}
        return response.status, body["error"], response.headers


async def test_nobody_listens(gateway, closed_port):
    client = await gateway([f"http://127.0.0.1:{closed_port}"])
    status, error, headers = await failure(client)
    assert (status, error["type"], error["code"]) == (503, "server_error", "engine_unavailable")
    assert headers["retry-after"] == "2"


async def test_no_engine_for_this_base_model(gateway):
    client = await gateway([])
    status, error, _ = await failure(client)
    assert (status, error["code"]) == (503, "model_not_served")


async def test_a_refused_connection_goes_to_the_next_replica(gateway, engine, closed_port):
    client = await gateway([f"http://127.0.0.1:{closed_port}", engine.url])
    for _ in range(5):
        async with client.post(json=CHAT) as response:
            assert response.status == 200
    assert len(engine.seen) == 5


async def test_what_may_have_arrived_is_not_sent_twice(gateway, engine, raw_engine):
    dying = await raw_engine(b"")
    client = await gateway([dying, engine.url])
    status, error, headers = await failure(client)
    assert (status, error["code"]) == (503, "engine_lost")
    assert headers["retry-after"]
    assert engine.seen == []


async def test_a_silent_engine_is_504(gateway, engine):
    async def reply(_):
        await asyncio.Event().wait()
        return web.Response()

    engine.reply = reply
    client = await gateway(timeouts=Timeouts(first_byte_s=0.2))
    status, error, _ = await failure(client)
    assert (status, error["type"], error["code"]) == (504, "server_error", "engine_timeout")
    await asyncio.wait_for(engine.dropped.wait(), 5)


async def test_headers_without_a_body_are_504_too(gateway, engine):
    async def reply(request):
        response = web.StreamResponse(headers=SSE)
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    engine.reply = reply
    client = await gateway(timeouts=Timeouts(first_byte_s=0.2))
    status, error, _ = await failure(client)
    assert (status, error["code"]) == (504, "engine_timeout")


async def test_a_stream_that_stalls_ends_with_an_error_event(gateway, engine):
    async def reply(request):
        response = web.StreamResponse(headers=SSE)
        await response.prepare(request)
        await response.write(CHUNK)
        await asyncio.Event().wait()
        return response

    engine.reply = reply
    client = await gateway(timeouts=Timeouts(between_chunks_s=0.2))
    async with client.post(json=CHAT) as response:
        assert response.status == 200
        text = await response.read()
    assert text.startswith(CHUNK)
    event = json.loads(text.removeprefix(CHUNK + b"data: "))
    assert event["error"]["code"] == "engine_timeout"
    await asyncio.wait_for(engine.dropped.wait(), 5)


@pytest.mark.parametrize("cut", [b"", b'data: {"id": "c", "cho'])
@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
async def test_the_sdk_raises_when_an_engine_dies_in_mid_stream(gateway, raw_engine, cut, options):
    data = CHUNK + cut
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    url = await raw_engine(head + b"%x\r\n" % len(data) + data + b"\r\n")
    client = await gateway([url])
    sdk = openai.AsyncOpenAI(base_url=client.url + "/v1", api_key="sk-ft-acme", max_retries=0)
    # If a stream is passed on unchanged, a truncated event has been sent and cannot be
    # taken back: the SDK fails on it before it sees our error.
    raised = json.JSONDecodeError if cut and options else openai.APIError
    async with sdk:
        stream = aiter(await sdk.chat.completions.create(**CHAT, stream=True, **options))
        assert (await anext(stream)).choices[0].delta.content == "a"
        with pytest.raises(raised):
            await anext(stream)


async def test_a_plain_body_cut_short_is_not_taken_for_whole(gateway, raw_engine):
    url = await raw_engine(
        b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"a"'
    )
    client = await gateway([url])
    async with client.post(json=CHAT) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


@pytest.mark.parametrize(
    "garbage",
    [b"\x00\x01\x02\x03 nonsense\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n"],
)
async def test_garbage_is_502(gateway, raw_engine, garbage):
    client = await gateway([await raw_engine(garbage)])
    status, error, _ = await failure(client)
    assert (status, error["type"], error["code"]) == (502, "server_error", "bad_gateway")


VLLM_400 = {
    "error": {
        "message": "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)",
        "type": "BadRequestError",
        "param": "max_tokens",
        "code": 400,
    }
}


def vllm_error(code: int, message: str = "m", param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "T", "param": param, "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "answer", "type_", "code", "param"),
    [
        (400, VLLM_400, 400, "invalid_request_error", "invalid_value", "max_tokens"),
        (422, vllm_error(422), 400, "invalid_request_error", "invalid_value", None),
        (
            404,
            {"detail": "Not Found"},
            400,
            "invalid_request_error",
            "unsupported_model",
            "model",
        ),
        (
            404,
            vllm_error(404, "The model `x` does not exist.", "model"),
            404,
            "invalid_request_error",
            "model_not_found",
            "model",
        ),
        (
            400,
            vllm_error(400, "LoRA adapter 'x' was found but could not be loaded."),
            500,
            "server_error",
            "model_not_loadable",
            None,
        ),
        (401, {"error": "Unauthorized"}, 502, "server_error", "bad_gateway", None),
        (302, {}, 502, "server_error", "bad_gateway", None),
        (429, vllm_error(429), 429, "rate_limit_error", "rate_limit_exceeded", None),
        (500, vllm_error(500, "Traceback /opt/x"), 500, "server_error", "engine_error", None),
        (503, vllm_error(503), 503, "server_error", "engine_unavailable", None),
        (500, "<html>", 500, "server_error", "engine_error", None),
    ],
)
async def test_engine_errors_become_the_contracts(
    gateway, engine, status, body, answer, type_, code, param
):
    async def reply(_):
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers={"location": "/x"})

    engine.reply = reply
    client = await gateway()
    got, error, _ = await failure(client)
    assert (got, error["type"], error["code"], error["param"]) == (answer, type_, code, param)
    for words in ("Traceback", "(parameter="):
        assert words not in error["message"]


async def test_a_model_that_cannot_be_loaded_is_not_retried(gateway, engine):
    async def reply(_):
        return web.json_response(
            {"error": {"message": "x", "type": "s", "param": None, "code": "model_not_loadable"}},
            status=500,
        )

    engine.reply = reply
    client = await gateway()
    sdk = openai.AsyncOpenAI(base_url=client.url + "/v1", api_key="sk-ft-acme", max_retries=2)
    async with sdk:
        with pytest.raises(openai.InternalServerError) as caught:
            await sdk.chat.completions.create(**CHAT)
    assert caught.value.code == "model_not_loadable"
    assert len(engine.seen) == 1


async def test_ready_tells_each_base_model(gateway, engine, closed_port):
    client = await gateway([f"http://127.0.0.1:{closed_port}", engine.url])
    assert await client.upstreams.ready() == {BASE: True}
    client = await gateway([f"http://127.0.0.1:{closed_port}"])
    assert await client.upstreams.ready() == {BASE: False}


async def test_connections_are_used_again(gateway, engine):
    client = await gateway()
    peers = set()

    async def reply(request):
        peers.add(request.transport.get_extra_info("peername"))
        return web.json_response({})

    engine.reply = reply
    for _ in range(20):
        async with client.post(json=CHAT) as response:
            assert response.status == 200
    assert len(peers) == 1


async def test_an_idle_connection_that_the_engine_closed_is_not_used(gateway, engine):
    client = await gateway()

    async def reply(_):
        response = web.json_response({})
        response.force_close()
        return response

    engine.reply = reply
    for _ in range(5):
        async with client.post(json=CHAT) as response:
            assert response.status == 200
