"""Tests of the catalog of metrics: names, documentation, and a bounded number of series."""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest

from service.app import create_app
from service.cli.reference import metrics_page
from service.core.metrics import declared
from service.core.redis import connect
from service.web.side_port import serve_metrics
from tests.conftest import BASE_MODEL, Api, running
from tests.metrics.boards import required
from tests.metrics.samples import parsed

ROOT = Path(__file__).parent.parent.parent
# Each has a small set of values; consider this before adding a label.
BOUNDED = {
    "alias",  # the aliases that changed last, up to a limit
    "base_model",  # the catalog
    "direction",
    "gpu",
    "kind",
    "limit",
    "loop",
    "method",
    "object",
    "operation",
    "outcome",
    "phase",
    "place",
    "process",
    "project",  # up to a limit, then `other`
    "queue",
    "reason",
    "route",
    "scope",
    "source",
    "state",
    "status",
    "streamed",
    "version",
    "width",
}


def test_the_page_is_up_to_date():
    written = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    assert written == metrics_page(), "run 'make metrics-docs'"


def test_every_metric_of_the_code_is_in_the_catalogue():
    ours = set(re.findall(r"^# TYPE (finetuned_\w+) ", generate_latest().decode(), re.MULTILINE))
    assert ours == {m.name for m in declared()}


@pytest.mark.parametrize("metric", declared(), ids=lambda m: m.name)
def test_names_labels_and_words(metric):
    assert re.fullmatch(r"finetuned_[a-z_]+", metric.name)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    if metric.kind == "histogram":
        assert metric.name.endswith("_seconds")
    assert set(metric.labels) <= BOUNDED
    assert metric.documentation.endswith(".")


def test_promtool_finds_no_fault():
    done = subprocess.run(
        [required("promtool"), "check", "metrics"],
        input=generate_latest(),
        capture_output=True,
        check=False,
    )
    ours = [x for x in done.stdout.decode().splitlines() if x.startswith("finetuned_")]
    assert ours == []
    assert b"error while linting" not in done.stderr


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
