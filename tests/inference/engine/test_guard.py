"""Tests of the guard: which routes of vLLM's server are reachable, with a small server instead."""

from __future__ import annotations

import contextlib
import json

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from service.inference.engine.guard import EngineGuard

KEY = {"authorization": "Bearer inner"}
INFERENCE = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"]


@pytest.fixture
async def guarded(serve, monkeypatch):
    """Send a request to a guarded server that answers everything with its path."""
    monkeypatch.setenv("VLLM_API_KEY", "inner")

    async def echo(request):
        return PlainTextResponse(request.url.path)

    app = EngineGuard(Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])]))
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(app))
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def ask(method, path, headers=None):
            async with session.request(method, url + path, headers=headers) as response:
                return response.status, await response.text()

        yield ask


@pytest.mark.parametrize("path", INFERENCE)
async def test_inference_needs_the_key(guarded, path):
    assert await guarded("POST", path, KEY) == (200, path)
    for headers in (None, {"authorization": "Bearer wrong"}, {"authorization": "inner"}):
        status, body = await guarded("POST", path, headers)
        assert status == 401
        assert "invalid_api_key" in body


@pytest.mark.parametrize("path", ["/health", "/metrics"])
async def test_probes_are_open(guarded, path):
    assert await guarded("GET", path) == (200, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/load_lora_adapter"),
        ("POST", "/v1/unload_lora_adapter"),
        ("POST", "/invocations"),
        ("POST", "/tokenize"),
        ("POST", "/health"),
        ("GET", "/v1/models"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "//v1/chat/completions"),
        ("DELETE", "/adapters/x"),
        ("OPTIONS", "/v1/chat/completions"),
        ("GET", "/docs"),
    ],
)
async def test_everything_else_is_closed_with_the_key_too(guarded, method, path):
    status, _ = await guarded(method, path, KEY)
    assert status == 404


class GenerationError(Exception):
    """Error with the name of vLLM's, which it raises for a request that it gives up."""


@pytest.fixture
async def failing(serve, monkeypatch):
    """Send a request to a guarded server that fails in the middle of its response."""
    monkeypatch.setenv("VLLM_API_KEY", "inner")

    async def fail(request):
        async def parts():
            yield "data: 1\n\n"
            try:
                if "gave_up" in request.query_params:
                    raise GenerationError("secret")
            finally:
                raise ValueError("secret")

        return StreamingResponse(parts(), media_type=request.query_params["as"])

    app = EngineGuard(Starlette(routes=[Route("/v1/responses", fail, methods=["POST"])]))
    async with serve(app) as url, aiohttp.ClientSession(url, headers=KEY) as session:

        async def ask(query):
            async with session.post(f"/v1/responses?{query}") as response:
                return await response.text()

        yield ask


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("as=text/event-stream", "The engine failed in this stream."),
        ("as=text/event-stream&gave_up=1", "Internal server error"),
    ],
)
async def test_a_stream_that_fails_ends_with_an_error_and_not_the_connection(
    failing, caplog, query, message
):
    body = await failing(query)
    first, error, end = body.split("\n\n")
    assert (first, end) == ("data: 1", "")
    assert json.loads(error.removeprefix("data: ")) == {
        "error": {"message": message, "type": "InternalServerError", "param": None, "code": 500}
    }
    assert "ValueError at " in caplog.text
    assert "secret" not in body + caplog.text


async def test_a_plain_answer_that_fails_breaks_the_connection(failing):
    with pytest.raises(aiohttp.ClientPayloadError):
        await failing("as=text/plain")
