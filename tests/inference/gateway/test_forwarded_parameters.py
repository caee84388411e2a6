"""Tests of the parameters that requests may have: OpenAI's, vLLM's, and the documented ones."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import openai.types
import pytest
from fastapi.routing import APIRoute
from openai.types import chat, responses
from pydantic import BaseModel, ValidationError

from service.config import NEVER_PASSED_ON, Settings
from service.core.errors import BadRequest
from service.inference.gateway import request_types as read
from service.inference.gateway import schemas as documented
from service.inference.gateway.parameters import (
    _READ,
    FORWARDED,
    PATHS,
    UNSUPPORTED,
    WITHOUT_EFFECT,
    RequestRules,
    parse,
    request_type,
)
from service.inference.gateway.schemas import router

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, EMBEDDINGS = "/v1/responses", "/v1/embeddings"
NEEDED: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "hi"}]},
    COMPLETIONS: {"prompt": "hi"},
    RESPONSES: {"input": "hi"},
    EMBEDDINGS: {"input": "hi"},
}
DOCS = Path(__file__).parents[3] / "docs" / "serving.md"

OPENAI: dict[str, list[Any]] = {
    CHAT: [
        chat.completion_create_params.CompletionCreateParamsNonStreaming,
        chat.completion_create_params.CompletionCreateParamsStreaming,
    ],
    COMPLETIONS: [
        openai.types.completion_create_params.CompletionCreateParamsNonStreaming,
        openai.types.completion_create_params.CompletionCreateParamsStreaming,
    ],
    RESPONSES: [
        responses.response_create_params.ResponseCreateParamsNonStreaming,
        responses.response_create_params.ResponseCreateParamsStreaming,
    ],
    EMBEDDINGS: [openai.types.embedding_create_params.EmbeddingCreateParams],
}

# Parameters of vLLM 0.32 that requests may not have, with the reason.
NOT_PASSED_ON = {
    # They reach beyond the request: other engines, extensions, templates, IDs.
    *NEVER_PASSED_ON - {"cache_salt"},
    "session_id",
    # One request becomes up to 16 new ones for each token, all before those of batches.
    *("use_beam_search", "length_penalty"),
    # Options of the readers of images, which can make one of them very large.
    *("media_io_kwargs", "mm_processor_kwargs", "mm_payload", "return_mm_kwargs"),
    # For other routes of vLLM, for debugging it, or for what the engines do not do.
    *("enable_response_messages", "previous_input_messages", "return_token_offsets"),
    *("routed_experts_prompt_start", "watermarking"),
}


VLLM_TYPES = pytest.mark.parametrize(
    ("path", "module", "names"),
    [
        (CHAT, "openai/chat_completion", ["ChatCompletionRequest"]),
        (COMPLETIONS, "openai/completion", ["CompletionRequest"]),
        (RESPONSES, "openai/responses", ["ResponsesRequest"]),
        (
            EMBEDDINGS,
            "pooling/base",
            [
                *("PoolingBasicRequestMixin", "CompletionRequestMixin", "ChatRequestMixin"),
                *("ChatRequestOptionsMixin", "EncodingRequestMixin", "EmbedRequestMixin"),
            ],
        ),
    ],
)


def _of_vllm(module: str, names: list[str]) -> set[str]:
    """Return the parameters that vLLM's types of requests have."""
    spec = importlib.util.find_spec("vllm")
    origin = None if spec is None else spec.origin
    if origin is None:
        pytest.skip("vLLM is not installed")
    file = Path(origin).parent / "entrypoints" / module / "protocol.py"
    return {
        field.target.id
        for kind in ast.parse(file.read_text("utf-8")).body
        if isinstance(kind, ast.ClassDef) and kind.name in names
        for field in kind.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if not field.target.id.startswith("_")
    }


def error_of(path: str, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parse(path, json.dumps({"model": "a", **NEEDED[path], **fields}).encode()).check(16)
    return caught.value


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_an_unknown_parameter_does_not_reach_the_engine(gateway, engine, path):
    client = await gateway()
    body = {"model": "tiny-base", **NEEDED[path]}
    for name in sorted(NEVER_PASSED_ON - {"cache_salt"} | {"use_beam_search", "temprature"}):
        async with client.post(path, json={**body, name: {"do_remote_prefill": True}}) as response:
            assert response.status == 400
            assert (await response.json())["error"] == {
                "message": f"Unknown parameter: '{name}'.",
                "type": "invalid_request_error",
                "param": name,
                "code": "unknown_parameter",
            }
    assert engine.seen == []
    async with client.post(path, json=body) as response:
        assert response.status == 200


def test_a_long_name_is_cut():
    assert error_of(CHAT, **{"x" * 10_000: 1}).message == f"Unknown parameter: '{'x' * 80}'."


@pytest.mark.parametrize("path", sorted(PATHS))
def test_every_parameter_of_openai_is_known(path):
    documented = {name for params in OPENAI[path] for name in get_type_hints(params)}
    assert documented - set(request_type(path).__struct_fields__) == set()


@VLLM_TYPES
def test_every_parameter_of_vllm_is_decided(path, module, names):
    """Each one is passed on or listed here, so that a new version of vLLM shows what it adds."""
    public = _of_vllm(module, names)
    known = set(request_type(path).__struct_fields__)
    assert "model" in public
    assert public - known - NOT_PASSED_ON == set()
    assert known & NOT_PASSED_ON == set()


@VLLM_TYPES
def test_every_parameter_of_openai_is_followed_or_decided(path, module, names):
    """The engine or the gateway does what it says, or it is listed as one that has no effect."""
    documented = {name for params in OPENAI[path] for name in get_type_hints(params)}
    followed = _of_vllm(module, names) | set(_READ[path].__struct_fields__)
    refused, ignored = set(UNSUPPORTED[path]), WITHOUT_EFFECT[path]
    assert documented - followed - refused - ignored == set()
    assert (refused | ignored) - documented == set()
    assert refused & ignored == set()


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"audio": {"voice": "alloy", "format": "mp3"}}),
        (CHAT, {"modalities": ["text", "audio"]}),
        (CHAT, {"web_search_options": {}}),
        (CHAT, {"moderation": {"model": "omni-moderation-latest"}}),
        (CHAT, {"verbosity": "low"}),
        (COMPLETIONS, {"suffix": "the end"}),
        (COMPLETIONS, {"best_of": 2}),
        (RESPONSES, {"text": {"verbosity": "high"}}),
        (RESPONSES, {"image": {}}),
        (RESPONSES, {"context_management": [{"type": "compaction"}]}),
        (RESPONSES, {"background_options": {"completion_window": "2h"}}),
        (RESPONSES, {"access_programs": {"cyber": "standard"}}),
        (RESPONSES, {"moderation": {"model": "omni-moderation-latest"}}),
    ],
)
def test_what_would_have_no_effect_but_should_is_refused(path, fields):
    body = {"model": "a", **NEEDED[path]}
    rules = RequestRules()
    with pytest.raises(BadRequest) as caught:
        rules.parse(path, json.dumps({**body, **fields}).encode())
    assert caught.value.code == "unsupported_parameter"
    assert str(caught.value.param).split(".")[0] in fields
    rules.parse(path, json.dumps(body | dict.fromkeys(fields)).encode())


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"modalities": ["text"], "verbosity": "medium", "prediction": {"type": "content"}}),
        (CHAT, {"service_tier": "auto", "store": False, "metadata": {"a": "b"}, "user": "u"}),
        (COMPLETIONS, {"suffix": "", "best_of": 1}),
        (RESPONSES, {"context_management": [], "text": {"verbosity": "medium"}}),
        (RESPONSES, {"max_tool_calls": 3, "include": ["reasoning.encrypted_content"]}),
    ],
)
def test_what_has_no_effect_and_need_not_is_accepted(path, fields):
    body = {"model": "a", **NEEDED[path], **fields}
    RequestRules().parse(path, json.dumps(body).encode())


def test_the_documentation_lists_them():
    section = re.search(r"## Parameters\n(.*?)\n## ", DOCS.read_text("utf-8"), re.DOTALL)
    assert section is not None
    listed = set(re.findall(r"`(\w+)`", section[1]))
    for path, fields in FORWARDED.items():
        openais = {name for params in OPENAI[path] for name in get_type_hints(params)}
        assert fields.keys() - openais <= listed


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"top_k": -1, "min_p": 0.05, "repetition_penalty": 1.1, "min_tokens": 2}),
        (CHAT, {"stop": ["a"] * 4, "stop_token_ids": [1, 2], "logit_bias": {"5": -100}}),
        (CHAT, {"stop": "a", "seed": -1, "user": None, "metadata": {"a": "b"}, "store": False}),
        (CHAT, {"response_format": {"type": "text"}, "structured_outputs": None}),
        (COMPLETIONS, {"logprobs": 5, "echo": True, "bad_words": ["no"], "ignore_eos": True}),
        (RESPONSES, {"top_k": 5, "reasoning": {"effort": "low"}, "include": [], "text": {}}),
        (EMBEDDINGS, {"dimensions": 64, "encoding_format": "base64", "truncate_prompt_tokens": -1}),
    ],
)
def test_known_parameters_pass(path, fields):
    parse(path, json.dumps({"model": "a", **NEEDED[path], **fields}).encode()).check(16)


@pytest.mark.parametrize(
    ("path", "fields", "message", "code"),
    [
        (CHAT, {"top_k": -2}, "integer below minimum value. Expected a value >= -1, but got -2",
         "integer_below_min_value"),
        (CHAT, {"min_p": 1.5}, "decimal above maximum value. Expected a value <= 1, but got 1.5",
         "decimal_above_max_value"),
        (RESPONSES, {"repetition_penalty": 0},
         "decimal below minimum value. Expected a value > 0, but got 0",
         "decimal_below_min_value"),
        (CHAT, {"prompt_logprobs": 21},
         "integer above maximum value. Expected a value <= 20, but got 21",
         "integer_above_max_value"),
        (CHAT, {"stop": ["a"] * 5},
         "array too long. Expected an array with maximum length 4, but got an array with length 5",
         "array_above_max_length"),
        (COMPLETIONS, {"stop_token_ids": [1] * 129},
         "array too long. Expected an array with maximum length 128, but got an array with length "
         "129", "array_above_max_length"),
        (CHAT, {"logit_bias": {str(n): 1 for n in range(1025)}},
         "too many properties. Expected an object with at most 1024 properties, but got an object "
         "with 1025 properties", "object_above_max_properties"),
        (EMBEDDINGS, {"dimensions": 0},
         "integer below minimum value. Expected a value >= 1, but got 0",
         "integer_below_min_value"),
    ],
)  # fmt: skip
def test_bounds_are_told_in_openais_words(path, fields, message, code):
    error = error_of(path, **fields)
    param = next(iter(fields))
    assert (error.message, error.param, error.code) == (
        f"Invalid '{param}': {message} instead.",
        param,
        code,
    )


@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        (CHAT, {"ignore_eos": "yes"}, "'ignore_eos': expected a boolean, but got a string"),
        (CHAT, {"metadata": []}, "'metadata': expected an object, but got an array"),
        (CHAT, {"logit_bias": {"5": "x"}},
         "'logit_bias.5': expected a decimal number, but got a string"),
        (COMPLETIONS, {"stop_token_ids": ["a"]},
         "'stop_token_ids[0]': expected an integer, but got a string"),
        (EMBEDDINGS, {"encoding_format": 1},
         "'encoding_format': expected a string, but got an integer"),
    ],
)  # fmt: skip
def test_other_types_are_told_in_openais_words(path, fields, message):
    error = error_of(path, **fields)
    assert (error.message, error.code) == (f"Invalid type for {message} instead.", "invalid_type")


def test_an_operator_can_allow_more():
    body = json.dumps({"model": "a", **NEEDED[CHAT], "use_beam_search": True, "documents": []})
    with pytest.raises(BadRequest):
        RequestRules().parse(CHAT, body.encode())
    settings = Settings(extra_request_fields="use_beam_search, documents")
    assert RequestRules.from_settings(settings).parse(CHAT, body.encode()).model == "a"


@pytest.mark.parametrize("name", ["kv_transfer_params", "vllm_xargs", "cache_salt", "a-b", "A"])
def test_an_operator_cannot_allow_what_reaches_beyond_a_request(name):
    with pytest.raises(ValidationError, match=f"'{name}' is n"):
        Settings(extra_request_fields=(name,))


REQUESTS = [
    (read.ChatRequest, documented.CreateChatCompletion),
    (read.CompletionRequest, documented.CreateCompletion),
    (read.ResponseRequest, documented.CreateResponse),
    (read.EmbeddingRequest, documented.CreateEmbeddings),
]
PARSED_LATER = {
    *("prompt", "input", "messages", "stream_options", "tools", "tool_choice"),
    *("chat_template_kwargs", "response_format"),
}


def test_every_route_of_the_gateway_is_documented():
    documented_paths = {r.path for r in router.routes if isinstance(r, APIRoute)}
    assert documented_paths == PATHS


@pytest.mark.parametrize(("reads", "model"), REQUESTS, ids=lambda kind: kind.__name__)
def test_the_gateway_reads_the_documented_types(reads: type, model: type[BaseModel]):
    fields = {name: field.annotation for name, field in model.model_fields.items()}
    shared = get_type_hints(reads).keys() & fields.keys() - PARSED_LATER
    assert "model" in shared
    assert {n: get_type_hints(reads)[n] for n in shared} == {n: fields[n] for n in shared}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "model"),
    [
        ("openai.chat_completion", "ChatCompletionRequest", documented.CreateChatCompletion),
        ("openai.completion", "CompletionRequest", documented.CreateCompletion),
        ("openai.responses", "ResponsesRequest", documented.CreateResponse),
        ("pooling.embed", "EmbeddingCompletionRequest", documented.CreateEmbeddings),
    ],
)
def test_vllm_knows_every_documented_field(module: str, name: str, model: type[BaseModel]):
    protocol = pytest.importorskip(f"vllm.entrypoints.{module}.protocol")
    assert model.model_fields.keys() <= getattr(protocol, name).model_fields.keys()
