"""Tests of what is recorded of requests: copies of chats, audit entries, and IDs in the log."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from service.core import logs
from service.web import audit_trail
from service.web.auth import Capture, Principal
from service.web.client_address import ClientAddresses
from service.web.permissions import Role
from service.web.request_audit import ModelRequests
from tests.inference.conftest import BASE, BOTH_WAYS, PROJECTS

KEY = "sk-ft-capturing"
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "Hi"}]}


@dataclass
class Copy:
    """A copy, as the gateway fills it."""

    names: tuple[str, str]
    body: bytes
    chunks: list[bytes] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def keep(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def end(self, status: int) -> None:
        self.statuses.append(status)


@dataclass
class Copies:
    """All copies. It takes those of chats."""

    made: list[Copy] = field(default_factory=list)
    asked: int = 0

    def begin(
        self, caller: Principal, path: str, names: tuple[str, str], body: bytes
    ) -> Copy | None:
        assert caller.capture is not None
        self.asked += 1
        if not path.endswith("/chat/completions"):
            return None
        self.made.append(Copy(names, body))
        return self.made[-1]


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Copies:
    capture = Capture(sampling=1, expires_after_days=1)
    caller = Principal("key_c", "proj_acme", "acme", Role.MEMBER, capture=capture)
    monkeypatch.setitem(PROJECTS, KEY, caller)
    return Copies()


async def test_a_copy_has_what_the_client_sent_and_got(gateway, engine, copies):
    client = await gateway(copies=copies)
    got = await client.ask(json=CHAT, key=KEY)
    [copy] = copies.made
    assert (b"".join(copy.chunks), copy.statuses) == (got, [200])
    assert copy.names == (BASE, BASE)
    assert b"cache_salt" not in copy.body
    assert b'"Hi"' in copy.body
    await client.ask(json=CHAT)  # of a project that stores none
    await client.ask(path="/v1/completions", json={"model": BASE, "prompt": "Hi"}, key=KEY)
    assert (copies.asked, len(copies.made)) == (2, 1)


async def test_a_copy_of_a_stream_has_all_events(gateway, engine, copies):
    async def reply(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for event in (
            '{"choices": [1]}',
            '{"choices": [], "usage": {"prompt_tokens": 1}}',
            "[DONE]",
        ):
            await answer.write(f"data: {event}\n\n".encode())
        return answer

    engine.reply = reply
    client = await gateway(copies=copies)
    got = await client.ask(json={**CHAT, "stream": True}, key=KEY)
    [copy] = copies.made
    assert b"".join(copy.chunks) == got
    assert b"usage" not in got
    assert copy.statuses == [200]


async def test_a_copy_ends_as_its_chat_does(gateway, engine, copies):
    client = await gateway(copies=copies)

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no", "code": 400}}, status=400)

    engine.reply = refuse
    await client.ask(json=CHAT, key=KEY)
    assert copies.made[0].statuses == [400]

    async def hang(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b'data: {"choices": []}\n\n')
        await asyncio.sleep(3600)
        return answer

    engine.reply = hang
    async with client.post(json={**CHAT, "stream": True}, key=KEY) as response:
        await response.content.readany()
    async with asyncio.timeout(60):
        while not copies.made[1].statuses:
            await asyncio.sleep(0.01)
    assert copies.made[1].statuses == [499]


PATIENT = {"model": BASE, "messages": [{"role": "user", "content": "Patient 4711"}]}


async def test_each_request_has_an_entry_without_its_text(gateway, registry):
    await registry.redis.delete(audit_trail.STREAM)
    client = await gateway(audited=ModelRequests(registry.redis, ClientAddresses()))
    headers = {"x-request-id": "req-7"}
    async with client.post(json=PATIENT, headers=headers) as answer:
        assert answer.status == 200
    async with client.post(json={**PATIENT, "model": "unknown"}) as answer:
        assert answer.status == 404
    [(_, fields)] = await registry.redis.xrange(audit_trail.STREAM)
    assert b"Patient" not in fields[b"entry"]
    entry = audit_trail.decode(fields[b"entry"])
    assert (entry.type, entry.outcome, entry.objects) == ("model.requested", "accepted", (BASE,))
    assert (entry.origin.request_id, entry.origin.address) == ("req-7", "127.0.0.1")


@pytest.mark.parametrize("is_recorded", [False, True])
async def test_chats_continue_when_the_memory_of_redis_is_full(gateway, registry, is_recorded):
    redis = registry.redis
    audited = ModelRequests(redis, ClientAddresses()) if is_recorded else None
    client = await gateway(audited=audited)
    await redis.config_set("maxmemory", 1)
    async with client.post(json=PATIENT) as answer:
        assert answer.status == 200
    await redis.config_set("maxmemory", 0)
    assert await redis.xlen(audit_trail.STREAM) == is_recorded


async def test_no_engine_gets_a_request_that_cannot_be_recorded(
    gateway, registry, engine, monkeypatch
):
    redis = registry.redis
    client = await gateway(audited=ModelRequests(redis, ClientAddresses()))
    await client.ask(json=PATIENT)
    asked = len(engine.seen)
    monkeypatch.setattr(redis, "patience_s", 0)
    await redis.config_set("min-replicas-to-write", 1)
    async with client.post(json=PATIENT) as answer:
        assert answer.status == 503
        assert (await answer.json())["error"]["code"] == "audit_log_unavailable"
    await redis.config_set("min-replicas-to-write", 0)
    assert len(engine.seen) == asked


HELLO = {"model": BASE, "messages": [{"role": "user", "content": "hi"}]}
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
    await client.ask(json=HELLO)  # opens the connection to the engine
    engine.reply = reply
    log.addHandler(handler)
    try:
        for name in ("req-1", "req-2"):
            await client.ask(json={**HELLO, "stream": True}, headers={"x-request-id": name})
    finally:
        log.removeHandler(handler)
    assert seen == ["req-1", "req-2"]
