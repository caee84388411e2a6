"""Tests of request bodies: same meaning for gateway and vLLM, appended fields, and salts."""

from __future__ import annotations

import json

import pytest

from service.core.errors import BadRequest
from service.inference.gateway import parameters
from service.inference.gateway.request_body import (
    MAX_DEPTH,
    cache_salts,
    check_nesting,
    with_fields,
)
from service.inference.gateway.request_types import Request
from tests.inference.conftest import ENGINE_KEY, OTHER_KEY


def parse(body: bytes) -> Request:
    return parameters.parse("/v1/chat/completions", body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a"}',
        b'{"model":"a","model":"b"}',
        b'{"mod\\u0065l":"a","model":"b"}',
        b'{"model":"b","mod\\u0065l":"a"}',
        b'{"metadata":{"model":"a"},"model":"b"}',
        b'{"model":"\\u00e9\\ud83d\\ude00"}',
        b'  {"model" : "a" , "tools":["}{]["]}\n',
    ],
)
def test_same_name_as_the_engine_reads(body):
    assert parse(body).model == json.loads(body)["model"]


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"model":"a"}',
        '{"model":"a"}'.encode("utf-16"),
        b'{"model":"a","tools":NaN}',
        b'{"model":"a","tools":Infinity}',
        b'{"Model":"a","model":"b"}',
        b'{"model":"\\ud800"}',
        b'{"model":1,"model":"a"}',
        b'{"model":"a"}{"model":"b"}',
        b'{"model":"a","tools":01}',
    ],
)
def test_what_the_two_may_read_differently_is_refused(body):
    with pytest.raises(BadRequest):
        parse(body)


def nested(levels: int, open_=b"[", close=b"]") -> bytes:
    return open_ * levels + close * levels


@pytest.mark.parametrize(
    "body",
    [
        nested(MAX_DEPTH),
        nested(MAX_DEPTH, b'{"a":', b"}").replace(b":}", b":1}"),
        b"[" + b"{}," * 5000 + b"[]]",
        b'["' + b"[" * 5000 + b'"]',
        b'["' + b'\\"[' * 5000 + b'"]',
        b'["\\\\",' + b'"' + b"[" * 500 + b'"]',
    ],
)
def test_flat_or_quoted_brackets_are_fine(body):
    check_nesting(body)


@pytest.mark.parametrize(
    "body",
    [
        nested(MAX_DEPTH + 1),
        b'["\\\\",' + nested(MAX_DEPTH) + b"]",
        nested(MAX_DEPTH + 1, b'{"a":', b"}"),
        nested(4_000_000),
        b"[" + b"[]," * 200_000 + b"[]]",
        b"[" + b'"",' * 2_000_000 + b"[]]" + b"[" * 100,
        b"[" * 100,
    ],
)
def test_deep_or_endless_structures_are_refused(body):
    with pytest.raises(BadRequest):
        check_nesting(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a"}',
        b' {"model":"a", "messages":[{"role":"user"}] } \n',
        b'{"model":"a","stream_options":{"x":1},"model":"b"}',
        b'{"x":"}","model":"a"}',
    ],
)
def test_fields_are_set_and_all_else_is_as_it_was(body):
    fields = {"model": "ft:b:acme:ü:1", "stream_options": {"include_usage": True}}
    changed = with_fields(body, fields)
    assert json.loads(changed) == json.loads(body) | fields
    assert changed.startswith(body.rstrip()[:-1])


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
