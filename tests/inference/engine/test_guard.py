"""Tests of the guard: which routes of vLLM's server are reachable, with a small server instead."""

from __future__ import annotations

import asyncio
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


class Engine:
    """What the guard uses of vLLM's client. It notes the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.is_tokenized = asyncio.Event()

    async def add_request(self) -> None:
        self.calls.append("add_request")

    async def list_loras(self) -> None:
        self.calls.append("list_loras")

    def shutdown(self, timeout: int) -> None:
        self.calls.append(f"shutdown {timeout}")


async def test_an_engine_stops_after_it_has_the_requests_that_were_not_refused(serve, monkeypatch):
    """vLLM fails on requests that it is still tokenizing, and aborts those that it just got."""
    monkeypatch.setenv("VLLM_API_KEY", "inner")
    engine, arrived = Engine(), asyncio.Event()

    async def chat(request):
        arrived.set()
        await engine.is_tokenized.wait()
        await engine.add_request()
        return PlainTextResponse("answer")

    guard = EngineGuard(Starlette(routes=[Route("/{path:path}", chat, methods=["POST"])]))
    guard._note_stop(engine)
    async with serve(guard) as url, aiohttp.ClientSession(headers=KEY) as session:
        first = asyncio.create_task(session.post(url + INFERENCE[0]))
        await arrived.wait()
        stopping = asyncio.create_task(asyncio.to_thread(engine.shutdown, timeout=120))
        async with asyncio.timeout(60):
            while not guard._is_stopping:
                await asyncio.sleep(0.01)
        refused = await session.post(url + INFERENCE[0])
        assert refused.status == 503
        assert refused.headers["x-finetuned-stopping"] == "1"
        assert engine.calls == []
        engine.is_tokenized.set()
        await stopping
        assert engine.calls == ["add_request", "list_loras", "shutdown 120"]
        assert await (await first).text() == "answer"
