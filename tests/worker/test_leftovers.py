"""Tests that nothing stays in storage, in queues or on a worker's disk that no record refers to.

Each test leaves what a process leaves that is killed at that point.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from arq.constants import in_progress_key_prefix

from service.core import clock, local_disk, queue
from service.core.leases import Leases
from service.core.storage import Storage, StorageError
from service.core.storage.leftovers import Leftovers
from service.files.records import Files
from service.jobs import checkpoints, lifecycle
from service.jobs.records import CheckpointRecord, JobFailure, JobRecord
from service.models.records import ModelRecord
from service.worker.reconciler import Reconciler
from tests.conftest import Api
from tests.files_below import files_below

pytestmark = pytest.mark.slow


def stored(api: Api) -> list[str]:
    """All files in storage, also those that are staged and not listed."""
    root = api.settings.data_dir / "storage"
    return [str(path.relative_to(root)) for path in files_below(root)]


async def upload(http, data: bytes = b"x", purpose: str = "user_data"):
    return await http.post("/v1/files", files={"file": ("f", data)}, data={"purpose": purpose})


async def make_due(api: Api, kind: str) -> None:
    """Let the time pass after which what was noted may be removed."""
    redis, key = api.app.state.redis, Leftovers(api.app.state.redis, kind).key
    for name in await redis.zrange(key, 0, -1):
        await redis.zadd(key, {name: 1})


async def noted(api: Api, kind: str) -> list[str]:
    return await Leftovers(api.app.state.redis, kind).due(clock.now_s() + 10**6)


@pytest.mark.parametrize("place", ["put_manifest", "register"])
async def test_an_upload_that_was_killed_is_removed(
    api: Api, http, reconciler: Reconciler, monkeypatch, place: str
):
    """Content without a manifest, and a manifest without a record."""

    async def killed(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(Files, place, killed)
        patch.setattr(Files, "discard", killed)
        assert (await upload(http)).status_code == 500
    assert any(name.endswith("content") for name in stored(api))
    await reconciler.once()
    assert stored(api), "it might still be written"
    await make_due(api, "files")
    await reconciler.once()
    assert (stored(api), await noted(api, "files")) == ([], [])


async def test_an_upload_that_is_added_is_kept(api: Api, http, reconciler: Reconciler):
    file_id = (await upload(http)).json()["id"]
    assert await noted(api, "files") == []
    # As if the note had been written again after a lost answer.
    project_id = (
        (await api.app.state.redis.keys("finetuned:proj_*:files"))[0].decode().split(":")[1]
    )
    await Leftovers(api.app.state.redis, "files").noted(f"{project_id}/{file_id}", 1)
    await reconciler.once()
    assert (await http.get(f"/v1/files/{file_id}/content")).content == b"x"
    assert await noted(api, "files") == []


async def test_an_upload_that_fails_leaves_nothing(api: Api, http):
    assert (await upload(http, purpose="wrong")).status_code == 400
    assert (stored(api), await noted(api, "files")) == ([], [])


async def test_a_deletion_whose_storage_fails_is_completed(
    api: Api, http, reconciler: Reconciler, monkeypatch
):
    file_id = (await upload(http)).json()["id"]

    async def away(*_: object) -> None:
        raise StorageError("away")

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete_prefix", away)
        assert (await http.delete(f"/v1/files/{file_id}")).json()["deleted"]
    assert (await http.get(f"/v1/files/{file_id}")).status_code == 404
    assert stored(api)
    await reconciler.once()
    assert (stored(api), await noted(api, "files")) == ([], [])


async def test_what_a_killed_check_wrote_after_the_deletion_is_removed(
    api: Api, http, reconciler: Reconciler, job: JobRecord
):
    state = api.app.state
    leases = Leases(state.redis, "other", lease_s=60)
    async with leases.hold(job.training_file, 1):
        assert (await http.delete(f"/v1/files/{job.training_file}")).status_code == 200
        late = f"{job.project_id}/files/{job.training_file}/canonical.jsonl"
        await state.files.storage.put_bytes(late, b"{}")
        await reconciler.once()
        assert late in stored(api), "the check may still write"
    await reconciler.once()
    assert (stored(api), await noted(api, "files")) == ([], [])


async def test_a_deleted_model_leaves_nothing(api: Api, http, reconciler, job, monkeypatch):
    state = api.app.state
    name, artifact = "ft:tiny:acme::abc123", f"{job.project_id}/jobs/{job.id}/a1/adapter"
    record = ModelRecord(
        id=name, project_id=job.project_id, created_at=1, base_model=job.model,
        job_id=job.id, artifact=artifact, digest="d", step=1, checkpoint=False,
    )  # fmt: skip
    await state.registry.register(record)
    await state.files.storage.put_bytes(f"{artifact}/adapter_model.safetensors", b"x")

    async def away(*_: object) -> None:
        raise StorageError("away")

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete_prefix", away)
        assert (await http.delete(f"/v1/models/{name}")).json()["deleted"]
    assert any(place.startswith(artifact) for place in stored(api))
    await reconciler.once()
    assert not [place for place in stored(api) if place.startswith(artifact)]
    assert await noted(api, "adapters") == []


async def checkpoint_of(
    api: Api, job: JobRecord, folder: Path, step: int, *, recorded: bool
) -> None:
    """Store a checkpoint, as an attempt does that is killed before or after its record."""
    state = api.app.state
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"adapter")
    (folder / "optimizer.pt").write_bytes(b"state")
    kept = await checkpoints.put_checkpoint(state.files.storage, job, step, folder, {})
    if recorded:
        record = CheckpointRecord(
            id=f"ftckpt-{step}", project_id=job.project_id, created_at=1, job_id=job.id,
            attempt=job.attempt, step=step, model=f"m{step}", adapter=kept.adapter,
            state=kept.state, metrics={},
        )  # fmt: skip
        await state.jobs.checkpoints(job.id).create(record)


async def test_a_job_that_has_ended_keeps_only_what_is_served(
    api: Api, reconciler: Reconciler, job: JobRecord, tmp_path: Path
):
    await checkpoint_of(api, job, tmp_path / "1", 10, recorded=True)
    await checkpoint_of(api, job, tmp_path / "2", 20, recorded=False)
    await reconciler.once()
    of_the_job = f"{job.project_id}/jobs/{job.id}/"
    assert len([n for n in stored(api) if n.startswith(of_the_job)]) == 8, "it may be resumed"
    jobs = api.app.state.jobs
    leases = Leases(api.app.state.redis, "other", lease_s=60)
    async with leases.hold(job.id, 1):
        await jobs.change(job.project_id, job.id, lambda j: lifecycle.cancel(j, 1))
        await reconciler.once()
        assert len([n for n in stored(api) if n.startswith(of_the_job)]) == 8, "a worker may write"
    await reconciler.once()
    left = [n.removeprefix(of_the_job) for n in stored(api) if n.startswith(of_the_job)]
    assert left == [
        "a1/step-10/adapter/adapter_model.safetensors",
        "a1/step-10/adapter/manifest.json",
    ]
    assert await noted(api, "jobs") == []


async def test_a_job_that_failed_without_checkpoints_leaves_nothing(
    api: Api, reconciler: Reconciler, job: JobRecord, tmp_path: Path
):
    await checkpoint_of(api, job, tmp_path / "1", 10, recorded=False)
    staged = api.settings.data_dir / "storage" / job.project_id / "jobs" / job.id / "a1" / "x#1"
    staged.write_bytes(b"of a killed writer")
    failure = JobFailure(code="internal_error", message="m")
    jobs = api.app.state.jobs
    await jobs.change(job.project_id, job.id, lambda j: lifecycle.fail(j, j, failure, 1))
    await reconciler.once()
    assert not [n for n in stored(api) if f"/{job.id}/" in n]


async def test_entries_of_dead_workers_do_not_block_the_queue(
    api: Api, reconciler: Reconciler, job: JobRecord
):
    """arq reads the first hundred entries only."""
    redis = api.app.state.redis
    gone = [f"file-{number:024}" for number in range(120)]
    for subject in gone:
        await queue.enqueue(redis, queue.CPU, "check_file", job.project_id, subject, 1)
        await redis.set(in_progress_key_prefix + queue.task_id("check_file", subject, 1), b"1")
    async with Leases(redis, "other", lease_s=60).hold(gone[0], 1):
        while len(await queue.taken(redis, queue.CPU)) > 1:
            await reconciler.once()
    assert await queue.taken(redis, queue.CPU) == [queue.TaskId("check_file", gone[0], 1)]


def test_the_parts_of_a_task_id():
    for parts in (("train", "ftjob-1", 2), ("evaluate_job", "evaluation:ftjob-1", 1)):
        assert queue.parse_task_id(queue.task_id(*parts)) == parts


HOLDS = """
import asyncio, sys
from pathlib import Path
from service.core import local_disk

async def main():
    async with local_disk.claimed(Path(sys.argv[1])) as folder:
        (folder / "rows.jsonl").write_text("a customer's text")
        print("ready", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def test_scratch_of_a_killed_worker_is_deleted_and_that_of_a_living_one_is_not(tmp_path: Path):
    folder = tmp_path / "ftjob-1"
    (tmp_path / "not-ours").mkdir()
    holds = [sys.executable, "-c", HOLDS, str(folder)]
    with subprocess.Popen(holds, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        assert local_disk.sweep(tmp_path, settled_s=0) == []
        assert (folder / "rows.jsonl").exists()
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(60)
        assert local_disk.sweep(tmp_path) == [], "it may not be locked yet"
        assert local_disk.sweep(tmp_path, settled_s=0) == ["ftjob-1"]
    assert [path.name for path in tmp_path.iterdir()] == ["not-ours"]
