"""Tests of a worker's requests to engines, which use the gateway's routing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import web

from service.inference.headers import ADAPTER
from service.inference.upstreams import Upstreams
from service.jobs.engine_requests import EngineAway, complete, warm
from service.standalone.services import free_port
from tests.http_server import http_server

BASE = "tiny-base"
NAMES = [f"ft:{BASE}:acme::model{i:02}" for i in range(24)]


class Engine:
    """An HTTP server that answers completions and records the requests."""

    def __init__(self) -> None:
        self.url = ""
        self.status, self.body = 200, b"{}"
        self.seen: list[tuple[str, str, dict[str, Any]]] = []

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/health":
            return web.Response()
        held = unquote(request.headers.get(ADAPTER, ""))
        self.seen.append((held, request.headers["authorization"], await request.json()))
        return web.Response(status=self.status, body=self.body)


@contextlib.asynccontextmanager
async def started(engine: Engine) -> AsyncIterator[Engine]:
    async with http_server(engine.answer) as engine.url:
        yield engine


@pytest.fixture
async def engines() -> AsyncIterator[list[Engine]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(started(Engine())) for _ in range(3)]


async def test_a_model_is_warm_on_the_replica_that_the_gateway_chooses(engines):
    urls = [engine.url for engine in engines]
    body = json.dumps({"model": "x"}).encode()
    async with (
        Upstreams({BASE: urls}, api_key="inner") as workers,
        Upstreams({BASE: urls}, api_key="inner") as gateways,
    ):
        await workers.ready()
        await gateways.ready()
        for name in NAMES:
            await warm(workers, BASE, name)
            warmed = [engine for engine in engines if engine.seen]
            assert len(warmed) == 1
            held, key, asked = warmed[0].seen.pop()
            assert (held, key, asked["model"], asked["max_tokens"]) == (
                name,
                "Bearer inner",
                name,
                1,
            )
            (await gateways.send(BASE, "/v1/completions", body, {}, adapter=name)).close()
            assert [engine for engine in engines if engine.seen] == warmed
            warmed[0].seen.clear()


async def test_the_base_model_needs_no_adapter_held(engines):
    async with Upstreams({BASE: [engines[0].url]}, api_key="inner") as upstreams:
        assert await complete(upstreams, BASE, {"model": BASE}) == {}
    assert engines[0].seen[0][0] == ""


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [(500, b"{}", "it answered 500"), (503, b"", "503"), (200, b"<html>", "not JSON")],
)
async def test_what_is_no_answer_is_said_so(engines, status, body, words):
    engines[0].status, engines[0].body = status, body
    async with Upstreams({BASE: [engines[0].url]}, api_key="inner") as upstreams:
        with pytest.raises(EngineAway, match=words):
            await complete(upstreams, BASE, {"model": NAMES[0]})


async def test_warming_never_fails_a_job(engines, caplog):
    engines[0].status = 500
    away = f"http://127.0.0.1:{free_port()}"
    for url in (engines[0].url, away):
        async with Upstreams({BASE: [url]}, api_key="inner") as upstreams:
            await warm(upstreams, BASE, NAMES[0])
    async with Upstreams({}, api_key="inner") as upstreams:
        await warm(upstreams, BASE, NAMES[0])
    assert sum("is not warm" in record.message for record in caplog.records) == 3
