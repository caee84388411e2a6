"""Tests of the gpu task before the trainer starts, without a GPU."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import Api
from tests.jobs.test_jobs import JOBS, create, until, upload

pytestmark = pytest.mark.slow


async def test_file_deleted_before_the_training_fails_the_job_at_once(api: Api, http, chats, work):
    file_id = await upload(http, chats(12))
    async with work("cpu"):
        job = await until(http, (await create(http, file_id))["id"], "queued")
    await http.delete(f"/v1/files/{file_id}")
    async with work("gpu"):
        job = await until(http, job["id"], "failed")
    assert job["error"]["code"] == "file_not_found"
    assert job["error"]["param"] == "training_file"
    assert job["attempt"] == 1


async def test_base_folder_that_is_gone_fails_with_the_models_name(api: Api, http, chats, work):
    """The catalog names a missing folder, and the real trainer reports it."""
    file_id = await upload(http, chats(12))
    async with work("cpu", "gpu"), asyncio.timeout(90):
        job = await create(http, file_id)
        while (job := (await http.get(f"{JOBS}/{job['id']}")).json())["status"] != "failed":
            await asyncio.sleep(0.2)
    assert job["error"]["code"] == "invalid_model"
