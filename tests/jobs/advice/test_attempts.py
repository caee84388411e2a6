"""Advice that is interrupted, deleted, or fails."""

from __future__ import annotations

import asyncio

import pytest

from service.core import clock, queue
from service.core.leases import Leases
from service.jobs.advice.records import AdviceStore
from tests.conftest import BASE_MODEL, Api
from tests.jobs.advice.conftest import ADVICE, advised, ask, ended
from tests.killed_worker import killed_worker

pytestmark = pytest.mark.slow


@pytest.fixture
async def file_id(file_of, chats) -> str:
    return await file_of(chats(30))


async def test_a_project_has_few_advice_in_progress(http, file_id):
    for _ in range(10):
        await ask(http, file_id)
    refused = await http.post(ADVICE, json={"training_file_id": file_id, "model": BASE_MODEL})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "limit_reached")


async def test_an_engine_that_is_away_fails_the_advice(http, settings, work, file_id, engine):
    settings.eval_engine_patience_s = 0.2
    engine.failures = [503] * 10_000
    found = await advised(http, work, file_id)
    assert (found["status"], found["error"]["code"]) == ("failed", "engine_unavailable")
    assert found["result"] is None


async def test_a_file_deleted_on_the_way_fails_the_advice(http, work, file_id):
    advice = await ask(http, file_id)
    await http.delete(f"/v1/files/{file_id}")
    async with work("cpu"):
        found = await ended(http, advice)
    assert (found["status"], found["error"]["code"]) == ("failed", "file_not_found")


@pytest.mark.parametrize("how", ["cancel", "delete"])
async def test_a_worker_stops(http, api, work, file_id, engine, how):
    advice = await ask(http, file_id)
    engine.go.clear()
    async with asyncio.timeout(60), work("cpu"):
        while not engine.waiting:
            await asyncio.sleep(0.005)
        url = f"{ADVICE}/{advice['id']}"
        if how == "cancel":
            assert (await http.post(f"{url}/cancel")).json()["status"] == "cancelled"
        else:
            deleted = (await http.delete(url)).json()
            assert (deleted["object"], deleted["deleted"]) == ("advice.deleted", True)
            assert (await http.get(url)).status_code == 404
            assert (await http.delete(url)).status_code == 404
        while await api.app.state.redis.zcard(queue.EVALS):
            await asyncio.sleep(0.05)
    assert engine.seen == []
    engine.go.set()


async def test_a_stopping_worker_hands_the_advice_back(http, work, file_id, engine):
    advice = await ask(http, file_id)
    engine.go.clear()
    async with asyncio.timeout(60), work("cpu"):
        while not engine.waiting:
            await asyncio.sleep(0.005)
    assert (await http.get(f"{ADVICE}/{advice['id']}")).json()["status"] == "in_progress"
    engine.go.set()
    async with work("cpu"):
        assert (await ended(http, advice))["status"] == "completed"


async def test_expired_advice_is_deleted(http, api: Api, file_id):
    store: AdviceStore = api.app.state.advice_store
    advice = await ask(http, file_id)
    project = (await api.app.state.projects.by_name("acme")).id
    await store.records.update(
        project, advice["id"], lambda r: r.model_copy(update={"expires_at": clock.now_s() - 1})
    )
    assert (await http.get(f"{ADVICE}/{advice['id']}")).status_code == 404
    leases = Leases(store.redis, "w", lease_s=1)
    (expired,) = await store.leftovers(advice["expires_at"])
    await store.clean_up(expired, api.app.state.storage, leases)
    assert await store.records.get(project, advice["id"]) is None
    assert await store.unfinished() == []


@pytest.mark.slow
async def test_kill_9_loses_no_advice(http, api: Api, work, file_id, engine):
    """A worker process is killed while the engine holds its requests back."""
    advice = await ask(http, file_id)
    engine.go.clear()
    async with killed_worker(api.settings), asyncio.timeout(120):
        while not engine.waiting:
            await asyncio.sleep(0.05)
    engine.go.set()
    async with work("cpu"):
        assert (await ended(http, advice))["status"] == "completed"
    project = (await api.app.state.projects.by_name("acme")).id
    record = await api.app.state.advice_store.get(project, advice["id"])
    assert (record.attempt, record.lost_attempts) == (2, 1)
