"""Tests of failures during real trainings of a tiny model."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BASE_MODEL, Api, chat_line
from tests.jobs.test_jobs import JOBS, create, upload
from tests.jobs.test_methods import ended

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_trainers")]

# What ends in the middle of a training needs one that lasts. Checkpoints are at its thirds.
LONG = {"n_epochs": 20, "batch_size": 4, "quantization": "none", "lora": {"r": 8}}
WHOLE = LONG | {"n_epochs": 6}  # of 80 rows: 120 steps
PAUSED = LONG | {"n_epochs": 45}  # of 40 rows: 450 steps


def rows(n: int) -> bytes:
    return "\n".join(
        chat_line(f"What is {i}?", f"Aye, {'well, ' * (i % 7)}{i}.") for i in range(n)
    ).encode()


async def event(http, job_id: str, words: str) -> dict[str, Any]:
    """Wait for the first event with this text."""
    async with asyncio.timeout(90):
        while True:
            answer = await http.get(f"{JOBS}/{job_id}/events", params={"limit": 100})
            for found in answer.json()["data"]:
                if words in found["message"]:
                    return found
            await asyncio.sleep(0.2)  # reading a hundred events takes the api 10 ms


async def test_storage_that_is_away_for_a_while_costs_nothing(tiny, api: Api, http, work):
    """Training continues, its checkpoint waits, and no attempt is lost."""
    job = await create(http, await upload(http, rows(80)), hyperparameters=WHOLE)
    storage = api.settings.data_dir / "storage"
    hidden = api.settings.data_dir / "hidden"
    async with work("cpu", "gpu"):
        await event(http, job["id"], "Step 20/")
        storage.rename(hidden)
        storage.write_text("no folder")
        await asyncio.sleep(6)
        assert (await http.get(f"{JOBS}/{job['id']}")).json()["status"] == "running"
        storage.unlink()
        hidden.rename(storage)
        job, events = await ended(http, job["id"])
    told = [event["message"] for event in events if event["type"] == "message"]
    assert (job["status"], job["attempt"]) == ("succeeded", 1), told


@pytest.mark.parametrize("pausing", [False, True])
async def test_cancel_does_not_wait_for_a_storage_that_is_away(
    tiny,
    api: Api,
    http,
    work,
    pausing,
):
    job = await create(http, await upload(http, rows(80)), hyperparameters=LONG)
    storage = api.settings.data_dir / "storage"
    hidden = api.settings.data_dir / "hidden"
    async with work("cpu", "gpu") as worker:
        await event(http, job["id"], "Step 20/")
        storage.rename(hidden)
        storage.write_text("no folder")
        if pausing:
            await http.post(f"{JOBS}/{job['id']}/pause")
        await asyncio.sleep(5)  # a checkpoint is waiting now
        assert (await http.post(f"{JOBS}/{job['id']}/cancel")).json()["status"] == "cancelled"
        async with asyncio.timeout(60):
            while worker._presence.worker.busy:
                await asyncio.sleep(0.05)
        storage.unlink()
        hidden.rename(storage)


@pytest.mark.parametrize("broken", ["state", "adapter"])
async def test_poisoned_checkpoint_is_passed_over(tiny, api: Api, http, work, broken):
    """The newest checkpoint is corrupt, so the previous one is used."""
    job = await create(http, await upload(http, rows(40)), hyperparameters=PAUSED)
    async with work("cpu", "gpu"):
        await event(http, job["id"], "Checkpoint saved at step 150")  # pausing saves another
        assert (await http.post(f"{JOBS}/{job['id']}/pause")).status_code == 200
    # A folder that no record names may be newer: of an upload that the worker's end cut off.
    newest = (await http.get(f"{JOBS}/{job['id']}/checkpoints?limit=1")).json()["data"][0]
    storage = api.settings.data_dir / "storage"
    (folder,) = storage.rglob(f"step-{newest['step_number']}/{broken}")
    for file in folder.iterdir():
        if file.name != "manifest.json":
            Path(file).write_bytes(b"poison")
    await http.post(f"{JOBS}/{job['id']}/resume")
    async with work("cpu", "gpu"):
        job, events = await ended(http, job["id"])
    assert job["status"] == "succeeded", job["error"]
    assert any("cannot be used" in e["message"] for e in events)
    steps = [e["data"]["step"] for e in events if e["type"] == "metrics"]
    assert max(steps) == 450
    assert BASE_MODEL in job["fine_tuned_model"]
