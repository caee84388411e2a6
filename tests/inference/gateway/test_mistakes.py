"""The commonest mistakes in requests, and OpenAI's answers to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.core.errors import BadRequest
from service.inference.gateway.engine_errors import translate_message
from service.inference.gateway.parameters import parse

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, EMBEDDINGS = "/v1/responses", "/v1/embeddings"
HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
ROLES = "'system', 'assistant', 'user', 'function', 'tool', and 'developer'"
REQUIRED, TYPE, VALUE = "missing_required_parameter", "invalid_type", "invalid_value"

# Path, fields, message, parameter, code.
MISTAKES: list[tuple[str, dict[str, Any], str, str, str]] = [
    (CHAT, {}, "Missing required parameter: 'messages'.", "messages", REQUIRED),
    (
        CHAT,
        {"messages": []},
        "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
        "empty array instead.",
        "messages",
        "empty_array",
    ),
    (
        CHAT,
        {"messages": None},
        "Invalid type for 'messages': expected an array, but got null instead.",
        "messages",
        TYPE,
    ),
    (
        CHAT,
        {"messages": ["hi"]},
        "Invalid type for 'messages[0]': expected an object, but got a string instead.",
        "messages[0]",
        TYPE,
    ),
    (
        CHAT,
        {"messages": [*HI["messages"], {"content": "hi"}]},
        "Missing required parameter: 'messages[1].role'.",
        "messages[1].role",
        REQUIRED,
    ),
    (
        CHAT,
        {"messages": [{"role": "usr", "content": "hi"}]},
        f"Invalid value: 'usr'. Supported values are: {ROLES}.",
        "messages[0].role",
        VALUE,
    ),
    *(
        (
            CHAT,
            {"messages": [{"role": "user", "content": content}]},
            "Invalid type for 'messages[0].content': expected one of a string or array of objects, "
            f"but got {got} instead.",
            "messages[0].content",
            TYPE,
        )
        for content, got in [
            (None, "null"),
            (5, "an integer"),
            (5.5, "a decimal number"),
            (True, "a boolean"),
            ({"text": "hi"}, "an object"),
        ]
    ),
    (
        CHAT,
        {**HI, "temperature": "hot"},
        "Invalid type for 'temperature': expected a decimal number, but got a string instead.",
        "temperature",
        TYPE,
    ),
    *(
        (
            path,
            {**needed, "temperature": 2.1},
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got "
            "2.1 instead.",
            "temperature",
            "decimal_above_max_value",
        )
        for path, needed in [(CHAT, HI), (COMPLETIONS, {"prompt": "a"}), (RESPONSES, {"input": ""})]
    ),
    (
        CHAT,
        {**HI, "temperature": -0.5},
        "Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -0.5 "
        "instead.",
        "temperature",
        "decimal_below_min_value",
    ),
    *(
        (
            path,
            {**needed, name: 0},
            f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got 0 "
            "instead.",
            name,
            "integer_below_min_value",
        )
        for path, needed, name in [
            (CHAT, HI, "max_tokens"),
            (CHAT, HI, "max_completion_tokens"),
            (COMPLETIONS, {"prompt": "a"}, "max_tokens"),
            (RESPONSES, {"input": "a"}, "max_output_tokens"),
        ]
    ),
    (
        CHAT,
        {**HI, "top_logprobs": 2},
        "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
        "top_logprobs",
        VALUE,
    ),
    (
        CHAT,
        {**HI, "tool_choice": "auto"},
        "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are "
        "specified.",
        "tool_choice",
        VALUE,
    ),
    (COMPLETIONS, {}, "Missing required parameter: 'prompt'.", "prompt", REQUIRED),
    (COMPLETIONS, {"prompt": None}, "Missing required parameter: 'prompt'.", "prompt", REQUIRED),
    (EMBEDDINGS, {}, "Missing required parameter: 'input'.", "input", REQUIRED),
    (RESPONSES, {}, "Missing required parameter: 'input'.", "input", REQUIRED),
    *[
        (
            path,
            {**needed, "chat_template_kwargs": {"tools": []}},
            "Unsupported parameter: 'chat_template_kwargs.tools' is not supported here. Supported "
            "are: enable_thinking, thinking, preserve_thinking, truncate_history_thinking.",
            "chat_template_kwargs.tools",
            "unsupported_parameter",
        )
        for path, needed in [(CHAT, HI), (RESPONSES, {"input": "a"})]
    ],
    (
        CHAT,
        {**HI, "chat_template_kwargs": {"enable_thinking": "no"}},
        "Invalid type for 'chat_template_kwargs.enable_thinking': expected a boolean, but got a "
        "string instead.",
        "chat_template_kwargs.enable_thinking",
        TYPE,
    ),
    (
        RESPONSES,
        {"input": "a", "previous_response_id": "resp_1"},
        "Previous response with id 'resp_1' not found: responses cannot be continued by "
        "their ID. Send the earlier messages in 'input'.",
        "previous_response_id",
        "previous_response_not_found",
    ),
    (
        RESPONSES,
        {"input": "a", "conversation": "conv_1"},
        "Unsupported parameter: 'conversation' is not supported here. No conversation is "
        "kept: send the earlier messages in 'input'.",
        "conversation",
        "unsupported_parameter",
    ),
    (
        RESPONSES,
        {"input": "a", "background": True},
        "Unsupported parameter: 'background' is not supported here. Stream the response instead.",
        "background",
        "unsupported_parameter",
    ),
    (
        RESPONSES,
        {"input": "a", "prompt": {"id": "pmpt_1"}},
        "Unsupported parameter: 'prompt' is not supported here. Send the text of the prompt in "
        "'instructions'.",
        "prompt",
        "unsupported_parameter",
    ),
]


@pytest.mark.parametrize(("path", "fields", "message", "param", "code"), MISTAKES)
def test_a_mistake_is_answered_in_openais_words(path, fields, message, param, code):
    with pytest.raises(BadRequest) as caught:
        parse(path, json.dumps({"model": "a", **fields}).encode()).check(16)
    error = caught.value
    assert (error.message, error.param, error.code) == (message, param, code)


# A value out of each kind of bounds, in the route with this field.
OUT_OF_BOUNDS = [
    (CHAT, "temperature", "2.1"),
    (CHAT, "top_k", "-2"),
    (CHAT, "seed", "99999999999999999999"),
    (CHAT, "stop", '["a", "b", "c", "d", "e"]'),
    (CHAT, "logit_bias", json.dumps({str(n): 1 for n in range(1025)})),
    (COMPLETIONS, "logprobs", "21"),
    (RESPONSES, "max_output_tokens", "0"),
    (EMBEDDINGS, "dimensions", "0"),
]


@pytest.mark.parametrize(("path", "name", "value"), OUT_OF_BOUNDS)
def test_what_follows_a_value_out_of_bounds_is_no_internal_error(path, name, value):
    start = f'{{"model": "a", "{name}": {value}'
    others = ["1", "1.5", '"x"', "null", "true", "[]", "{}", "1e400", "NaN", "[" * 999, '"\\ud800"']
    for rest in ("", ",", ', "stop', *(f', "{name}": {other}' for other in others)):
        for end in ("", "}"):
            with pytest.raises(BadRequest) as caught:
                parse(path, f"{start}{rest}{end}".encode())
            assert caught.value.code != "internal_error"
            assert caught.value.param in (name, None)
    with pytest.raises(BadRequest) as caught:
        parse(path, (start + ', "user": "').encode() + b'\xff"}')
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5000])
@pytest.mark.parametrize(
    ("path", "field"),
    [
        (
            CHAT,
            '"messages": [{"role": "user", "content": "a"}], "tools": [{"function": %s}], '
            '"tool_choice": "required"',
        ),
        (CHAT, '"messages": [{"role": "user", "content": "a"}], "response_format": {"a": %s}'),
        (COMPLETIONS, '"prompt": "a", "structured_outputs": {"regex": %s}'),
        (RESPONSES, '"input": "a", "text": {"format": {"schema": {"minLength": %s}}}'),
    ],
)
def test_a_number_out_of_range_in_a_constraint_is_named(path, field, number):
    request = parse(path, f'{{"model": "a", {field % number}}}'.encode())
    with pytest.raises(BadRequest, match="out of range"):
        request.check_constraints(500)


@pytest.mark.parametrize("tokens", ["[true]", "[1, false]", "[[1], [true]]", "[1.0]", "[null]"])
@pytest.mark.parametrize(("path", "name"), [(COMPLETIONS, "prompt"), (EMBEDDINGS, "input")])
def test_token_ids_are_integers(path, name, tokens):
    with pytest.raises(BadRequest) as caught:
        parse(path, f'{{"model": "a", "{name}": {tokens}}}'.encode()).check(16)
    assert (caught.value.param, caught.value.code) == (name, TYPE)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        *(
            (CHAT, f'"{name}": true')
            for name in ("max_tokens", "n", "seed", "top_k", "top_logprobs")
        ),
        *((CHAT, f'"{name}": [true]') for name in ("stop_token_ids", "allowed_token_ids")),
        (CHAT, '"repetition_detection": {"max_pattern_size": true}'),
        (CHAT, '"temperature": false'),
        (CHAT, '"logit_bias": {"1": true}'),
        (COMPLETIONS, '"logprobs": true'),
        (RESPONSES, '"max_tool_calls": true'),
        (EMBEDDINGS, '"dimensions": true'),
    ],
)
def test_a_boolean_is_no_number(path, field):
    with pytest.raises(BadRequest) as caught:
        parse(path, f'{{"model": "a", {field}}}'.encode())
    assert caught.value.code == TYPE


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (COMPLETIONS, {"prompt": [1, 2]}),
        (COMPLETIONS, {"prompt": [[1, 2], [3]]}),
        (EMBEDDINGS, {"input": ["true", "1.5"]}),
        (CHAT, {"messages": [{"role": "assistant", "tool_calls": []}]}),
        (CHAT, {"messages": [{"role": "assistant", "content": None}]}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}),
        (CHAT, {**HI, "temperature": 0, "top_p": 1, "presence_penalty": 2, "seed": 7}),
        (CHAT, {**HI, "logprobs": True, "top_logprobs": 20}),
        (CHAT, {**HI, "tools": None, "tool_choice": "none"}),
        (CHAT, {**HI, "stream": True, "stream_options": {"include_usage": True}}),
        (COMPLETIONS, {"prompt": "", "logprobs": 5}),
        (
            RESPONSES,
            {"input": "", "store": True, "background": False, "previous_response_id": None},
        ),
    ],
)
def test_what_is_right_passes(path, fields):
    parse(path, json.dumps({"model": "a", **fields}).encode()).check(16)


# A request that engines complain about below.
ENGINES_BODY = json.dumps(
    {"seed": "x", "stop": "5", "tools": [{}], "response_format": {"type": "xml"}}
).encode()
# Messages of vLLM 0.32.
CONTEXT = (
    "This model's maximum context length is 1024 tokens. However, your prompt contains {} input "
    "tokens, which exceeds this limit even without any output tokens. Please reduce the length of "
    "the input prompt."
)


@pytest.mark.parametrize(
    ("path", "given", "message", "param", "code"),
    [
        (
            CHAT,
            CONTEXT.format("at least 1025"),
            "This model's maximum context length is 1024 tokens. However, your messages resulted "
            "in at least 1025 tokens. Please reduce the length of the messages.",
            "messages",
            "context_length_exceeded",
        ),
        (
            COMPLETIONS,
            CONTEXT.format("2000"),
            "This model's maximum context length is 1024 tokens. However, your prompt resulted in "
            "2000 tokens. Please reduce the length of the prompt.",
            "prompt",
            "context_length_exceeded",
        ),
        (
            RESPONSES,
            "The engine prompt length 1100 exceeds the max_model_len 1024. Please reduce prompt.",
            "This model's maximum context length is 1024 tokens. However, your input resulted in "
            "1100 tokens. Please reduce the length of the input.",
            "input",
            "context_length_exceeded",
        ),
        (
            CHAT,
            "max_completion_tokens=5000 cannot be greater than max_model_len=1024. Please request "
            "fewer output tokens.",
            "max_completion_tokens is too large: 5000. This model supports at most 1024 completion "
            "tokens, whereas you provided 5000.",
            "max_completion_tokens",
            VALUE,
        ),
        (
            CHAT,
            "1 validation error:\n  {'type': 'int_parsing', 'loc': 'body.seed', 'msg': 'Input "
            "should be a valid integer, unable to parse string as an integer', 'input': 'x'}",
            "Invalid type for 'seed': expected an integer, but got a string instead",
            "seed",
            TYPE,
        ),
        (
            CHAT,
            "1 validation error:\n  {'type': 'list_type', 'loc': 'body.stop.constrained-list', "
            "'msg': 'Input should be a valid list', 'input': '5'}\n  {'type': 'list_type', 'lo",
            "Invalid type for 'stop': expected an array, but got a string instead",
            "stop",
            TYPE,
        ),
        (
            CHAT,
            "1 validation error:\n  {'type': 'literal_error', 'loc': 'body.response_format.type', "
            "'msg': \"Input should be 'text', 'json_object' or 'json_schema'\", 'input': 'xml', "
            "'ctx': {'expected': \"'text', 'json_object' or 'json_schema'\"}}",
            "Invalid value for 'response_format.type': expected 'text', 'json_object' or "
            "'json_schema', but got another string instead",
            "response_format.type",
            VALUE,
        ),
        (
            CHAT,
            "2 validation errors:\n  {'type': 'missing', 'loc': "
            "'body.tools.0.ChatCompletionToolsParam.function', 'msg': 'Field required', 'input': "
            "'<dict of 1 items>'}",
            "Missing required parameter: 'tools[0].function'.",
            "tools[0].function",
            REQUIRED,
        ),
        (
            CHAT,
            "1 validation error:\n  {'type': 'value_error', 'loc': 'body', 'msg': \"Value error, "
            "stop cannot contain an empty string.\", 'input': '<dict of 3 items>', 'ctx': {}}",
            "Invalid 'stop': empty string. Expected strings with minimum length 1.",
            "stop",
            "empty_string",
        ),
        (
            CHAT,
            "token_id(s) [999] in logit_bias contain out-of-vocab token ids. Vocabulary size: 512",
            "Invalid 'logit_bias': a token ID is not in the model's vocabulary of 512 tokens.",
            "logit_bias",
            VALUE,
        ),
        (
            CHAT,
            "At most 0 image(s) may be provided in one prompt.",
            "Invalid content type in 'messages': this model takes only text.",
            "messages",
            VALUE,
        ),
        (
            CHAT,
            "xgrammar: Failed to transform json schema into a grammar: 'objekt'",
            "Invalid 'response_format': the engine cannot generate text that follows this grammar "
            "or schema. Check that each rule can end, and that no rule is left-recursive; or "
            "simplify it.",
            "response_format",
            VALUE,
        ),
    ],
)
def test_the_engines_words_become_openais(path, given, message, param, code):
    error = translate_message(given, None, path, ENGINES_BODY)
    assert (error.message, error.param, error.code) == (message, param, code)


def test_a_message_of_no_known_form_stays_in_the_log_without_what_it_quotes(caplog):
    error = translate_message("Jinja2 dislikes 'my secret' in [1, 2]", "a.b", CHAT, b"{}")
    assert error.message.startswith("The model's engine refused this request because of the value")
    assert (error.param, error.code) == ("a.b", VALUE)
    assert "Jinja2 dislikes … in …" in caplog.text
    assert "secret" not in caplog.text
