"""Tests of pausing: `paused` only after the checkpoint is stored, and no step is lost on resume."""

from __future__ import annotations

import asyncio

import pytest

from service.jobs import lifecycle
from tests.conftest import Api
from tests.jobs.test_faults import LONG, event, rows
from tests.jobs.test_jobs import JOBS, create, until, upload
from tests.jobs.test_methods import ended


@pytest.mark.slow
@pytest.mark.usefixtures("forked_trainers")
async def test_pause_and_resume_of_a_running_job_lose_no_step(tiny, http, work):
    job = await create(http, await upload(http, rows(40)), hyperparameters=LONG)
    path = f"{JOBS}/{job['id']}"
    async with work("cpu", "gpu"):
        await event(http, job["id"], "Step 2/")
        pausing = (await http.post(f"{path}/pause")).json()
        resumed = (await http.post(f"{path}/resume")).json()

        await event(http, job["id"], "Step 40/")
        await http.post(f"{path}/pause")
        async with asyncio.timeout(60):
            while (await http.get(path)).json()["status"] != "paused":
                await asyncio.sleep(0.02)
        newest = (await http.get(f"{path}/checkpoints", params={"limit": 1})).json()["data"]
        queued = (await http.post(f"{path}/resume")).json()

        done, events = await ended(http, job["id"])
    told = [e["message"] for e in events if e["type"] == "message"]
    assert done["status"] == "succeeded", told
    steps = [e["data"]["step"] for e in events if e["type"] == "metrics"]
    assert steps == sorted(set(steps)), "a step was trained twice"
    assert steps[-1] == 200
    assert newest[0]["step_number"] >= 40
    assert (pausing["status"], pausing["pausing"]) == ("running", True)
    assert (resumed["status"], resumed["pausing"]) == ("running", False)
    assert (queued["status"], queued["pausing"]) == ("queued", False)


@pytest.mark.slow
async def test_a_pausing_job_whose_worker_died_is_paused(api: Api, http, chats, work):
    job_id = (await create(http, await upload(http, chats(12))))["id"]
    async with work("cpu"):
        queued = await until(http, job_id, "queued")
    jobs, number = api.app.state.jobs, queued["attempt"]
    await jobs.change(
        queued["organization_id"], job_id, lambda job: lifecycle.start(job, number, 1)
    )
    pausing = (await http.post(f"{JOBS}/{job_id}/pause")).json()
    again = await http.post(f"{JOBS}/{job_id}/pause")
    async with work("cpu"):
        paused = await until(http, job_id, "paused")  # the reconciler finds no lease
        events = (await http.get(f"{JOBS}/{job_id}/events")).json()["data"]
    assert (pausing["status"], pausing["pausing"]) == ("running", True)
    assert again.status_code == 409
    assert "is pausing and cannot be paused" in again.json()["error"]["message"]
    assert (paused["pausing"], paused["attempt"]) == (False, number)
    lost = f"Attempt {number} was lost; the job is paused at the newest checkpoint"
    assert events[0]["message"] == lost
    resumed = (await http.post(f"{JOBS}/{job_id}/resume")).json()
    assert (resumed["status"], resumed["attempt"]) == ("queued", number + 1)
