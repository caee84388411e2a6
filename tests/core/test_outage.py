"""Tests with a Redis that is killed or hangs.

Known keys and models keep working, changes arrive afterwards, and a worker can still exit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web
from pydantic import SecretStr

from service.app import create_app
from service.core.redis import connect
from service.fleet import workers
from service.jobs.event_stream import server_sent_events
from service.models.aliases.records import Target
from service.projects.records import Role
from service.worker.main import WorkerProcess
from tests.conftest import BASE_MODEL, Api, running, upload

pytestmark = pytest.mark.slow

TTL_S = 0.3


@pytest.fixture
async def api(settings, valkey) -> AsyncIterator[Api]:
    """An api with its own Redis. To retrieve a base model, it looks up only the key."""
    settings = settings.model_copy(
        update={"redis_url": SecretStr(valkey.url), "lookup_cache_s": TTL_S}
    )
    app = create_app(settings)
    async with running(app) as url:
        yield Api(app, url, settings)


def interrupt(valkey, how: str) -> None:
    {"kill": valkey.kill, "hang": valkey.hang}[how]()


def mend(valkey, how: str) -> None:
    {"kill": valkey.start, "hang": valkey.go_on}[how]()


@pytest.mark.parametrize("how", ["kill", "hang"])
async def test_known_keys_go_on_working(api, valkey, how):
    async with await api.client() as known, await api.client("new") as unknown:
        path = f"/v1/models/{BASE_MODEL}"
        assert (await known.get(path)).status_code == 200
        interrupt(valkey, how)
        async with asyncio.timeout(60):  # waiting for Redis would take 1 to 5 s each
            for _ in range(60):
                assert (await known.get(path)).status_code == 200
                await asyncio.sleep(0.02)
        assert (await unknown.get(path, timeout=60)).status_code == 503
        mend(valkey, how)
        await answers(unknown, path, 200)
        assert (await known.get(path)).status_code == 200


@pytest.mark.parametrize("how", ["kill", "hang"])
async def test_a_key_that_is_revoked_after_an_outage_is_refused(api, valkey, how):
    async with await api.client() as client, await api.client("root", Role.ADMIN) as admin:
        path = f"/v1/models/{BASE_MODEL}"
        assert (await client.get(path)).status_code == 200
        interrupt(valkey, how)
        await asyncio.sleep(2 * TTL_S)
        assert (await client.get(path)).status_code == 200
        mend(valkey, how)
        await answers(admin, "/v1/files", 200)
        acme = await api.app.state.projects.by_name("acme")
        (key,) = (await admin.get(f"/v1/organization/projects/{acme.id}/api_keys")).json()["data"]
        revoked = await admin.delete(f"/v1/organization/projects/{acme.id}/api_keys/{key['id']}")
        assert revoked.status_code == 200
        assert (await client.get(path)).status_code == 401


async def test_known_names_go_on_resolving(api, valkey):
    registry, aliases = api.app.state.registry, api.app.state.aliases
    target = (Target(model=BASE_MODEL),)
    await aliases.put("proj_a", "gpt-4o-mini", target, key_id="key_a")
    before = await registry.resolve("proj_a", "gpt-4o-mini")
    valkey.hang()
    await asyncio.sleep(TTL_S)
    async with asyncio.timeout(60):  # Redis never answers
        assert await registry.resolve("proj_a", "gpt-4o-mini") == before
        # Base models are in a file, so their names are found without Redis, cached or not.
        assert (await registry.resolve("proj_b", BASE_MODEL)).model.name == BASE_MODEL
    valkey.go_on()


@pytest.fixture
async def engine_url() -> AsyncIterator[str]:
    """An engine that reports the requested model."""

    async def chat(request: web.Request) -> web.Response:
        return web.json_response({"model": (await request.json())["model"], "choices": []})

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/health", health)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("how", ["kill", "hang"])
async def test_a_chat_by_an_alias_goes_on(settings, valkey, engine_url, how):
    """Covers the complete path: key, alias, limits, engine, accounting."""
    settings = settings.model_copy(
        update={
            "redis_url": SecretStr(valkey.url),
            "lookup_cache_s": TTL_S,
            "upstreams": {BASE_MODEL: engine_url},
        }
    )
    app = create_app(settings)
    async with running(app) as url, await Api(app, url, settings).client() as client:
        await client.put("/v1/aliases/gpt-4o-mini", json={"model": BASE_MODEL})
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
        interrupt(valkey, how)
        served, until = 0, time.monotonic() + 3
        while time.monotonic() < until:
            answer = await client.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200, answer.text
            served += 1
            await asyncio.sleep(0.02)
        assert served >= 12
        mend(valkey, how)
        await answers(client, "/v1/aliases/gpt-4o-mini", 200)
        assert (await client.delete("/v1/aliases/gpt-4o-mini")).status_code == 200
        gone = await client.post("/v1/chat/completions", json=body)
        assert gone.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("how", ["kill", "hang"])
async def test_a_worker_told_to_end_ends(settings, valkey, how):
    settings = settings.model_copy(
        update={"redis_url": SecretStr(valkey.url), "worker_port": 0, "reconcile_every_s": 0.01}
    )
    worker = WorkerProcess(settings, ["cpu"])
    running_worker = asyncio.create_task(worker.run())
    redis = connect(valkey.url)
    async with asyncio.timeout(60):
        while not await workers.alive(redis):
            await asyncio.sleep(0.02)
    await redis.aclose(close_connection_pool=True)
    interrupt(valkey, how)
    worker.stop()
    async with asyncio.timeout(60):  # its retries continue for minutes
        await running_worker
    mend(valkey, how)


async def answers(client: httpx.AsyncClient, path: str, status: int) -> None:
    """Wait until a request has this response."""
    async with asyncio.timeout(60):
        while (await client.get(path, timeout=60)).status_code != status:
            await asyncio.sleep(0.05)


async def test_an_event_stream_waits_for_redis(api, valkey, chats):
    async with await api.client() as http:
        file = await upload(http, chats(12))
        body = {"model": BASE_MODEL, "training_file": file.json()["id"]}
        job_id = (await http.post("/v1/fine_tuning/jobs", json=body)).json()["id"]
    state = api.app.state
    project = await state.projects.by_name("acme")

    async def check_caller() -> None:
        """The caller is known."""

    valkey.kill()
    stream = server_sent_events(
        state.jobs, state.job_changes, project.id, job_id, None, check_caller
    )
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(3)  # the client's retries end
    assert not first.done()
    valkey.start()
    assert b"Created fine-tuning job" in await asyncio.wait_for(first, 60)
    await stream.aclose()
