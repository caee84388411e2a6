"""Tests that the gateway and vLLM read the same model name from the same bytes."""

from __future__ import annotations

import json

import pytest

from service.core.errors import BadRequest
from service.inference.gateway import parameters
from service.inference.gateway.request_body import MAX_DEPTH, check_nesting, with_fields
from service.inference.gateway.request_types import Request


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
