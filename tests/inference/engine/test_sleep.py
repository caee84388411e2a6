"""Tests of an engine that takes turns on its GPU: permissions, requests and waking up.

A stub records calls of vLLM's two methods. test_engine_turns_e2e.py runs the real ones.
"""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.inference.engine.guard import EngineGuard

pytestmark = pytest.mark.slow

KEY = {"authorization": "Bearer inner"}
CHAT = "/v1/chat/completions"


class Engine:
    """Stub for `app.state.engine_client` of vLLM's server."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails = False

    async def sleep(self, level: int, mode: str) -> None:
        if self.fails:
            raise RuntimeError("no memory to go to")
        self.calls.append(f"sleep {level} {mode}")

    async def wake_up(self) -> bool:
        self.calls.append("wake")
        return True


class Guarded:
    def __init__(self, url: str, session: aiohttp.ClientSession, engine: Engine) -> None:
        self._url = url
        self._session = session
        self.engine = engine
        self.go_on = asyncio.Event()

    async def ask(self, path: str = CHAT, headers=KEY, method="POST", **query):
        request = self._session.request(method, self._url + path, headers=headers, params=query)
        async with request as response:
            return response.status, response.headers.copy(), await response.text()

    async def sleep(self, holder="w1", lease_s=30.0, **kwargs):
        return await self.ask("/engine/sleep", holder=holder, lease_s=lease_s, **kwargs)

    async def wake(self, holder="w1"):
        return await self.ask("/engine/wake", holder=holder)


@pytest.fixture
async def guarded(serve, monkeypatch):
    """A guarded server. A request with ?wait= runs until `go_on` is set."""
    monkeypatch.setenv("VLLM_API_KEY", "inner")
    monkeypatch.setenv("FINETUNED_GPU_SHARING", "time-slice")
    monkeypatch.setenv("FINETUNED_ENGINE_DRAIN_S", "1")

    async def echo(request):
        if "wait" in request.query_params:
            await made.go_on.wait()
        return PlainTextResponse(request.url.path)

    app = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])
    app.state.engine_client = Engine()
    app.add_middleware(EngineGuard)
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(app))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        made = Guarded(url, session, app.state.engine_client)
        yield made
        made.go_on.set()


async def test_asleep_it_refuses_with_a_clear_code_and_awake_it_answers(guarded):
    assert (await guarded.sleep())[0] == 200
    assert guarded.engine.calls == ["sleep 1 abort"]
    status, headers, body = await guarded.ask()
    assert (status, headers["retry-after"]) == (503, "30")
    assert '"engine_sleeping"' in body
    assert (await guarded.ask("/health", method="GET"))[0] == 503
    assert (await guarded.ask("/metrics", method="GET"))[0] == 200
    assert (await guarded.wake())[0] == 200
    assert guarded.engine.calls == ["sleep 1 abort", "wake"]
    assert (await guarded.ask())[0] == 200
    assert (await guarded.ask("/health", method="GET"))[0] == 200


async def test_requests_under_way_end_first_and_new_ones_are_refused_meanwhile(guarded):
    running = asyncio.create_task(guarded.ask(wait=1))
    await asyncio.sleep(0.2)
    sleeping = asyncio.create_task(guarded.sleep())
    await asyncio.sleep(0.2)
    assert guarded.engine.calls == []
    assert (await guarded.ask())[0] == 503
    guarded.go_on.set()
    assert (await running)[0] == 200
    assert (await sleeping)[0] == 200
    assert guarded.engine.calls == ["sleep 1 abort"]


async def test_a_request_without_end_is_not_waited_for_longer_than_set(guarded):
    running = asyncio.create_task(guarded.ask(wait=1))
    await asyncio.sleep(0.2)
    async with asyncio.timeout(60):
        assert (await guarded.sleep())[0] == 200
    assert not running.done()
    guarded.go_on.set()
    await running


async def test_it_wakes_by_itself_when_the_worker_is_not_heard_of(guarded):
    await guarded.sleep(lease_s=1)
    await asyncio.sleep(0.7)
    await guarded.sleep(lease_s=1)  # asked again in time
    await asyncio.sleep(0.7)
    assert guarded.engine.calls == ["sleep 1 abort"]
    async with asyncio.timeout(60):
        while (await guarded.ask())[0] != 200:
            await asyncio.sleep(0.1)
    assert guarded.engine.calls == ["sleep 1 abort", "wake"]


async def test_it_sleeps_as_long_as_anybody_trains(guarded):
    await asyncio.gather(guarded.sleep("w1"), guarded.sleep("w2"))
    await guarded.wake("w1")
    assert (await guarded.ask())[0] == 503
    await guarded.wake("w2")
    assert (await guarded.ask())[0] == 200
    assert guarded.engine.calls == ["sleep 1 abort", "wake"]


async def test_a_worker_that_changes_its_mind_while_requests_end(guarded):
    running = asyncio.create_task(guarded.ask(wait=1))
    await asyncio.sleep(0.2)
    sleeping = asyncio.create_task(guarded.sleep())
    await asyncio.sleep(0.2)
    waking = asyncio.create_task(guarded.wake())
    assert (await sleeping)[0] == (await waking)[0] == 200
    assert guarded.engine.calls == []
    assert (await guarded.ask())[0] == 200
    guarded.go_on.set()
    await running


async def test_an_engine_that_cannot_sleep_goes_on_serving(guarded):
    guarded.engine.fails = True
    assert (await guarded.sleep())[0] == 500
    assert (await guarded.ask())[0] == 200


@pytest.mark.parametrize("path", ["/engine/sleep", "/engine/wake"])
async def test_only_with_the_engines_key(guarded, path):
    for headers in (None, {"authorization": "Bearer wrong"}):
        assert (await guarded.ask(path, headers, holder="w", lease_s=9))[0] == 401
    assert (await guarded.ask(path, method="GET", holder="w", lease_s=9))[0] == 404
    assert guarded.engine.calls == []


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"holder": ""},
        {"holder": "x" * 201, "lease_s": 9},
        {"holder": "w", "lease_s": "nan"},
        {"holder": "w", "lease_s": "x"},
        {"holder": "w", "lease_s": -1},
        {"holder": "w", "lease_s": 1e9},
    ],
)
async def test_senseless_wishes_are_400(guarded, query):
    assert (await guarded.ask("/engine/sleep", **query))[0] == 400
    assert (await guarded.ask())[0] == 200


@pytest.mark.parametrize("path", ["/engine/sleep", "/engine/wake"])
async def test_an_engine_with_a_gpu_of_its_own_has_no_such_routes(serve, monkeypatch, path):
    monkeypatch.setenv("VLLM_API_KEY", "inner")
    monkeypatch.delenv("FINETUNED_GPU_SHARING", raising=False)
    app = Starlette()
    app.add_middleware(EngineGuard)
    async with (
        serve(app) as url,
        aiohttp.ClientSession(headers=KEY) as session,
        session.post(f"{url}{path}?holder=w&lease_s=9") as response,
    ):
        assert response.status == 404
