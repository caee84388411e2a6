"""Tests of requests with tools, to models that call tools and to others."""

from __future__ import annotations

import pytest
from aiohttp import web

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
