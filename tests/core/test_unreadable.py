"""Tests of records from a newer version: they are skipped, logged once and counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client import REGISTRY

from service.core import queue
from service.core.records import Unreadable
from service.files.curation.records import Task
from service.files.records import EXPIRING
from service.files.task_index import tasks_of
from service.files.uploads.records import DUE
from service.fleet import workers
from tests.conftest import BASE_MODEL, Api, chat_line, upload

JOBS = "/v1/fine_tuning/jobs"
FILE = "\n".join(chat_line(f"q{i}", f"a{i}") for i in range(12)).encode()


def unreadable(kind: str) -> float:
    return REGISTRY.get_sample_value("finetuned_records_unreadable_total", {"kind": kind}) or 0


@pytest.fixture
def rewrite(api: Api):
    """Rewrite a record as a newer version might."""

    async def rewrite(key: str, **fields: object) -> None:
        redis = api.app.state.redis
        await redis.set(key, json.dumps({**json.loads(await redis.get(key)), **fields}))

    return rewrite


@pytest.fixture
async def create(http):
    """Return the body of a new job."""

    async def create() -> dict[str, Any]:
        file = (await upload(http, FILE)).json()
        answer = await http.post(JOBS, json={"model": BASE_MODEL, "training_file": file["id"]})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return create


async def test_a_job_with_an_unknown_status_does_not_block_others(
    api: Api, http, create, rewrite, reconciler, caplog
):
    strange = await create()
    jobs = api.app.state.jobs
    await rewrite(
        jobs.records.key(strange["organization_id"], strange["id"]), status="a secret status"
    )
    before = unreadable("JobRecord")
    other = await create()
    await api.app.state.redis.delete(queue.CPU, *await api.app.state.redis.keys("arq:job:*"))
    await reconciler.once()
    await reconciler.once()
    entries = [e.decode() for e in await api.app.state.redis.zrange(queue.CPU, 0, -1)]
    assert f"prepare_job:{other['id']}:1" in entries
    assert [j["id"] for j in (await http.get(JOBS)).json()["data"]] == [other["id"]]
    assert [j.id for j in await jobs.unfinished()] == [other["id"]]
    assert unreadable("JobRecord") > before + 2
    logged = [r for r in caplog.records if strange["id"] in r.getMessage()]
    assert [r.getMessage() for r in logged if r.name == "service.core.records"] == [
        f"JobRecord {strange['id']} cannot be read: [('status', 'enum')]"
    ]
    assert "a secret status" not in caplog.text


async def test_an_unreadable_job_is_an_internal_error(api: Api, http, create, rewrite):
    job = await create()
    await rewrite(
        api.app.state.jobs.records.key(job["organization_id"], job["id"]), status="archived"
    )
    for answer in (
        await http.get(f"{JOBS}/{job['id']}"),
        await http.post(f"{JOBS}/{job['id']}/cancel"),
    ):
        assert answer.status_code == 500
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("server_error", "internal_error")
        assert job["id"] in error["message"]
        assert "newer version" in error["message"]


async def test_unreadable_files_tasks_and_uploads_do_not_block_others(
    api: Api, http, rewrite, reconciler, create
):
    state = api.app.state
    project = (await create())["organization_id"]
    strange = (await upload(http, FILE)).json()["id"]
    report = await http.post("/v1/dataset_reports", json={"file_id": strange})
    assert report.status_code == 200
    begun = {"filename": "f", "purpose": "fine-tune", "bytes": 9, "mime_type": "text/plain"}
    pending = (await http.post("/v1/uploads", json=begun)).json()["id"]
    for member in await state.redis.smembers(Task.work.unfinished_key):
        task_id = member.decode().rpartition("/")[2]
        await rewrite(f"finetuned:{project}:{tasks_of(strange)}:{task_id}", kind="poem")
    await rewrite(state.files.records.key(project, strange), status="quarantined")
    await rewrite(state.uploads.records.key(project, pending), status="quarantined")
    gone = (await upload(http, FILE)).json()["id"]
    await state.redis.zadd(EXPIRING, {f"{project}/{strange}": 1, f"{project}/{gone}": 1})
    await state.redis.zadd(DUE, {f"{project}/{pending}": 1})
    await reconciler.once()
    assert (await http.get(f"/v1/files/{gone}")).status_code == 404
    listed = [f["id"] for f in (await http.get("/v1/files")).json()["data"]]
    assert strange not in listed
    assert gone not in listed


async def test_an_unreadable_worker_is_ignored(api: Api):
    redis = api.app.state.redis
    await workers.announce(
        redis,
        workers.Worker(
            name="old", queues=("gpu",), device="cpu", device_name="x", gpus=0, memory_bytes=1
        ),
    )
    await redis.sadd("finetuned:workers", "new")
    await redis.set("finetuned:worker-alive:new", '{"name": "new", "device": "abacus"}')
    assert [w.name for w in await workers.alive(redis)] == ["old"]


async def test_an_event_with_an_unknown_level_is_skipped(api: Api, http, create):
    job = await create()
    stream = f"finetuned:{job['organization_id']}:events:{job['id']}"
    event = {"message": "m", "level": "grave", "type": "message", "data": {}, "created_at": 1}
    await api.app.state.redis.xadd(stream, {"event": json.dumps(event)})
    answer = await http.get(f"{JOBS}/{job['id']}/events")
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 2


async def test_an_error_with_one_record_does_not_block_others(api: Api, create, reconciler, caplog):
    first, second = await create(), await create()
    checked: list[str] = []
    repairs = reconciler._job_recovery
    repair = repairs.repair

    async def faulty(project_id: str, job_id: str) -> None:
        checked.append(job_id)
        if job_id == min(first["id"], second["id"]):
            raise ValueError("a fault")
        await repair(project_id, job_id)

    repairs.repair = faulty
    await api.app.state.redis.delete(queue.CPU, *await api.app.state.redis.keys("arq:job:*"))
    await reconciler.once()
    assert sorted(checked) == sorted([first["id"], second["id"]])
    assert f"not reconciled: {min(checked)}" in caplog.text


async def test_get_raises_unreadable(api: Api, create, rewrite):
    job = await create()
    key = api.app.state.jobs.records.key(job["organization_id"], job["id"])
    await rewrite(key, attempt="the second")
    with pytest.raises(Unreadable):
        await api.app.state.jobs.get(job["organization_id"], job["id"])
