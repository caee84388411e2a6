"""Tests of a real vLLM with more adapters than it has room for, and of its sleep."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from service import __version__
from service.core.redis import connect
from service.diagnostics.engine_metrics import EngineMetrics
from service.inference.upstreams import Timeouts
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry
from tests.inference.engine.conftest import CACHE_SHARE, SMALL_ADAPTERS, EngineSite
from tests.inference.engine.support import BASE, headers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

REQUESTS, AT_ONCE = 120, 8

Ask = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
async def ask(engine_site) -> AsyncIterator[Ask]:
    """Send a request as the gateway does. `plain` omits the adapter's header."""
    async with aiohttp.ClientSession(base_url=engine_site.engine.url) as http:

        async def ask(model: str, *, plain: bool = False) -> tuple[int, dict[str, Any]]:
            body = {"model": model, "prompt": "The", "max_tokens": 2, "temperature": 0}
            sent = headers(None if plain or model == BASE else model)
            async with http.post("/v1/completions", json=body, headers=sent) as answer:
                return answer.status, await answer.json()

        yield ask


@pytest.fixture
async def turn(engine_site):
    """Request that the engine sleep or wake up, as a worker does."""
    async with aiohttp.ClientSession(base_url=engine_site.engine.url) as http:

        async def turn(what: str, lease_s: float = 30) -> int:
            query = {"holder": "test", "lease_s": str(lease_s)}
            sent = http.post(f"/engine/{what}", params=query, headers=headers(None))
            async with sent as answer:
                return answer.status

        yield turn


def text(answer: tuple[int, dict[str, Any]]) -> str:
    status, body = answer
    assert status == 200, body
    return body["choices"][0]["text"]


async def test_zipf_traffic_has_no_error_and_evicted_ones_come_back(engine_site, ask):
    weights = [1 / (place + 1) for place in range(SMALL_ADAPTERS)]
    asked = iter(random.Random(3).choices(engine_site.names, weights, k=REQUESTS))
    first: dict[str, float] = {}
    later: list[float] = []

    async def client() -> None:
        for name in asked:
            began = time.perf_counter()
            text(await ask(name))
            seconds = time.perf_counter() - began
            if name in first:
                later.append(seconds)
            first.setdefault(name, seconds)

    said = text(await ask(engine_site.names[-1]))
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    cold, warm = sorted(first.values()), sorted(later)
    print(
        f"{len(first)} adapters; first answer p50 {cold[len(cold) // 2]:.2f} s, "
        f"later {warm[len(warm) // 2]:.2f} s; {engine_site.folders()} folders"
    )
    # Once folders of the last seconds may be removed, the next new one evicts them.
    await asyncio.sleep(10.5)
    fresh = next(n for n in engine_site.names if n not in first and n != engine_site.names[-1])
    text(await ask(fresh))
    assert engine_site.folders() <= SMALL_ADAPTERS * CACHE_SHARE
    # Its folder is gone; even without the guard's hold, vLLM must not look for it there.
    assert text(await ask(engine_site.names[-1], plain=True)) == said
    assert text(await ask(engine_site.names[-1])) == said


async def test_sets_of_adapters_that_ran_together_do_not_add_up_in_the_metrics(engine_site, ask):
    for pair in itertools.pairwise(engine_site.names[:8]):
        await asyncio.gather(*(ask(name) for name in pair))
    series: list[str] = []
    async with (
        asyncio.timeout(120),
        aiohttp.ClientSession(base_url=engine_site.engine.url) as http,
    ):
        while not series:  # for a moment, while the engine replaces one
            await ask(engine_site.names[0])
            async with http.get("/metrics") as answer:
                exported = await answer.text()
            lines = exported.splitlines()
            series = [line for line in lines if line.startswith("vllm:lora_requests_info{")]
    # Two while the engine replaces one by the next.
    assert len(series) <= 2, series
    # What GET /v1/organization/engines shows of it.
    found = EngineMetrics.parse(exported)
    assert (found.waiting, found.version) == (0, __version__)
    assert None not in (found.running, found.cache_usage, found.adapters_loaded)
    assert (found.adapters_on_disk or 0) > 0


async def test_a_deleted_model_leaves_no_files_and_is_not_answered(engine_site, ask):
    name = engine_site.names[1]
    text(await ask(name))
    before = engine_site.folders()
    redis = connect(engine_site.settings.redis_url.get_secret_value())
    registry = ModelRegistry(redis, Catalogue(engine_site.settings.models_file), cache_s=0)
    record = await registry.delete("proj_acme", name)
    await redis.aclose(close_connection_pool=True)
    assert record is not None
    async with asyncio.timeout(60):
        while engine_site.folders() == before:
            await asyncio.sleep(0.2)
    for plain in (False, True):
        status, body = await ask(name, plain=plain)
        assert (status, "does not exist" in str(body)) == (404, True)
    text(await ask(BASE))


async def test_asleep_it_answers_503_and_awake_as_before(engine_site, ask, turn, gateway):
    """The CPU build keeps its memory, but pauses and continues like the GPU build."""
    name = engine_site.names[0]
    said = text(await ask(name))
    assert await turn("sleep") == 200
    status, body = await ask(name)
    assert (status, body["error"]["code"]) == (503, "engine_sleeping")
    await through_gateway(engine_site, gateway)
    assert await turn("wake") == 200
    assert text(await ask(name)) == said
    # Nobody wakes it this time.
    assert await turn("sleep", lease_s=1) == 200
    async with asyncio.timeout(60):
        while (await ask(name))[0] != 200:
            await asyncio.sleep(0.2)
    assert text(await ask(name)) == said


async def through_gateway(engine_site: EngineSite, gateway) -> None:
    """Clients get the same response, and cannot wake the engine or put it to sleep."""
    redis = connect(engine_site.settings.redis_url.get_secret_value())
    models = ModelRegistry(redis, Catalogue(engine_site.settings.models_file), cache_s=0)
    timeouts = Timeouts(connect_s=10, first_byte_s=60, between_chunks_s=60)
    client = await gateway([engine_site.engine.url], base=BASE, models=models, timeouts=timeouts)
    body = {"model": BASE, "prompt": "The", "max_tokens": 1}
    async with client.post("/v1/completions", json=body) as answer:
        assert answer.status == 503
        assert "retry-after" in answer.headers
        assert (await answer.json())["error"]["code"] == "engine_sleeping"
    for path in ("/engine/wake", "/engine/sleep", "/v1/engine/wake", "/v1/../engine/wake"):
        async with client.post(path + "?holder=test&lease_s=1", json={}) as answer:
            assert answer.status == 404
    await redis.aclose(close_connection_pool=True)


@pytest.mark.gpu
async def test_asleep_it_lets_go_of_the_gpu(engine_site, ask, turn):
    """With the CUDA build, others can use most of the engine's memory while it sleeps."""
    import torch

    said = text(await ask(engine_site.names[0]))
    free_awake, total = torch.cuda.mem_get_info()
    assert await turn("sleep") == 200
    free_asleep, _ = torch.cuda.mem_get_info()
    assert free_asleep - free_awake > 0.5 * (total - free_awake)
    assert await turn("wake") == 200
    assert text(await ask(engine_site.names[0])) == said
