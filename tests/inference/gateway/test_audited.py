"""Entries of the audit log about each request to a model."""

from __future__ import annotations

import pytest

from service.web import audit_trail
from service.web.client_address import ClientAddresses
from service.web.request_audit import ModelRequests
from tests.inference.conftest import BASE

CHAT = {"model": BASE, "messages": [{"role": "user", "content": "Patient 4711"}]}


async def test_each_request_has_an_entry_without_its_text(gateway, registry):
    await registry.redis.delete(audit_trail.STREAM)
    client = await gateway(audited=ModelRequests(registry.redis, ClientAddresses()))
    headers = {"x-request-id": "req-7"}
    async with client.post(json=CHAT, headers=headers) as answer:
        assert answer.status == 200
    async with client.post(json={**CHAT, "model": "unknown"}) as answer:
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
    async with client.post(json=CHAT) as answer:
        assert answer.status == 200
    await redis.config_set("maxmemory", 0)
    assert await redis.xlen(audit_trail.STREAM) == is_recorded


async def test_no_engine_gets_a_request_that_cannot_be_recorded(
    gateway, registry, engine, monkeypatch
):
    redis = registry.redis
    client = await gateway(audited=ModelRequests(redis, ClientAddresses()))
    await client.ask(json=CHAT)
    asked = len(engine.seen)
    monkeypatch.setattr(redis, "patience_s", 0)
    await redis.config_set("min-replicas-to-write", 1)
    async with client.post(json=CHAT) as answer:
        assert answer.status == 503
        assert (await answer.json())["error"]["code"] == "audit_log_unavailable"
    await redis.config_set("min-replicas-to-write", 0)
    assert len(engine.seen) == asked
