"""Tests that the gateway reads parameters like vLLM, or not at all."""

from __future__ import annotations

import json

import pytest

from service.core.errors import BadRequest
from service.inference.gateway.parameters import parse

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, EMBEDDINGS = "/v1/responses", "/v1/embeddings"


MESSAGES = [{"role": "user", "content": "hi"}]


def request(path=CHAT, **fields):
    return parse(path, json.dumps({"model": "a", **fields}).encode())


def refusal(path=CHAT, *, most=16, **fields) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        request(path, **fields).check(most)
    return caught.value


@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        (CHAT, {"stream": 1}, "'stream': expected a boolean, but got an integer"),
        (CHAT, {"stream": "true"}, "'stream': expected a boolean, but got a string"),
        (RESPONSES, {"stream": "on"}, "'stream': expected a boolean, but got a string"),
        (CHAT, {"max_tokens": "200"}, "'max_tokens': expected an integer, but got a string"),
        (CHAT, {"max_tokens": 2.0}, "'max_tokens': expected an integer, but got a decimal number"),
        (CHAT, {"max_tokens": True}, "'max_tokens': expected an integer, but got a boolean"),
        (CHAT, {"max_completion_tokens": [1]},
         "'max_completion_tokens': expected an integer, but got an array"),
        (COMPLETIONS, {"max_tokens": {}}, "'max_tokens': expected an integer, but got an object"),
        (RESPONSES, {"max_output_tokens": "9"},
         "'max_output_tokens': expected an integer, but got a string"),
        (CHAT, {"n": "5"}, "'n': expected an integer, but got a string"),
        (COMPLETIONS, {"best_of": "5"}, "'best_of': expected an integer, but got a string"),
        (CHAT, {"stream_options": []}, "'stream_options': expected an object, but got an array"),
        (CHAT, {"stream_options": {"include_usage": 1}},
         "'stream_options.include_usage': expected a boolean, but got an integer"),
        (CHAT, {"model": None}, "'model': expected a string, but got null"),
        (CHAT, {"priority": "-1"}, "'priority': expected an integer, but got a string"),
    ],
)  # fmt: skip
def test_what_vllm_would_convert_is_refused_in_openais_words(path, fields, message):
    error = refusal(path, **fields)
    assert error.message == f"Invalid type for {message} instead."
    assert (error.type, error.code) == ("invalid_request_error", "invalid_type")
    assert error.param == message.split("'")[1]


@pytest.mark.parametrize(
    ("path", "fields", "limit"),
    [
        (CHAT, {}, None),
        (CHAT, {"max_tokens": 5}, 5),
        (CHAT, {"max_completion_tokens": 7, "max_tokens": 5}, 7),
        (CHAT, {"max_completion_tokens": None, "max_tokens": 5, "n": None}, 5),
        (CHAT, {"max_tokens": 5, "n": 3}, 15),
        (CHAT, {"max_tokens": 10**30}, 10**30),
        (COMPLETIONS, {}, 16),
        (COMPLETIONS, {"max_tokens": None}, None),
        (COMPLETIONS, {"prompt": ["a", "b"], "n": 2, "best_of": 2, "max_tokens": 10}, 40),
        (RESPONSES, {"max_output_tokens": 9}, 9),
        (RESPONSES, {}, None),
        (EMBEDDINGS, {"input": "a"}, None),
    ],
)
def test_the_output_limit_is_that_of_all_answers(path, fields, limit):
    assert request(path, **fields).output_limit == limit


@pytest.mark.parametrize(
    ("fields", "streamed", "asks"),
    [
        ({}, False, False),
        ({"stream": None}, False, False),
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True, True),
        ({"stream": True, "stream_options": {"include_usage": False}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": None}}, True, False),
        ({"stream": True, "stream_options": None}, True, False),
    ],
)
def test_what_is_said_of_streams(fields, streamed, asks):
    found = request(**fields)
    assert (found.streamed, found.asks_for_usage) == (streamed, asks)


@pytest.mark.parametrize(
    ("prompt", "count"),
    [
        (None, 1),
        ("a", 1),
        ('["a","b"]', 1),
        ([], 1),
        ([1, 2, 3], 1),
        (["a"], 1),
        (['"', "\\", '\\"', "[", ","], 5),
        ([[1, 2], [3]], 2),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_prompts_are_counted(prompt, count, indent):
    body = json.dumps({"prompt": prompt, "model": "a"}, indent=indent).encode()
    assert parse(COMPLETIONS, body).answers == count


@pytest.mark.parametrize(
    ("path", "fields", "param", "code"),
    [
        (CHAT, {"n": 17}, "n", "integer_above_max_value"),
        (CHAT, {"n": 10**30}, "n", "integer_above_max_value"),
        (CHAT, {"n": 0}, "n", "integer_below_min_value"),
        (COMPLETIONS, {"n": 17}, "n", "integer_above_max_value"),
        (COMPLETIONS, {"best_of": 17}, "best_of", "unsupported_parameter"),
        (COMPLETIONS, {"prompt": ["a"] * 17}, "prompt", "array_above_max_length"),
        (COMPLETIONS, {"prompt": [[1]] * 17}, "prompt", "array_above_max_length"),
        (COMPLETIONS, {"prompt": ["a"] * 6, "n": 3}, "n", "integer_above_max_value"),
        (COMPLETIONS, {"prompt_embeds": ["a"] * 17}, "prompt", "array_above_max_length"),
        (EMBEDDINGS, {"input": ["a"] * 2049}, "input", "array_above_max_length"),
        (EMBEDDINGS, {"messages": [[{"content": [{"text": "["}]}]] * 2049},
         "messages", "array_above_max_length"),
    ],
)  # fmt: skip
def test_a_request_for_too_much_is_refused(path, fields, param, code):
    error = refusal(path, **fields)
    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"messages": MESSAGES, "n": 16}),
        (COMPLETIONS, {"prompt": ["a"] * 4, "n": 4}),
        (COMPLETIONS, {"prompt": [1] * 5000}),
        (EMBEDDINGS, {"input": ["a"] * 2048}),
        (EMBEDDINGS, {"messages": [[{"content": [{"text": "["}] * 9}] * 9] * 200}),
        (EMBEDDINGS, {"messages": [{"role": "user", "content": "a"}] * 3000}),
    ],
)
def test_what_may_be_asked_for(path, fields):
    request(path, **fields).check(16)


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS])
def test_no_caller_goes_before_the_others(path):
    assert request(path, priority=10).priority == 10
    assert request(path, priority=0).priority == 0
    error = refusal(path, priority=-1)
    assert (error.param, error.code) == ("priority", "integer_below_min_value")
