"""What is true whatever failed, once rounds without faults change nothing more."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from service.core import clock, outbox, queue
from service.core.storage import StorageError
from service.files.uploads.records import UploadStatus
from service.jobs.records import FINAL, Status
from tests.faults.children import ScriptedTrainer
from tests.faults.world import World

# Sets of work that has not ended, and where its records are.
_UNFINISHED = (
    "files-unchecked",
    "files-leftover",
    "adapters-leftover",
    "jobs-leftover",
    "rounds-leftover",
    "curation-unfinished",
    "curation-outputs",
    "curation-swept",
    "jobs-active",
    "job-evaluations-unfinished",
    "advice-unfinished",
    "erasures-unfinished",
    "erasure-searches-unfinished",
    "exports-unfinished",
    "exports-swept",
    "eval-runs-unfinished",
    "evals-deleted",
    "batches-unfinished",
    "batches-leftover",
    "generations-unfinished",
    "generations-leftover",
    "captures-leftover",
    "captures-expiring",
    "webhook-outbox",
)
JOBS = "/v1/fine_tuning/jobs"
_DAY_S = 24 * 3600


async def violations(world: World) -> list[str]:
    """Return what is wrong, in words without IDs. Deletes everything that can be deleted."""
    found = [f"error in the log: {error}" for error in world.errors]
    for check in (
        _files_have_their_bytes,
        _models_have_their_bytes,
        _uploads_have_their_parts,
        _jobs_end_or_wait,
        _batches_end_with_each_result_once,
        _generations_end_with_each_row_once,
        _events_happen_once,
        _deleted_stays_deleted,
    ):
        found += [violation async for violation in check(world)]
    await _delete_everything(world)
    # An upload that has ended is kept for a day, and with it what it may have left.
    await world.app.state.uploads.sweep(clock.now_s() + 2 * _DAY_S)
    await world.settle()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):  # a rewrite of Redis' files may take several rounds
            while await world.redis.exists("finetuned:erasures-unfinished"):
                await world.settle()
    found += [violation async for violation in _nothing_is_left(world)]
    return found


async def listed(world: World, path: str) -> list[dict[str, Any]]:
    """Return the objects of a list in the API."""
    answer = await world.http.get(path, params={"limit": 100})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def _files_have_their_bytes(world: World) -> AsyncIterator[str]:
    files = world.app.state.files
    for file in await listed(world, "/v1/files"):
        content = await world.http.get(f"/v1/files/{file['id']}/content")
        record = await files.records.get(world.notes["project"], file["id"])
        if content.status_code != 200 or _digest(content.content) != record.sha256:
            yield "a listed file has not its bytes"
        if record.status == "uploaded":
            yield "a file stays uploaded"
        if record.status == "error" and "failed" not in world.notes:
            yield f"a file is in error: {record.status_details}"
        if record.canonical is not None:
            try:
                rows = await files.storage.get_bytes(record.canonical_key)
            except StorageError:
                rows = b""
            if _digest(rows) != record.canonical:
                yield "a checked file has not its rows"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def _models_have_their_bytes(world: World) -> AsyncIterator[str]:
    registry, storage = world.app.state.registry, world.app.state.storage
    for model in await _models(world):
        record = await registry.models.get(world.notes["project"], model)
        try:
            manifest = await storage.get_folder(record.artifact, world.settings.data_dir / "got")
        except StorageError:
            yield "a listed model has not its bytes"
        else:
            if manifest.digest != record.digest:
                yield "a listed model has other bytes"


async def _uploads_have_their_parts(world: World) -> AsyncIterator[str]:
    uploads, project = world.app.state.uploads, world.notes["project"]
    page = await uploads.records.page(project, limit=100)
    for upload in page.items:
        if upload.status is UploadStatus.PENDING:
            for part in await uploads.parts(upload):
                content = await uploads.storage.get_bytes(f"{upload.folder}/{part.id}")
                if len(content) != part.bytes:
                    yield "a part has not its bytes"
        elif upload.status is UploadStatus.COMPLETED:
            file = await uploads.files.records.get(project, upload.file_id)
            if file is None and upload.file_id not in world.deleted:
                yield "a completed upload has no file"


async def _jobs_end_or_wait(world: World) -> AsyncIterator[str]:
    jobs, project = world.app.state.jobs, world.notes["project"]
    for shown in await listed(world, JOBS):
        job = await jobs.get(project, shown["id"])
        starts = [start for start in ScriptedTrainer.starts if start[0] == job.id]
        if len(starts) > len(set(starts)):
            yield "two trainers have the same attempt number"
        if job.is_final or job.status is Status.PAUSED:
            if job.status is Status.FAILED and "failed" not in world.notes:
                yield f"a job failed: {job.error.code}: {job.error.message}"
        elif job.status is not Status.QUEUED or "gpu" in world.queues:
            yield f"a job stays {job.status}"


async def _batches_end_with_each_result_once(world: World) -> AsyncIterator[str]:
    for batch in await listed(world, "/v1/batches"):
        if batch["status"] not in ("completed", "failed", "cancelled"):
            yield f"a batch stays {batch['status']}"
        found: list[str] = []
        for file_id in filter(None, (batch["output_file_id"], batch["error_file_id"])):
            content = await world.http.get(f"/v1/files/{file_id}/content")
            found += [json.loads(line)["custom_id"] for line in content.text.splitlines()]
        if len(found) != len(set(found)):
            yield "a request of a batch has two results"
        if batch["status"] == "completed" and len(found) != batch["request_counts"]["total"]:
            yield "a request of a completed batch has no result"


async def _generations_end_with_each_row_once(world: World) -> AsyncIterator[str]:
    for made in await listed(world, "/v1/dataset_generations"):
        if made["status"] not in ("completed", "failed", "cancelled"):
            yield f"a generation stays {made['status']}"
        rows: list[str] = []
        output = (made["result"] or {}).get("output_file_id")
        if output is not None:
            content = await world.http.get(f"/v1/files/{output}/content")
            rows = [json.loads(line)["generated"]["id"] for line in content.text.splitlines()]
        if len(rows) != len(set(rows)) or len(rows) != made["counts"]["kept"]:
            yield "a file has not each row of its generation once"
        if made["status"] == "completed" and len(rows) != made["n"]:
            yield "a completed generation lacks rows"


async def _events_happen_once(world: World) -> AsyncIterator[str]:
    """Check the events of jobs, and the ends of jobs that the outbox counted."""
    jobs, project = world.app.state.jobs, world.notes["project"]
    ends = Counter[str]()
    for shown in await listed(world, JOBS):
        job = await jobs.get(project, shown["id"])
        if job.is_final:
            ends[f"fine_tuning.job.{job.status}"] += 1
        events, _ = await jobs.events_before(project, job.id, None, 1000)
        said = Counter((e.message, json.dumps(e.data, sort_keys=True)) for e in events)
        repeatable = (
            "Training started",
            "Evaluation: ",
            "Step ",
            "The job was paused",
            "The job was resumed",
        )
        for (message, _), times in said.items():
            if times > 1 and not message.startswith(repeatable):
                yield f"{times} events: {message.replace(job.id, 'ftjob')}"
    counted = await outbox.processed_by_type(world.redis)
    counted = {name: n for name, n in counted.items() if name.startswith("fine_tuning.")}
    if counted != dict(ends):
        yield f"the outbox counted {counted}, but there are {dict(ends)}"


async def _deleted_stays_deleted(world: World) -> AsyncIterator[str]:
    keys = await world.keys()
    for name in world.deleted:
        kind = name.partition("-")[0]
        if any(name in key for key in keys if "lease" not in key and "unheld" not in key):
            yield f"a deleted {kind} is in Redis"
        if any(name in path for path in world.objects()):
            yield f"a deleted {kind} is in storage"


async def _delete_everything(world: World) -> None:
    for job in await listed(world, JOBS):
        if job["status"] not in FINAL:
            await world.http.post(f"{JOBS}/{job['id']}/cancel")
    uploads = world.app.state.uploads
    page = await uploads.records.page(world.notes["project"], limit=100)
    for upload in page.items:
        if upload.status is UploadStatus.PENDING:
            await world.http.post(f"/v1/uploads/{upload.id}/cancel")
    for alias in await listed(world, "/v1/aliases"):
        path, ends = f"/v1/aliases/{alias['id']}", {"suites": [], "reason": "It is deleted."}
        if alias["suites"]:
            await world.http.put(path, json={"targets": alias["targets"], **ends})
        await world.http.delete(path)
    paths = ("model_exports", "evals", "files", "dataset_generations", "chat/completions")
    names = [name for path in paths for name in await _names(world, path)]
    for name in names + [f"models/{model}" for model in await _models(world)]:
        answer = await world.http.delete(f"/v1/{name}")
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"


async def _names(world: World, path: str) -> list[str]:
    return [f"{path}/{thing['id']}" for thing in await listed(world, f"/v1/{path}")]


async def _models(world: World) -> list[str]:
    """Return the names of all trained models, with those of checkpoints."""
    models = [model["id"] for model in await listed(world, "/v1/models")]
    for job in await listed(world, JOBS):
        checkpoints = await listed(world, f"{JOBS}/{job['id']}/checkpoints")
        models += [checkpoint["fine_tuned_model_checkpoint"] for checkpoint in checkpoints]
    registry, project = world.app.state.registry, world.notes["project"]
    return [m for m in dict.fromkeys(models) if await registry.models.get(project, m) is not None]


async def _nothing_is_left(world: World) -> AsyncIterator[str]:
    for path in world.objects():
        if not path.startswith(("audit/", "audit-heads/")):  # which outlives what it is about
            yield f"left in storage: {path.rsplit('/', 1)[-1]}"
    for path in world.scraps():
        yield f"left in scratch: {path.rsplit('/', 1)[-1]}"
    for name in _UNFINISHED:
        if await world.redis.exists(f"finetuned:{name}"):
            yield f"left in Redis: {name}"
    for lane, entries in queue.QUEUES.items():
        if await world.redis.zcard(entries):
            yield f"left in the queue {lane}"
    for pattern in ("arq:job:*", "arq:in-progress:*"):
        for key in await world.keys(pattern):
            yield f"left in Redis: {key.split('-')[0].rsplit(':', 1)[0]}"
