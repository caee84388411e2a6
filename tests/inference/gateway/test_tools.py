"""Tests of requests with tools, to models that call tools and to others."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from aiohttp import web
from openai.types.responses import Tool

from tests.models.folders import with_template

BASE, ADAPTER = "tiny-base", "ft:tiny-base:acme:voice:abc123"
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
RESPONSES_TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
CHAT = {"messages": [{"role": "user", "content": "hi"}], "tools": [TOOL]}
RESPONSE = {"input": "hi", "tools": [RESPONSES_TOOL], "tool_choice": "required"}
# vLLM 0.32's answer without a parser.
NO_PARSER = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'


@pytest.fixture
async def ask(gateway, add_adapter):
    """Send a request and return its status, and its error if it has one."""
    await add_adapter(ADAPTER)
    client = await gateway()

    async def send(path, body, model=BASE):
        async with client.post(path, json={"model": model, **body}) as response:
            return response.status, (await response.json()).get("error")

    return send


@pytest.mark.parametrize("model", [BASE, ADAPTER])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", {**CHAT, "tool_choice": "required"}),
        ("/v1/responses", RESPONSE),
    ],
)
async def test_a_model_without_tools_says_so(ask, engine, tmp_path, model, path, body):
    with_template(tmp_path / "base", "llama3")
    status, error = await ask(path, body, model)
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert (error["param"], error["code"]) == ("tools", "unsupported_tools")
    assert f"'{model}'" in error["message"]
    assert not engine.seen


@pytest.mark.parametrize("body", [{**CHAT, "tool_choice": "none"}, {**CHAT, "tools": None}])
async def test_a_model_without_tools_answers_if_it_is_to_call_none(ask, engine, tmp_path, body):
    with_template(tmp_path / "base", "llama3")
    assert await ask("/v1/chat/completions", body) == (200, None)
    assert len(engine.seen) == 1


@pytest.mark.parametrize("model", [BASE, ADAPTER])
async def test_a_model_with_tools_gets_them(ask, engine, tmp_path, model):
    with_template(tmp_path / "base", "qwen3")
    assert await ask("/v1/chat/completions", CHAT, model) == (200, None)
    assert b"get_weather" in engine.seen[0].body


async def test_of_a_folder_elsewhere_the_engine_decides(ask, engine):
    async def refuse(_):
        error = {"message": NO_PARSER, "type": "BadRequestError", "param": None, "code": 400}
        return web.json_response({"error": error}, status=400)

    assert await ask("/v1/chat/completions", CHAT) == (200, None)
    engine.reply = refuse
    status, error = await ask("/v1/chat/completions", CHAT)
    assert (status, error["param"], error["code"]) == (400, "tools", "unsupported_tools")
    assert "--" not in error["message"]  # vLLM's options are of no use to a client


OTHER = {"type": "function", "function": {"name": "other"}}
KINDS = {
    kind
    for of in get_args(get_args(Tool)[0])
    for kind in get_args(of.model_fields["type"].annotation)
}


@pytest.fixture
def offering(ask, tmp_path):
    """Send a request to a model that calls tools."""
    with_template(tmp_path / "base", "qwen3")
    return ask


@pytest.mark.parametrize("kind", sorted(KINDS - {"function", "custom", "namespace"}))
async def test_tools_of_openais_servers_are_refused(offering, engine, kind):
    tools = [RESPONSES_TOOL, {"type": kind, "name": "a"}]
    status, error = await offering("/v1/responses", {**RESPONSE, "tools": tools})
    assert (status, error["param"]) == (400, "tools[1].type")
    assert error["code"] == "unsupported_parameter"
    assert f"'{kind}'" in error["message"]
    assert engine.seen == []


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (
            "/v1/chat/completions",
            {**CHAT, "tools": [{"type": "custom", "custom": {"name": "a"}}]},
            "tools[0].type",
        ),
        (
            "/v1/responses",
            {**RESPONSE, "tools": [{"type": "custom", "name": "a", "format": {"type": "grammar"}}]},
            "tools[0].format",
        ),
        ("/v1/responses", {**RESPONSE, "tool_choice": {"type": "mcp"}}, "tool_choice.type"),
        (
            "/v1/responses",
            {
                **RESPONSE,
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "no"}],
                },
            },
            "tool_choice.tools[0]",
        ),
        ("/v1/chat/completions", {**CHAT, "functions": [{"name": "a"}]}, "functions"),
        (
            "/v1/chat/completions",
            {"messages": CHAT["messages"], "function_call": "auto"},
            "function_call",
        ),
    ],
)
async def test_what_engines_do_not_do_is_refused(offering, engine, path, body, param):
    status, error = await offering(path, body)
    assert (status, error["param"]) == (400, param)
    assert engine.seen == []


def _sent(engine) -> dict[str, Any]:
    (request,) = engine.seen
    body: dict[str, Any] = json.loads(request.body)
    return body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("call", "choice"),
    [
        (None, "auto"),
        ("none", "none"),
        ({"name": "other"}, {"type": "function", "function": {"name": "other"}}),
    ],
)
async def test_functions_reach_the_engine_as_tools(offering, engine, call, choice, stream):
    function = OTHER["function"]
    body = {"messages": CHAT["messages"], "functions": [function], "function_call": call}
    await offering("/v1/chat/completions", {**body, "stream": stream})
    sent = _sent(engine)
    assert (sent["tools"], sent["tool_choice"]) == ([OTHER], choice)
    assert sent["functions"] == [function]
    assert sent["parallel_tool_calls"] is False


async def test_an_engine_gets_only_the_tools_that_are_allowed(offering, engine):
    named = {"type": "function", "function": {"name": "other"}}
    allowed = {"mode": "required", "tools": [named]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    body = {**CHAT, "tools": [TOOL, OTHER], "tool_choice": choice}
    assert (await offering("/v1/chat/completions", body))[0] == 200
    assert (_sent(engine)["tools"], _sent(engine)["tool_choice"]) == ([OTHER], "required")


async def test_a_function_may_have_the_name_of_a_choice(offering, engine):
    tool = {"type": "function", "function": {"name": "allowed_tools"}}
    body = {**CHAT, "tools": [tool], "tool_choice": tool}
    assert (await offering("/v1/chat/completions", body))[0] == 200
    assert _sent(engine)["tool_choice"] == tool
