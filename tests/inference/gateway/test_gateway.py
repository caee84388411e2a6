"""Tests of what the gateway forwards and what it does not."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest
from aiohttp import web

from tests.inference.conftest import BOTH_WAYS
from tests.web.test_security_headers import DEFAULTS, safe

BASE = "tiny-base"
OTHER_KEY = "sk-ft-other"
ADAPTER = f"ft:{BASE}:acme:tone:abc123"
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "hi"}]}


async def error_of(response) -> dict[str, Any]:
    body = await response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    assert safe(response.headers) == DEFAULTS
    return body["error"]


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"]
)
@BOTH_WAYS
async def test_bytes_cross_as_they_are(gateway, engine, path):
    client = await gateway()
    given = {"/v1/chat/completions": b'"messages": [{"role":"user", "content":""}]'}
    given |= {"/v1/completions": b'"prompt": ""'}
    needed = given.get(path, b'"input":   ""')
    odd = b'{%b, "user": "\xc3\xa4\\u00e4",   "model":"tiny-base"}' % needed
    answer = b'{"choices":[ ],"extra":"\xe0\xb8\x81"}'

    async def reply(_):
        return web.Response(body=answer, content_type="application/json")

    engine.reply = reply
    async with client.post(path, data=odd) as response:
        assert response.status == 200
        assert await response.read() == answer
        assert response.headers["content-length"] == str(len(answer))
        assert response.content_type == "application/json"
        assert safe(response.headers) == DEFAULTS
    sent = engine.seen[0].body
    assert sent.startswith(odd[:-1])
    assert json.loads(sent).keys() - json.loads(odd).keys() == {"cache_salt"}
    assert engine.seen[0].path == path


@BOTH_WAYS
async def test_headers_of_either_side_stay_there(gateway, engine):
    client = await gateway()

    async def reply(_):
        return web.json_response({}, headers={"server": "inner", "x-inner": "1", "set-cookie": "a"})

    engine.reply = reply
    sent = {
        "cookie": "session=1",
        "x-forwarded-for": "10.0.0.9",
        "x-finetuned-adapter": "ft:evil",
        "connection": "x-hop",
        "x-hop": "1",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "x-request-id": "mine-1",
    }
    async with client.post("/v1/chat/completions?api-version=1", json=CHAT, headers=sent) as r:
        assert r.headers["x-request-id"] == "mine-1"
        assert "x-inner" not in r.headers
        assert "set-cookie" not in r.headers
    inner = {k.lower(): v for k, v in engine.seen[0].headers.items()}
    assert inner.pop("host")
    assert inner == {
        "authorization": "Bearer engine-secret",
        "content-type": "application/json",
        "content-length": str(len(engine.seen[0].body)),
        "accept-encoding": "identity",
        "traceparent": sent["traceparent"],
        "x-request-id": "mine-1",
    }
    assert engine.seen[0].path == "/v1/chat/completions"


@BOTH_WAYS
async def test_an_adapter_is_named_to_the_guard(gateway, engine, add_adapter):
    name = f"ft:{BASE}:acme:ภาษา:abc123"
    await add_adapter(name)
    client = await gateway()
    async with client.post(json={**CHAT, "model": name}) as response:
        assert response.status == 200
    assert engine.seen[0].headers["x-finetuned-adapter"].startswith("ft%3Atiny-base%3Aacme%3A%E0")
    assert json.loads(engine.seen[0].body)["model"] == name


@BOTH_WAYS
async def test_chunks_come_one_by_one(gateway, engine):
    client = await gateway()
    go_on = asyncio.Event()

    async def reply(request):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await go_on.wait()
        await response.write(b"data: [DONE]\n\n")
        return response

    engine.reply = reply
    async with client.post(json={**CHAT, "stream": True}) as response:
        assert response.content_type == "text/event-stream"
        # The second chunk is not created before the first has arrived.
        assert await response.content.readany() == b"data: 1\n\n"
        go_on.set()
        assert await response.content.read() == b"data: [DONE]\n\n"


@BOTH_WAYS
async def test_a_client_that_leaves_before_the_answer_stops_the_engine(gateway, engine):
    client = await gateway()
    arrived = asyncio.Event()

    async def reply(_):
        arrived.set()
        await asyncio.Event().wait()
        return web.Response()

    engine.reply = reply

    async def ask():
        async with client.post(json=CHAT):
            pass

    task = asyncio.create_task(ask())
    await asyncio.wait_for(arrived.wait(), 5)
    task.cancel()
    await asyncio.wait_for(engine.dropped.wait(), 5)


@BOTH_WAYS
async def test_a_slow_client_gets_everything(gateway, engine):
    client = await gateway()
    block = b"x" * 64 * 1024

    async def reply(request):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(200):
            await response.write(block)
        return response

    engine.reply = reply
    async with client.post(json=CHAT) as response:
        await asyncio.sleep(0.3)
        assert len(await response.content.read()) == 200 * len(block)


@BOTH_WAYS
async def test_unknown_names_and_those_of_others_are_404(gateway, engine, add_adapter):
    await add_adapter(ADAPTER)
    client = await gateway()
    for key, name in (
        (OTHER_KEY, ADAPTER),
        (OTHER_KEY, f"ft:{BASE}:acme:tone:nope99"),
        (OTHER_KEY, "gpt-4o"),
        (OTHER_KEY, "ft:../../etc/passwd"),
        (OTHER_KEY, f"{BASE}/../x"),
    ):
        async with client.post(key=key, json={**CHAT, "model": name}) as response:
            assert response.status == 404
            error = await error_of(response)
            assert (error["code"], error["param"]) == ("model_not_found", "model")
            assert error["type"] == "invalid_request_error"
    assert engine.seen == []
    async with client.post(json={**CHAT, "model": ADAPTER}) as response:
        assert response.status == 200


async def test_a_deleted_model_is_404(gateway, engine, registry, add_adapter):
    await add_adapter(ADAPTER)
    client = await gateway()
    async with client.post(json={**CHAT, "model": ADAPTER}) as response:
        assert response.status == 200
    await registry.delete("proj_acme", ADAPTER)
    async with client.post(json={**CHAT, "model": ADAPTER}) as response:
        assert response.status == 404


@pytest.mark.parametrize("key", [None, "", "sk-ft-wrong"])
@BOTH_WAYS
async def test_no_key_no_answer(gateway, engine, key):
    client = await gateway()
    async with client.post(key=key, json=CHAT) as response:
        assert response.status == 401
        assert (await error_of(response))["type"] == "authentication_error"
    assert engine.seen == []


@BOTH_WAYS
async def test_other_routes_of_the_engine_cannot_be_reached(gateway, engine):
    client = await gateway()
    for path in (
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        "/invocations",
        "/tokenize",
        "/metrics",
        "/v1/chat/completions/../../v1/load_lora_adapter",
        "/v1/chat%2Fcompletions/..%2F..%2Ftokenize",
    ):
        async with client.post(path, json=CHAT) as response:
            assert response.status == 404
    async with client.session.get(client.url + "/v1/chat/completions") as response:
        assert response.status == 405
    assert engine.seen == []


@BOTH_WAYS
async def test_a_large_body_crosses_whole(gateway, engine):
    client = await gateway(max_body_bytes=8 * 1024 * 1024)
    body = json.dumps({**CHAT, "user": "x" * 6_000_000}).encode()
    async with client.post(data=io.BytesIO(body)) as response:
        assert response.status == 200
    assert engine.seen[0].body.startswith(body[:-1])


@pytest.mark.parametrize("chunked", [False, True])
@BOTH_WAYS
async def test_a_body_over_the_limit_is_413(gateway, engine, chunked):
    client = await gateway(max_body_bytes=10_000)

    async def pieces():
        for _ in range(20):
            yield b" " * 1000

    body = pieces() if chunked else b" " * 20_000
    async with client.post(data=body) as response:
        assert response.status == 413
        assert (await error_of(response))["code"] == "request_too_large"
    assert engine.seen == []


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"not json", "invalid_json", None),
        (
            b'{"model": "tiny-base", "messages": [{"role": "user", "content": "\x80"}]}',
            "invalid_json",
            None,
        ),
        (b"[1]", "invalid_json", None),
        (b"{}", "missing_required_parameter", "model"),
        (b'{"model": null}', "invalid_type", "model"),
        (b'{"model": ["tiny-base"]}', "invalid_type", "model"),
        (b'{"model": ""}', "invalid_value", "model"),
        (b'{"model": "tiny-base", "metadata": NaN}', "invalid_json", None),
        (
            b'{"model": "tiny-base", "tools": ' + b"[" * 100 + b"]" * 100 + b"}",
            "invalid_json",
            None,
        ),
    ],
)
@BOTH_WAYS
async def test_what_is_no_request_is_400(gateway, engine, body, code, param):
    client = await gateway()
    async with client.post(data=body) as response:
        assert response.status == 400
        error = await error_of(response)
        assert (error["code"], error["param"]) == (code, param)
    assert engine.seen == []


async def test_redis_away_is_503(gateway, registry, engine, closed_port):
    from service.core.redis import connect

    client = await gateway()
    away = connect(f"redis://127.0.0.1:{closed_port}", retries=0)
    registry.models.redis = away
    async with client.post(json={**CHAT, "model": ADAPTER}) as response:
        assert response.status == 503
        assert response.headers["retry-after"]
        await error_of(response)
    await away.aclose(close_connection_pool=True)


async def test_a_stopping_gateway_refuses_requests_that_still_arrive(gateway, engine):
    client = await gateway()
    assert client.handler is not None
    client.handler.gateway.close()
    async with client.post(json=CHAT) as response:
        assert response.status == 503
        assert (await error_of(response))["message"].startswith("The server is stopping.")
    assert engine.seen == []


@BOTH_WAYS
async def test_a_stopping_gateway_ends_streams_with_an_error_event(gateway, engine):
    client = await gateway()
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"A"}}]}\n\n'

    async def reply(request):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(chunk)
        await asyncio.sleep(60)
        return response

    engine.reply = reply
    async with client.post(json={**CHAT, "stream": True}) as response:
        assert await response.content.readexactly(len(chunk)) == chunk
        client.app.close()
        rest = await response.read()
    assert rest.startswith(b"data: {")
    error = json.loads(rest.removeprefix(b"data: "))["error"]
    assert (error["type"], error["code"]) == ("server_error", "service_unavailable")
    await asyncio.wait_for(engine.dropped.wait(), 10)


@BOTH_WAYS
async def test_requests_to_a_stopping_engine_go_to_another(gateway, engine, raw_engine):
    head = b"HTTP/1.1 503 Service Unavailable\r\nx-finetuned-stopping: 1\r\n"
    stopping = await raw_engine(head + b"content-length: 2\r\n\r\n{}")
    client = await gateway([stopping, engine.url])
    for _ in range(4):
        async with client.post(json=CHAT) as response:
            assert (response.status, await response.json()) == (200, {"ok": True})


@BOTH_WAYS
async def test_a_request_that_only_a_stopping_engine_could_take_is_503(gateway, engine):
    async def reply(_):
        return web.Response(status=503, headers={"x-finetuned-stopping": "1"}, body=b"{}")

    client = await gateway()
    assert await client.ask(json=CHAT) == b'{"ok": true}'  # the next uses its connection
    engine.reply = reply
    async with client.post(json=CHAT) as response:
        assert response.status == 503
        assert response.headers["retry-after"]
        assert (await error_of(response))["code"] == "engine_unavailable"
