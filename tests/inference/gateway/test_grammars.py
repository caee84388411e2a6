"""Tests of grammars that vLLM accepts but cannot follow: an error of the client only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from service.inference.headers import CONSTRAINT_BUSY, CONSTRAINT_TOO_COMPLEX

BASE = "tiny-base"
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "hi"}]}
BODIES = {"/v1/completions": {"prompt": "hi"}, "/v1/responses": {"input": "hi"}}
GRAMMAR = {"structured_outputs": {"grammar": "root ::= root root root"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
# Responses of vLLM 0.32 if it gives up a request, and if it is dead.
GAVE_UP = "Internal server error"
DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."


@pytest.fixture
def failing(engine):
    """Make the engine answer everything with an error."""

    def answer(message: str, status: int = 500) -> None:
        error = {"message": message, "type": "InternalServerError", "param": None, "code": status}

        async def reply(_):
            return web.json_response({"error": error}, status=status)

        engine.reply = reply

    return answer


async def asked(client, path="/v1/chat/completions", **fields) -> tuple[int, dict[str, Any]]:
    body = {"model": BASE, **BODIES[path]} if path in BODIES else CHAT
    async with client.post(path, json={**body, **fields}) as response:
        return response.status, (await response.json())["error"]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/v1/chat/completions", GRAMMAR, "structured_outputs"),
        ("/v1/completions", GRAMMAR, "structured_outputs"),
        ("/v1/chat/completions", {"response_format": SCHEMA}, "response_format"),
        (
            "/v1/responses",
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}},
            "text.format",
        ),
        (
            "/v1/chat/completions",
            {"tools": [{"type": "function", "function": {"name": "x"}}]},
            "tools",
        ),
    ],
)
async def test_a_grammar_that_the_engine_gives_up_is_400(gateway, failing, path, fields, param):
    failing(GAVE_UP)
    status, error = await asked(await gateway(), path, **fields)
    assert (status, error["type"], error["code"]) == (400, "invalid_request_error", "invalid_value")
    assert error["param"] == param
    assert "grammar or schema" in error["message"]


async def test_a_constraint_that_takes_the_engine_too_long_is_400(gateway, failing):
    failing(CONSTRAINT_TOO_COMPLEX, 400)
    status, error = await asked(await gateway(), **GRAMMAR)
    assert (status, error["code"]) == (400, "constraint_too_complex")
    assert error["param"] == "structured_outputs"


async def test_too_many_new_constraints_are_429(gateway, failing):
    failing(CONSTRAINT_BUSY, 429)
    status, error = await asked(await gateway(), **GRAMMAR)
    assert (status, error["code"]) == (429, "rate_limit_exceeded")
    assert "new schemas and grammars" in error["message"]


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (GAVE_UP, {}),
        (GAVE_UP, {"response_format": {"type": "text"}, "tools": None}),
        (DEAD, GRAMMAR),
    ],
)
async def test_what_is_the_engines_own_fault_stays_500(gateway, failing, message, fields):
    failing(message)
    status, error = await asked(await gateway(), **fields)
    assert (status, error["code"]) == (500, "engine_error")


ROLE = b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
ERROR = (
    b'data: {"error": {"message": "Internal server error", "type": "InternalServerError", '
    b'"param": null, "code": 500}}\n\n'
)
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def streaming(engine):
    """Make the engine stream these chunks."""

    def answer(*chunks: bytes) -> None:
        async def reply(request):
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            for chunk in chunks:
                await response.write(chunk)
            return response

        engine.reply = reply

    return answer


async def test_an_error_that_a_stream_begins_with_is_a_status(gateway, streaming):
    streaming(ERROR + DONE)
    status, error = await asked(await gateway(), "/v1/completions", stream=True, **GRAMMAR)
    assert (status, error["param"]) == (400, "structured_outputs")


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
@pytest.mark.parametrize(
    ("fields", "type_", "code"),
    [(GRAMMAR, "invalid_request_error", "invalid_value"), ({}, "server_error", "engine_error")],
)
async def test_an_error_in_a_stream_is_told_as_any_other(
    gateway, streaming, options, fields, type_, code
):
    streaming(ROLE, ERROR, DONE)
    client = await gateway()
    body = await client.ask(json={**CHAT, "stream": True, **options, **fields})
    assert body.startswith(ROLE)
    assert body.endswith(DONE)
    told = json.loads(body.removeprefix(ROLE).removesuffix(DONE).removeprefix(b"data: "))
    assert told.keys() == {"error"}
    assert (told["error"]["type"], told["error"]["code"]) == (type_, code)


async def test_a_text_that_quotes_an_error_event_passes_as_it_is(gateway, streaming):
    said = ERROR.decode()
    event = b"data: " + json.dumps({"choices": [{"delta": {"content": said}}]}).encode() + b"\n\n"
    streaming(event, DONE)
    client = await gateway()
    assert await client.ask(json={**CHAT, "stream": True}) == event + DONE
