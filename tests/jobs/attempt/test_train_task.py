"""Tests of the gpu task and its trainer as a process, without a GPU."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from service.core.child import Child
from service.training import Failed, encode
from tests.conftest import Api, chat_line
from tests.jobs.test_faults import LONG
from tests.jobs.test_jobs import JOBS, create, until, upload
from tests.jobs.test_methods import ended
from tests.training.forked import ForkedChild, refuse_parts_above

pytestmark = pytest.mark.slow
SUPERVISOR = Failed(code="internal_error", message="Processes ended without a message.")


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


async def test_a_job_waits_until_its_base_model_is_copied(api: Api, http, chats, work):
    """As while a job of a cluster copies it to the volume."""
    base = api.settings.data_dir / "base"
    base.rename(copied := base.with_name("copied"))
    file_id = await upload(http, chats(12))
    async with work("cpu"):
        job = await until(http, (await create(http, file_id))["id"], "validating_files")
        events = f"{JOBS}/{job['id']}/events"
        async with asyncio.timeout(60):
            while "awaits_model" not in (await http.get(events)).text:
                await asyncio.sleep(0.1)
        assert str(base) not in (await http.get(events)).text
        copied.rename(base)
        await until(http, job["id"], "queued")
    assert (await http.get(events)).text.count("awaits_model") == 1


async def test_base_folder_that_is_gone_fails_with_the_models_name(api: Api, http, chats, work):
    """It was there when the job was queued. The real trainer reports it."""
    file_id = await upload(http, chats(12))
    async with work("cpu"):
        job = await until(http, (await create(http, file_id))["id"], "queued")
    shutil.rmtree(api.settings.data_dir / "base")
    async with work("gpu"), asyncio.timeout(90):
        while (job := (await http.get(f"{JOBS}/{job['id']}")).json())["status"] != "failed":
            await asyncio.sleep(0.2)
    assert job["error"]["code"] == "invalid_model"


async def test_out_of_memory_goes_on_with_smaller_plans(
    tiny,
    forked_trainers,
    api: Api,
    http,
    work,
    monkeypatch,
):
    """The trainer has too little memory for its first batch, and for half of it."""
    monkeypatch.setattr(ForkedChild, "prepare", partial(refuse_parts_above, 2048))
    api.settings.tokens_at_once = 8192
    long_rows = "\n".join(chat_line("Say it. " * 40, f"Aye {i}. " * 60) for i in range(16)).encode()
    asked = {**LONG, "n_epochs": 1, "batch_size": 16, "max_seq_length": 512}
    job = await create(http, await upload(http, long_rows), hyperparameters=asked)
    async with work("cpu", "gpu"):
        job, events = await ended(http, job["id"])
    plans = [e["data"] for e in events if e["data"].get("code") == "out_of_memory"]
    assert len(plans) >= 2
    # Each has smaller parts, or checkpoints if they are single rows already.
    tokens = [plan["tokens_at_once"] for plan in plans if plan["tokens_at_once"] is not None]
    assert [8192, *tokens] == sorted({8192, *tokens}, reverse=True)
    assert len(tokens) >= len(plans) - 1
    assert [plan["gradient_checkpointing"] for plan in plans] == [False, *[True] * len(plans[1:])]
    assert job["status"] == "succeeded"
    assert job["attempt"] == 1 + len(plans)


class PrintingChild:
    """Children that end like a trainer in which a kernel of bitsandbytes finds no memory.

    `message` is what they send before, as the supervisor of several such trainers does.
    """

    def __init__(self, message: bytes) -> None:
        self._message = message.decode()

    async def start(self, _: Sequence[str], **options: Any) -> Child:
        words = "Error out of memory at line 87 in file /src/csrc/ops.cu"
        command = (
            f"import sys; sys.stderr.write({words!r}); sys.stderr.flush(); "
            f"sys.stdout.write({self._message!r}); sys.exit(1)"
        )
        return await Child.start([sys.executable, "-S", "-c", command], **options)


@pytest.mark.parametrize("message", [b"", encode(SUPERVISOR)], ids=["one", "several"])
async def test_out_of_memory_that_is_only_printed(tiny, api: Api, http, work, monkeypatch, message):
    monkeypatch.setattr("service.jobs.attempt.trainer_process.Child", PrintingChild(message))
    rows = "\n".join(chat_line("Say it.", f"Aye {i}.") for i in range(12)).encode()
    job = await create(http, await upload(http, rows))
    async with work("cpu", "gpu"):
        job, events = await ended(http, job["id"])
    # The failure at the end has the code too, but no plan.
    (plan,) = [
        e["data"]
        for e in events
        if e["data"].get("code") == "out_of_memory" and "tokens_at_once" in e["data"]
    ]
    assert (plan["tokens_at_once"], plan["gradient_checkpointing"]) == (None, True)
    assert (job["error"]["code"], job["attempt"]) == ("out_of_memory", 2)
