"""Tests of limits and accounting as clients see them: OpenAI's SDK, two apis, one Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from aiohttp import web
from openai import DEFAULT_MAX_RETRIES, AsyncOpenAI, DefaultAsyncHttpxClient, RateLimitError
from openai.types.chat import ChatCompletionMessageParam

from service.app import create_app
from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api, running

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": BASE_MODEL,
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
    ],
    "usage": {
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 8},
    },
}
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]


@dataclass
class Stack:
    """Two apis with one engine."""

    one: Api
    two: Api

    async def sdk(self, api: Api, project="acme", role=Role.MEMBER) -> AsyncOpenAI:
        key = await self.one.key(project, role)
        return AsyncOpenAI(
            base_url=f"{api.base_url}/v1", api_key=key, admin_api_key=key, max_retries=0
        )

    async def limit(self, **limits: int) -> None:
        """Set limits of project acme with the admin route of the first api."""
        project = await self.one.app.state.projects.by_name("acme")
        async with await self.sdk(self.one, "root", Role.ADMIN) as admin:
            await admin.post(
                f"/organization/projects/{project.id}", body={"limits": limits}, cast_to=object
            )


async def chat(client: AsyncOpenAI, **more):
    return await client.chat.completions.with_raw_response.create(
        model=BASE_MODEL, messages=HELLO, **more
    )


async def chat_until_refused(client: AsyncOpenAI) -> None:
    for _ in range(100):
        await chat(client)


@dataclass
class Slowness:
    """How long the engine takes, and how many requests it had at a time."""

    seconds: float = 0.0
    at_once: int = 0
    most_at_once: int = 0


@pytest.fixture
def slowness() -> Slowness:
    return Slowness()


@pytest.fixture
def slow(slowness) -> Slowness:
    """Make the engine slow."""
    slowness.seconds = 0.2
    return slowness


@pytest.fixture
async def engine_url(slowness):
    """An engine that answers every chat with 12 + 3 tokens."""
    app = web.Application()

    async def answer(_: web.Request) -> web.Response:
        slowness.at_once += 1
        slowness.most_at_once = max(slowness.most_at_once, slowness.at_once)
        await asyncio.sleep(slowness.seconds)
        slowness.at_once -= 1
        return web.json_response(ANSWER)

    async def healthy(_: web.Request) -> web.Response:
        return web.Response()

    app.router.add_post("/v1/chat/completions", answer)
    app.router.add_get("/health", healthy)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def stack(settings, engine_url):
    settings = settings.model_copy(
        update={"upstreams": {BASE_MODEL: engine_url}, "usage_flush_s": 0.05, "lookup_cache_s": 60}
    )
    async with contextlib.AsyncExitStack() as opened:
        apis = []
        for _ in range(2):
            app = create_app(settings)
            url = await opened.enter_async_context(running(app))
            apis.append(Api(app, url, settings))
        await apis[0].app.state.redis.flushdb()
        yield Stack(*apis)


async def test_either_api_returns_the_usage_of_both(stack):
    async with await stack.sdk(stack.one) as one, await stack.sdk(stack.two) as two:
        for client in (one, two, two):
            raw = await chat(client)
            assert not [h for h in raw.headers if h.startswith("x-ratelimit")]
        results: list[Any] = []
        async with asyncio.timeout(60):
            while not results or results[0].num_model_requests < 3:
                await asyncio.sleep(0.05)
                page = await one.admin.organization.usage.completions(
                    start_time=int(time.time()) - 60, group_by=["model"]
                )
                results = [r for bucket in page.data for r in bucket.results]
    (result,) = results
    assert (result.model, result.input_tokens, result.output_tokens) == (BASE_MODEL, 36, 9)
    assert result.input_cached_tokens == 24


async def test_a_limit_set_by_an_admin_holds_on_both_apis_within_two_seconds(stack):
    async with await stack.sdk(stack.one) as one, await stack.sdk(stack.two) as two:
        for client in (one, two):
            await chat(client)
        await stack.limit(requests_per_minute=5)
        refusals: dict[AsyncOpenAI, RateLimitError] = {}
        async with asyncio.timeout(60):
            while len(refusals) < 2:
                for client in (one, two):
                    try:
                        await chat(client)
                    except RateLimitError as e:
                        refusals[client] = e
                await asyncio.sleep(0.02)
        for error in refusals.values():
            assert error.code == "rate_limit_exceeded"
            headers = error.response.headers
            assert headers["x-ratelimit-limit-requests"] == "5"
            assert headers["x-ratelimit-remaining-requests"] == "0"
            assert int(headers["retry-after"]) >= 1


async def test_rate_limit_headers_and_a_request_that_never_fits(stack):
    async with await stack.sdk(stack.one) as one:
        await stack.limit(tokens_per_minute=500)
        raw = await chat(one, max_tokens=10)
        assert raw.headers["x-ratelimit-limit-tokens"] == "500"
        assert 400 < int(raw.headers["x-ratelimit-remaining-tokens"]) < 490
        assert raw.headers["x-ratelimit-reset-tokens"].endswith("s")
        with pytest.raises(RateLimitError, match="too large") as refused:
            await chat(one.with_options(max_retries=2), max_tokens=501)
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert refused.value.response.request.headers["x-stainless-retry-count"] == "0"


async def test_the_sdk_waits_and_succeeds(stack):
    async with await stack.sdk(stack.one) as one:
        await stack.limit(requests_per_minute=60)
        with pytest.raises(RateLimitError):
            await chat_until_refused(one)
        await chat(one.with_options(max_retries=3))


@pytest.mark.parametrize("chats", [80, 200])
async def test_chats_over_the_limit_wait(stack, slow, chats):
    """More than the 64 that a project may have in progress, some as streams."""
    async with await stack.sdk(stack.one) as one:
        await stack.limit(concurrent_requests=64)
        statuses: list[int] = []

        async def note(response: httpx.Response) -> None:
            statuses.append(response.status_code)

        client = DefaultAsyncHttpxClient(event_hooks={"response": [note]})
        async with one.with_options(max_retries=DEFAULT_MAX_RETRIES, http_client=client) as many:
            await asyncio.gather(*(chat(many, stream=n % 4 == 0) for n in range(chats)))
    assert statuses == [200] * chats
    assert slow.most_at_once == 64
