"""A grammar that vLLM accepts and cannot follow: the caller's fault, and nobody else's."""

from __future__ import annotations

import pytest
from aiohttp import web

BASE = "tiny-base"
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "hi"}]}
GRAMMAR = {"structured_outputs": {"grammar": "root ::= root root root"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
# What vLLM 0.32 answers when it gives a request up, and when it is dead.
GAVE_UP = "Internal server error"
DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."


@pytest.fixture
def failing(engine):
    """Let the engine answer everything with 500."""

    def answer(message: str) -> None:
        error = {"message": message, "type": "InternalServerError", "param": None, "code": 500}

        async def reply(_):
            return web.json_response({"error": error}, status=500)

        engine.reply = reply

    return answer


async def asked(client, path="/v1/chat/completions", **fields) -> tuple[int, dict]:
    async with client.post(path, json={**CHAT, **fields}) as response:
        return response.status, (await response.json())["error"]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/v1/chat/completions", GRAMMAR, "structured_outputs"),
        ("/v1/completions", GRAMMAR, "structured_outputs"),
        ("/v1/chat/completions", {"response_format": SCHEMA}, "response_format"),
        ("/v1/responses", {"text": {"format": SCHEMA}}, "text.format"),
        ("/v1/chat/completions", {"tools": [{"type": "function"}]}, "tools"),
    ],
)
async def test_a_grammar_that_the_engine_gives_up_is_400(gateway, failing, path, fields, param):
    failing(GAVE_UP)
    status, error = await asked(await gateway(), path, **fields)
    assert (status, error["type"], error["code"]) == (400, "invalid_request_error", "invalid_value")
    assert error["param"] == param
    assert "grammar or schema" in error["message"]


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (GAVE_UP, {}),
        (GAVE_UP, {"response_format": {"type": "text"}, "tools": [], "text": "x"}),
        (DEAD, GRAMMAR),
    ],
)
async def test_what_is_the_engines_own_fault_stays_500(gateway, failing, message, fields):
    failing(message)
    status, error = await asked(await gateway(), **fields)
    assert (status, error["code"]) == (500, "engine_error")
