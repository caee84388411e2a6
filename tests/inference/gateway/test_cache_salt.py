"""Tests that projects do not share vLLM's prefix cache, whatever they send."""

from __future__ import annotations

import json

import pytest

from service.inference.gateway.request_body import cache_salts
from tests.inference.conftest import ENGINE_KEY, OTHER_KEY

BASE = "tiny-base"
PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"]
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "hi"}]}
BODIES = {
    "/v1/completions": {"model": BASE, "prompt": "hi"},
    "/v1/responses": {"model": BASE, "input": "hi"},
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("sent", [{}, {"cache_salt": "mine"}, {"cache_salt": None}])
async def test_every_request_has_the_salt_of_its_project(gateway, engine, path, sent):
    client = await gateway()
    body = BODIES.get(path, CHAT)
    await client.ask(path=path, json={**body, **sent})
    streamed = {} if path == "/v1/embeddings" else {"stream": True}
    await client.ask(path=path, json={**sent, **body, **streamed})
    await client.ask(path=path, json={**body, **sent}, key=OTHER_KEY)
    first, again, others = (json.loads(seen.body)["cache_salt"] for seen in engine.seen)
    assert first == again == cache_salts(ENGINE_KEY)("proj_acme")
    assert others == cache_salts(ENGINE_KEY)("proj_other")


async def test_a_salt_cannot_be_written_another_way(gateway, engine):
    client = await gateway()
    body = b'{"model":"tiny-base","input":"","cache_salt":"x","cache\\u005fsalt":"y"} \n'
    await client.ask(path="/v1/responses", data=body)
    assert json.loads(engine.seen[0].body)["cache_salt"] == cache_salts(ENGINE_KEY)("proj_acme")


def test_salts_are_the_same_in_every_replica_and_differ_otherwise():
    one, two, other = cache_salts("key"), cache_salts("key"), cache_salts("another key")
    assert one("proj_a") == two("proj_a")
    assert len({one("proj_a"), one("proj_b"), other("proj_a")}) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "body"),
    [
        ("chat_completion", "ChatCompletionRequest", CHAT),
        ("completion", "CompletionRequest", {"prompt": "hi"}),
        ("responses", "ResponsesRequest", {"input": "hi"}),
    ],
)
def test_vllm_accepts_it(module, name, body):
    protocol = pytest.importorskip(f"vllm.entrypoints.openai.{module}.protocol")
    salt = cache_salts("key")("proj_acme")
    found = getattr(protocol, name).model_validate({**body, "model": BASE, "cache_salt": salt})
    assert found.cache_salt == salt


@pytest.mark.slow
def test_vllm_accepts_it_for_embeddings():
    protocol = pytest.importorskip("vllm.entrypoints.pooling.embed.protocol")
    salt = cache_salts("key")("proj_acme")
    found = protocol.EmbeddingCompletionRequest(model=BASE, input="hi", cache_salt=salt)
    assert found.cache_salt == salt
