"""Scenario of fine-tuning jobs without a GPU worker."""

from __future__ import annotations

import asyncio

from service.jobs.records import Jobs, NewEvent
from tests.openapi.scenario.data import NO_FILE, NO_JOB
from tests.openapi.scenario.files import Uploaded
from tests.openapi.world import World


async def create(world: World, files: Uploaded, model: str) -> list[str]:
    """Create the two jobs that the project may have queued."""
    body = {"model": model, "training_file": files.chats}
    simple = await world.call(
        "createFineTuningJob",
        "defaults",
        "Required fields only; the service chooses the rest",
        headers={"idempotency-key": "train-bookshop-1"},
        json={**body, "suffix": "bookshop", "seed": 42},
    )
    chosen = {
        "n_epochs": 3,
        "batch_size": 8,
        "learning_rate": 0.0002,
        "lora": {"r": 16, "alpha": 32},
        "quantization": "nf4",
        "early_stopping": {"patience": 3},
    }
    full = await world.call(
        "createFineTuningJob",
        "chosen",
        "Custom hyperparameters, a second file, metadata and a priority",
        json={
            **body,
            "mixed_files": [{"file": files.table, "weight": 0.5}],
            "suffix": "bookshop",
            "seed": 42,
            "method": {"type": "supervised", "supervised": {"hyperparameters": chosen}},
            "metadata": {"team": "support"},
            "priority": 10,
        },
    )
    await _refused(world, body)
    return [simple.json()["id"], full.json()["id"]]


async def _refused(world: World, body: dict[str, str]) -> None:
    create, estimate = "createFineTuningJob", "estimateFineTuningJob"
    await world.call(create, expect=429, json=body)
    reused = {"idempotency-key": "train-bookshop-1"}
    await world.call(create, expect=409, headers=reused, json={**body, "seed": 1})
    await world.call(estimate, expect=409, json=body)
    for operation in (create, estimate):
        await world.call(operation, expect=400, json={"model": body["model"]})
        await world.call(operation, expect=400, json={**body, "epochs": 3})
        await world.call(operation, expect=400, json={**body, "seed": -1})
        for kind, settings in (("mlflow", "experiment_name"), ("wandb", "project")):
            integration = {"type": kind, kind: {settings: "bookshop"}}
            await world.call(operation, expect=400, json={**body, "integrations": [integration]})
        same = {**body, "validation_file": body["training_file"]}
        await world.call(operation, expect=400, json=same)
        await world.call(operation, expect=404, json={**body, "training_file": NO_FILE})
        await world.call(operation, expect=404, json={**body, "model": "gpt-4o"})


async def estimate(world: World, files: Uploaded, model: str, waiting: str) -> None:
    """Estimate a job, once the same rows are measured for another one."""
    await _until_queued(world, waiting)
    body = {"model": model, "training_file": files.chats, "seed": 42}
    await world.call("estimateFineTuningJob", "no_worker", "No GPU worker is online", json=body)
    broken = {**body, "training_file": files.broken}
    await world.call("estimateFineTuningJob", expect=400, json=broken)


async def look(world: World, jobs: list[str]) -> None:
    """Retrieve jobs that wait for a GPU worker that does not exist."""
    for job_id in jobs:
        await _until_queued(world, job_id)
    path = {"job_id": jobs[0]}
    await world.call("getFineTuningJob", "queued", "Queued job", path=path)
    await world.call("listFineTuningJobs", "newest", query={"limit": 20})
    counted = {"status": ["queued"], "search": "bookshop", "include": ["counts"], "limit": 1}
    await world.call("listFineTuningJobs", "counted", "Filtered, with counts", query=counted)
    await world.call("listFineTuningJobs", expect=400, query={"after": NO_JOB})
    await world.call("pauseFineTuningJob", "paused", path=path)
    await world.call("pauseFineTuningJob", expect=409, path=path)
    await world.call("resumeFineTuningJob", "queued", path=path)
    await world.call("resumeFineTuningJob", expect=409, path=path)
    await world.call("cancelFineTuningJob", "cancelled", path=path)
    await world.call("cancelFineTuningJob", expect=409, path=path)
    await _events(world, path)
    for operation in (
        *("getFineTuningJob", "pauseFineTuningJob", "resumeFineTuningJob"),
        *("cancelFineTuningJob", "listFineTuningJobEvents", "listFineTuningJobCheckpoints"),
        "getFineTuningJobMetrics",
    ):
        await world.call(operation, expect=404, path={"job_id": NO_JOB})
    for operation in (
        "getFineTuningJobEvaluation",
        "restartFineTuningJobEvaluation",
        "getFineTuningJobEvaluationReport",
    ):
        await world.call(operation, expect=404, path=path)


async def metrics(world: World, jobs: Jobs, job_id: str, project_id: str) -> None:
    """Read the metrics of a training of 100,000 steps."""
    rows = [
        {"step": 50, "train_loss": 2.41, "interval": {"steps": 50, "train_loss": [2.2, 2.6, 3.9]}},
        {"step": 50_000, "train_loss": 1.12, "valid_loss": 1.31},
        {"step": 100_000, "train_loss": 0.97, "valid_loss": 1.22},
    ]
    async with jobs.redis.pipeline(transaction=True) as pipe:
        events = [NewEvent(message="Step", type="metrics", data=row) for row in rows]
        jobs.add_events(pipe, project_id, job_id, events)
        await pipe.execute()
    operation, path = "getFineTuningJobMetrics", {"job_id": job_id}
    await world.call(
        operation,
        "buckets",
        "100,000 steps in two buckets",
        path=path,
        query={"buckets": 2, "metrics": ["train_loss", "valid_loss"], "from_step": 0},
    )
    await world.call(operation, expect=400, path=path, query={"metrics": "loss"})


async def unknown_format(world: World, job_id: str) -> None:
    """Ask for the report of an evaluation in a format that does not exist."""
    report = "getFineTuningJobEvaluationReport"
    await world.call(report, expect=400, path={"job_id": job_id}, query={"format": "pdf"})


async def label(world: World, job_id: str) -> None:
    """Say which answers of an evaluation are better."""
    put, listing = "putFineTuningJobEvaluationLabel", "listFineTuningJobEvaluationLabels"
    remove = "deleteFineTuningJobEvaluationLabels"
    job, row = {"job_id": job_id}, {"job_id": job_id, "row": "7"}
    better = {
        "compared": ["tuned", "prompt"],
        "winner": "tuned",
        "note": "The other one names the wrong fee.",
        "took_ms": 5400,
    }
    await world.call(put, "better", "One answer is better", path=row, json=better)
    tie = {"compared": ["base", "tuned"], "winner": "tie"}
    await world.call(put, "tie", "Both are as good", path={**job, "row": "8"}, json=tie)
    await world.call(put, expect=400, path=row, json={**better, "winner": "base"})
    await world.call(put, expect=404, path={**job, "row": "999"}, json=better)
    queue = "getFineTuningJobEvaluationLabelQueue"
    found = await world.call(queue, "queue", path=job, query={"limit": 2})
    await world.call(queue, expect=400, path=job, query={"compared": ["base", "prompt"]})
    task = found.json()["tasks"][0]
    blind = {"compared": found.json()["compared"], "winner": "first", "shown": task["shown"]}
    chosen = {**job, "row": str(task["row"])}
    await world.call(put, "blind", "An answer of the queue is better", path=chosen, json=blind)
    await world.call(put, expect=409, path=chosen, json={**blind, "shown": "0" * 32})
    await world.call(listing, "labels", path=job, query={"limit": 20})
    await world.call(listing, expect=400, path=job, query={"after": "x"})
    await world.call("getFineTuningJobEvaluation", "labeled", "With labels of people", path=job)
    await world.call(remove, "deleted", path={**job, "row": "8"})
    await world.call(remove, expect=404, path={**job, "row": "8"})
    await world.call(remove, expect=400, path=row, query={"compared": "tuned"})


async def _events(world: World, path: dict[str, str]) -> None:
    listed = await world.call(
        "listFineTuningJobEvents",
        "cancelled",
        "Events of a canceled job",
        path=path,
        query={"limit": 20},
    )
    oldest = listed.json()["data"][-3]["id"]
    await world.call(
        "listFineTuningJobEvents",
        "cancelled",
        "Event stream, resumed after an event",
        path=path,
        query={"stream": True},
        headers={"last-event-id": oldest},
    )
    await world.call("listFineTuningJobEvents", expect=400, path=path, query={"after": "x"})
    await world.call("listFineTuningJobCheckpoints", "none_yet", path=path, query={"limit": 10})
    await world.call(
        "listFineTuningJobCheckpoints", expect=400, path=path, query={"after": "ftckpt_x"}
    )


async def _until_queued(world: World, job_id: str) -> None:
    async with asyncio.timeout(60):
        while True:
            answer = await world.call("getFineTuningJob", path={"job_id": job_id})
            if answer.json()["status"] != "validating_files":
                assert answer.json()["status"] == "queued", answer.text
                return
            await asyncio.sleep(0.05)
