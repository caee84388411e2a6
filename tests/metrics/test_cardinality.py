"""Tests that the number of series does not grow with projects, keys, models or paths."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.core.redis import connect
from service.web.side_port import serve_metrics
from tests.conftest import BASE_MODEL, Api, running
from tests.metrics.samples import parsed

MAX_PROJECTS = 3
numbers = itertools.count()


@pytest.fixture
async def api(settings):
    """An api with labels for few projects."""
    redis = connect(settings.redis_url.get_secret_value())
    await redis.flushdb()
    await redis.aclose(close_connection_pool=True)
    settings = settings.model_copy(update={"metrics_max_projects": MAX_PROJECTS})
    app = create_app(settings)
    async with running(app) as url:
        yield Api(app, url, settings)


CHAT = {"messages": [{"role": "user", "content": "hi"}]}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {**CHAT, "stream": True}),
    ("/v1/chat/completions", {**CHAT, "stream": False}),
    ("/v1/embeddings", {"input": "hi"}),
]


async def a_new_project(api: Api) -> None:
    """Make requests of each kind with a new project, key, model names and paths."""
    n = next(numbers)
    async with await api.client(f"project-{n}") as client:
        calls = [
            client.get(f"/v1/files/file-{n}"),
            client.get(f"/v1/nothing/{n}"),
            client.get(f"/{n}?q={n}"),
            client.request("PROPFIND", f"/v1/files/{n}"),
            client.request("PURGE", f"/v1/{n}"),
            client.get("/v1/files", headers={"authorization": f"Bearer sk-ft-{n}"}),
            client.get(f"/v1/models/ft:{BASE_MODEL}:acme:x{n}:abc123"),
            client.delete(f"/v1/models/model-{n}"),
            client.put(f"/v1/aliases/alias-{n}", json={"model": BASE_MODEL}),
            client.post("/v1/fine_tuning/jobs", json={"model": f"m{n}", "training_file": f"f{n}"}),
            client.post(f"/v1/fine_tuning/jobs/ftjob-{n}/cancel"),
            client.get("/v1/chat/completions"),
            *(
                client.post(path, json={**body, "model": model})
                for path, body in REQUESTS
                for model in (BASE_MODEL, f"model-{n}", f"ft:{BASE_MODEL}:acme:{n}:abc123")
            ),
        ]
        await asyncio.gather(*calls)


async def scraped(api: Api) -> str:
    """Return the text that Prometheus scrapes."""
    async with (
        serve_metrics(api.app.state.redis, "127.0.0.1", 0) as url,
        httpx.AsyncClient() as client,
    ):
        return (await client.get(f"{url}/metrics")).text


async def series(api: Api) -> Counter[str]:
    """Return the series by metric."""
    text = await scraped(api)
    return Counter(name for name, _ in parsed(text) if name.startswith("finetuned_"))


@pytest.mark.slow
async def test_series_do_not_grow_with_what_callers_send(api):
    for _ in range(MAX_PROJECTS + 1):
        await a_new_project(api)
    before = await series(api)
    assert before["finetuned_inference_requests_total"] >= MAX_PROJECTS + 1
    for _ in range(20):
        await a_new_project(api)
    after = await series(api)
    assert after - before == Counter()
    text = await scraped(api)
    assert 'project="other"' in text
    assert "PROPFIND" not in text
    assert f"project-{next(numbers) - 1}" not in text
