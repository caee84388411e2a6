"""Tests of what operations on files share: how they are found, cancelled, deleted and restarted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.core import clock, outbox
from service.core.leases import Leases
from service.files.curation.records import TaskKind, Tasks
from service.files.curation.report import ReportOptions, report_task
from tests.conftest import BASE_MODEL, Api, chat_line, checked

pytestmark = pytest.mark.slow

REPORTS, PREVIEWS, CLEANINGS = (
    f"/v1/dataset_{name}" for name in ("reports", "previews", "cleanings")
)
DATA = "\n".join(chat_line(f"Question {i}?", f"Answer {i}.") for i in range(12)).encode()
# Takes a worker a few seconds, so that a test can stop it.
LARGE = "\n".join(
    chat_line(f"Frage {i} " * 40, f"Antwort {i} " * 40) for i in range(4_000)
).encode()


async def made(http, path: str, **body: Any) -> dict[str, Any]:
    """A new operation, or the one that the same request created before."""
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ids_in(http, path: str, **params: Any) -> list[str]:
    return [one["id"] for one in (await http.get(path, params=params)).json()["data"]]


async def project_of(api: Api) -> str:
    return str((await api.app.state.projects.by_name("acme")).id)


def stored(api: Api, task_id: str) -> list[Path]:
    """The files that a task has in storage."""
    storage = api.settings.data_dir / "storage"
    return [path for path in storage.rglob("*") if task_id in str(path) and path.is_file()]


async def test_operations_are_listed_by_kind_and_file(http, put):
    one, two = await put(DATA), await put(DATA)
    reports = [(await made(http, REPORTS, file_id=file_id))["id"] for file_id in (one, two)]
    assert len(set(reports)) == 2  # even though the files have the same bytes
    cleaning = await made(http, CLEANINGS, file_id=one)
    assert await ids_in(http, REPORTS) == reports[::-1]
    assert await ids_in(http, REPORTS, file_id=one) == reports[:1]
    assert await ids_in(http, REPORTS, order="asc", limit=1) == reports[:1]
    assert await ids_in(http, REPORTS, after=reports[1]) == reports[:1]
    assert await ids_in(http, CLEANINGS) == [cleaning["id"]]
    assert await ids_in(http, PREVIEWS) == []
    assert await ids_in(http, REPORTS, status="completed") == []
    key_id = (await http.get("/v1/whoami")).json()["api_key"]["id"]
    assert await ids_in(http, REPORTS, created_by=key_id) == reports[::-1]
    assert await ids_in(http, REPORTS, created_by="key_other") == []
    unknown = await http.get(REPORTS, params={"after": cleaning["id"].replace("clean", "report")})
    assert unknown.status_code == 400
    # A cleaning is no report.
    assert (await http.get(f"{REPORTS}/{cleaning['id']}")).status_code == 404
    await http.delete(f"/v1/files/{one}")
    assert await ids_in(http, REPORTS) == reports[1:]
    assert await ids_in(http, CLEANINGS) == []
    assert (await http.get(f"{CLEANINGS}/{cleaning['id']}")).status_code == 404


async def test_operations_of_the_last_version_are_found(api: Api, http, put):
    file_id = await put(DATA)
    kept = [await made(http, CLEANINGS, file_id=file_id, seed=seed) for seed in range(2)]
    redis = api.app.state.redis
    await redis.delete(*await redis.keys("finetuned:*:file-tasks*"))  # version 0.2 has no index
    found = await http.get(f"{CLEANINGS}/{kept[0]['id']}")
    assert found.json() == kept[0]
    await redis.delete(*await redis.keys("finetuned:*:file-tasks*"))
    assert await ids_in(http, CLEANINGS) == [kept[1]["id"], kept[0]["id"]]


async def test_an_entry_without_a_record_is_skipped(api: Api, http, put):
    """A task may be created as its file is deleted."""
    file_id = await put(DATA)
    kept = await made(http, CLEANINGS, file_id=file_id)
    gone = await made(http, CLEANINGS, file_id=await put(DATA))
    key = f"finetuned:{await project_of(api)}:files:{gone['file_id']}:tasks:{gone['id']}"
    assert await api.app.state.redis.delete(key) == 1
    assert await ids_in(http, CLEANINGS) == [kept["id"]]
    assert (await http.get(f"{CLEANINGS}/{gone['id']}")).status_code == 404


async def test_the_same_request_returns_the_same_report(api: Api, http, work, put):
    file_id = await put(DATA)
    async with work("cpu"):
        await checked(http, file_id)
        first = await made(http, REPORTS, file_id=file_id, metadata={"team": "a"})
        assert first["status"] == "queued"
        url = f"{REPORTS}/{first['id']}"
        done = (await http.get(url, params={"wait": 30})).json()
        assert (done["status"], done["metadata"]) == ("completed", {"team": "a"})
        assert done["created_at"] <= done["started_at"] <= done["finished_at"]
        assert done["result"]["rows"] == 12
        redis = api.app.state.redis
        async with asyncio.timeout(60):
            while not (await outbox.processed_by_type(redis)).get("dataset.report.completed"):
                await asyncio.sleep(0.1)
        again = await made(http, REPORTS, file_id=file_id, metadata={"team": "b"})
        assert again == {**done, "metadata": {"team": "b"}}
        key = {"idempotency-key": "report"}
        body = {"file_id": file_id}
        keyed = await http.post(REPORTS, json=body, headers=key)
        assert keyed.json() == again
        other = await http.post(REPORTS, json={**body, "models": [BASE_MODEL]}, headers=key)
        assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")
        # Its output is gone.
        for path in stored(api, first["id"]):
            path.unlink()
        lost = await http.get(f"{url}/content")
        assert (lost.status_code, lost.json()["error"]["param"]) == (404, "id")
        anew = await made(http, REPORTS, file_id=file_id)
        assert (anew["id"], anew["status"], anew["result"]) == (first["id"], "queued", None)
        await http.get(url, params={"wait": 30})
        assert (await http.get(f"{url}/content")).status_code == 200


async def test_a_failed_report_is_an_operation_with_an_error(api: Api, http, work, put):
    async with work("cpu"):
        body = {"file_id": await put(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))}
        report = await made(http, REPORTS, **body)
        url = f"{REPORTS}/{report['id']}"
        failed = (await http.get(url, params={"wait": 30})).json()
    assert (failed["status"], failed["result"]) == ("failed", None)
    assert failed["error"]["code"] == "document"
    content = await http.get(f"{url}/content")
    assert (content.status_code, content.json()["error"]["code"]) == (409, "invalid_state")
    assert await made(http, REPORTS, **body) == failed
    clock.set_difference(61)
    try:
        assert (await made(http, REPORTS, **body))["status"] == "queued"
    finally:
        clock.set_difference(0)


async def test_content_needs_a_completed_operation(http, put):
    report = await made(http, REPORTS, file_id=await put(DATA))
    for part in ("content", "rows"):
        answer = await http.get(f"{REPORTS}/{report['id']}/{part}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "invalid_state")


@pytest.mark.parametrize("how", ["cancel", "delete"])
async def test_a_worker_stops(api: Api, http, work, put, how):
    file_id = await put(LARGE)
    async with work("cpu"):
        await checked(http, file_id)
        report = await made(http, REPORTS, file_id=file_id)
        url = f"{REPORTS}/{report['id']}"
        child = await _child(report["id"])
        assert (await http.get(url)).json()["status"] == "in_progress"
        child.send_signal(signal.SIGSTOP)  # it cannot end on its own
        if how == "cancel":
            assert (await http.post(f"{url}/cancel")).json()["status"] == "cancelled"
            assert (await http.post(f"{url}/cancel")).json()["status"] == "cancelled"  # a retry
        else:
            deleted = (await http.delete(url)).json()
            assert (deleted["object"], deleted["deleted"]) == ("dataset.report.deleted", True)
        async with asyncio.timeout(60):
            while child.is_running():
                await asyncio.sleep(0.05)
            while await api.app.state.redis.exists("finetuned:curation-swept"):
                await asyncio.sleep(0.05)
        assert not stored(api, report["id"])
        found = await http.get(url)
        if how == "delete":
            assert (found.status_code, await ids_in(http, REPORTS)) == (404, [])
        else:
            assert found.json()["status"] == "cancelled"
        # The same request starts it again.
        assert (await made(http, REPORTS, file_id=file_id))["id"] == report["id"]
        done = (await http.get(url, params={"wait": 30})).json()
        while done["status"] in ("queued", "in_progress"):
            done = (await http.get(url, params={"wait": 30})).json()
    assert (done["status"], done["result"]["rows"]) == ("completed", 4_000)


async def test_output_of_a_stopped_worker_is_removed_once_it_has_stopped(api: Api, http, put):
    """A worker may store the report just after it was cancelled."""
    state = api.app.state
    file_id = await put(DATA)
    report = await made(http, REPORTS, file_id=file_id)
    tasks: Tasks = state.curation
    task = await tasks.get(await project_of(api), report["id"])
    assert task is not None
    leases = Leases(state.redis, "me", lease_s=30)
    async with leases.hold(task.subject, task.attempt):
        await http.post(f"{REPORTS}/{task.id}/cancel")
        await state.storage.put_bytes(f"{task.folder}/report.json", b"{}")
        await _clean_up(tasks, api, leases)
        assert stored(api, task.id)
    await _clean_up(tasks, api, leases)
    assert not stored(api, task.id)
    assert await tasks.leftovers(clock.now_s()) == []


async def test_a_task_that_restarts_keeps_its_output(api: Api, http, put):
    state = api.app.state
    tasks: Tasks = state.curation
    report = await made(http, REPORTS, file_id=await put(DATA))
    task = await tasks.get(await project_of(api), report["id"])
    assert task is not None
    await http.post(f"{REPORTS}/{task.id}/cancel")
    again = await tasks.get_or_create(task)
    await state.storage.put_bytes(f"{task.folder}/report.json", b"{}")
    await tasks.finish(again, result={})
    await _clean_up(tasks, api, Leases(state.redis, "me", lease_s=30))
    assert stored(api, task.id)


async def test_files_that_a_cleaning_made_stay(http, work, put, cleaned):
    async with work("cpu"):
        cleaning = await cleaned(await put(DATA))
    assert (await http.delete(f"{CLEANINGS}/{cleaning['id']}")).status_code == 200
    content = await http.get(f"/v1/files/{cleaning['result']['training_file_id']}/content")
    assert len(content.text.splitlines()) == 12


async def test_tasks_of_other_work_are_not_listed(api: Api, http, put):
    file_id = await put(DATA)
    project_id = await project_of(api)
    file = await api.app.state.files.records.get(project_id, file_id)
    task = report_task(file, ReportOptions([]))
    measure = task.model_copy(update={"id": "filemeasure-1", "kind": TaskKind.MEASURE})
    await api.app.state.curation.create(measure)
    assert await api.app.state.curation.get(project_id, measure.id) is None


async def _clean_up(tasks: Tasks, api: Api, leases: Leases) -> None:
    for member in await tasks.leftovers(clock.now_s()):
        await tasks.clean_up(member, api.app.state.storage, leases)


async def _child(task_id: str) -> psutil.Process:
    """The child process of this process that works on a task."""
    async with asyncio.timeout(60):
        while True:
            for child in psutil.Process(os.getpid()).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since
                    if any(task_id in part for part in child.cmdline()):
                        return child
            await asyncio.sleep(0.02)
