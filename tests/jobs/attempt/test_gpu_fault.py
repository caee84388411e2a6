"""Tests of workers whose GPU cannot be used: no training is lost, and none runs on the CPU."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.diagnostics import checks
from service.fleet import workers
from tests.conftest import Api
from tests.fleet.fake_nvml import LOST, Card, Machine, machine
from tests.jobs.test_faults import LONG
from tests.jobs.test_jobs import JOBS, create, upload
from tests.training.forked import ForkedChild, compute_in

pytestmark = pytest.mark.slow
UNAVAILABLE = "gpu_unavailable"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr(workers, "HEARTBEAT_S", 0.2)
    with machine(tmp_path, Card("GPU-aa")) as found:
        yield found


async def until(http: httpx.AsyncClient, job_id: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(180):
        while True:
            job: dict[str, Any] = (await http.get(f"{JOBS}/{job_id}")).json()
            if job["status"] == status:
                return job
            await asyncio.sleep(0.05)


async def events(http: httpx.AsyncClient, job_id: str) -> list[dict[str, Any]]:
    answer = await http.get(f"{JOBS}/{job_id}/events", params={"limit": 100})
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def messages(http: httpx.AsyncClient, job_id: str) -> list[str]:
    return [event["message"] for event in await events(http, job_id)]


async def test_a_training_planned_for_a_gpu_does_not_run_on_the_cpu(
    tiny, forked_trainers, api: Api, http, work, chats, fake
):
    """NVML shows a GPU, and torch cannot use it, as with a driver that is too old."""
    job = await create(http, await upload(http, chats(12)))
    async with work("cpu", "gpu"):
        await until(http, job["id"], "running")
        job = await until(http, job["id"], "queued")
        assert job["attempt"] == 2
        coded = [e for e in await events(http, job["id"]) if e["data"].get("code") == UNAVAILABLE]
        (refused,) = [event["message"] for event in coded]
        assert "Nothing was trained. The reason: torch says: " in refused
        async with asyncio.timeout(180):
            while not (await workers.alive(api.app.state.redis))[0].fault:
                await asyncio.sleep(0.05)
        (worker,) = await workers.alive(api.app.state.redis)
        assert (worker.device, worker.busy) == ("cuda", True)
        (found,) = [f for f in await checks.fleet(api.app.state.redis) if f.what == "gpu workers"]
        assert (found.level, "1 of 1 train nothing" in found.found) == ("missing", True)
        await asyncio.sleep(1.0)
        assert (await http.get(f"{JOBS}/{job['id']}")).json()["status"] == "queued"


async def test_a_lost_gpu_ends_the_attempt_and_the_next_begins_when_it_is_back(
    tiny, forked_trainers, api: Api, http, work, chats, fake, monkeypatch
):
    monkeypatch.setattr(ForkedChild, "prepare", partial(compute_in, "float32"))
    job = await create(http, await upload(http, chats(12)), hyperparameters=LONG)
    async with work("cpu", "gpu"):
        await until(http, job["id"], "running")
        async with asyncio.timeout(180):
            while not any("Step" in message for message in await messages(http, job["id"])):
                await asyncio.sleep(0.05)
        fake.fail(0, LOST)
        assert (await until(http, job["id"], "queued"))["attempt"] == 2
        coded = [e for e in await events(http, job["id"]) if e["data"].get("code") == "gpu_failed"]
        (failed,) = [event["data"]["gpu"] for event in coded]
        assert "GPU 0 (NVIDIA L4): GPU is lost" in failed
        await asyncio.sleep(1.0)
        assert (await http.get(f"{JOBS}/{job['id']}")).json()["status"] == "queued"
        fake.fail(0, 0)
        await until(http, job["id"], "running")
        await http.post(f"{JOBS}/{job['id']}/cancel")
