"""Tests of the filters that lists share, and of their counts."""

from __future__ import annotations

import time
from typing import Any

import httpx
import openai
import pytest

from service.batches.records import BatchRecord, BatchStatus
from service.core import clock, ids
from service.exports.records import ExportRecord, ExportStatus
from service.files.records import FileRecord, FileStatus, Purpose
from service.jobs.records import Status
from service.models.records import ModelRecord
from service.projects.records import Role
from service.projects.service_accounts import AccountRole
from tests.conftest import BASE_MODEL, Api, upload
from tests.jobs.running import running_job
from tests.redis_work import work_of

JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
async def project_id(api: Api, http: httpx.AsyncClient) -> str:
    """The ID of project acme, whose client is `http`."""
    return str((await api.app.state.projects.by_name("acme")).id)


async def listed(http: httpx.AsyncClient, path: str, **query: Any) -> dict[str, Any]:
    answer = await http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def names(http: httpx.AsyncClient, path: str, **query: Any) -> list[str]:
    return [one["id"] for one in (await listed(http, path, **query))["data"]]


@pytest.fixture
async def jobs(api: Api, project_id: str) -> list[str]:
    """Six jobs, created at the seconds 1000 to 1005, oldest first."""
    made = []
    for n in range(6):
        job = running_job(project_id).model_copy(
            update={
                "created_at": 1000 + n,
                "status": [Status.SUCCEEDED, Status.FAILED, Status.RUNNING][n % 3],
                "suffix": ["Bücherei", "shop", None][n % 3],
                "key_id": f"key_{n % 2}",
                "metadata": {"team": "a"} if n < 3 else None,
            }
        )
        made.append((await api.app.state.jobs.create(job)).id)
    return made


async def test_jobs_are_filtered_and_counted(http, jobs):
    assert await names(http, JOBS, status="failed") == [jobs[4], jobs[1]]
    assert await names(http, JOBS, status=["failed", "running"]) == [jobs[n] for n in (5, 4, 2, 1)]
    assert await names(http, JOBS, search="BÜCHER") == [jobs[3], jobs[0]]
    assert await names(http, JOBS, search=jobs[2][6:]) == [jobs[2]]
    assert await names(http, JOBS, created_after=1004) == [jobs[5], jobs[4]]
    assert await names(http, JOBS, created_before=1001) == [jobs[0]]
    assert await names(http, JOBS, created_by="key_1") == [jobs[5], jobs[3], jobs[1]]
    file = (await listed(http, JOBS))["data"][0]["training_file"]
    assert len(await names(http, JOBS, file=file)) == 6
    assert await names(http, JOBS, file=file[:-1]) == []
    both = {"metadata[team]": "a", "created_by": "key_0"}
    assert await names(http, JOBS, **both) == [jobs[2], jobs[0]]
    found = await listed(http, JOBS, status="failed", include="counts", created_after=1001, limit=1)
    assert [one["id"] for one in found["data"]] == [jobs[4]]
    assert found["has_more"]
    assert found["counts"] == {
        "total": 5,
        "by_status": {"failed": 2, "running": 2, "succeeded": 1},
    }
    second = await listed(http, JOBS, status="failed", include="counts", limit=1, after=jobs[4])
    assert ([one["id"] for one in second["data"]], second["has_more"]) == ([jobs[1]], False)
    assert second["counts"]["total"] == 6


async def test_a_filtered_list_has_the_pages_of_the_whole_one(http, jobs):
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = await listed(http, JOBS, limit=2, created_after=1001, **after)
        found += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert found == jobs[:0:-1]
    assert (await http.get(JOBS, params={"search": "x", "after": "ftjob-no"})).status_code == 400


async def test_calls_of_sdks_are_answered_as_before(http, jobs, api: Api):
    plain = await listed(http, JOBS)
    assert plain.keys() == {"object", "data", "has_more", "first_id", "last_id"}
    assert (await listed(http, JOBS, created_after=0)) == plain
    async with openai.AsyncOpenAI(base_url=f"{api.base_url}/v1", api_key=await api.key()) as client:
        sent = {"status": ["failed"], "include": ["counts"]}  # encoded as `status[]=failed`
        page = await client.fine_tuning.jobs.list(extra_query=sent)
        assert [job.id for job in page.data] == [jobs[4], jobs[1]]
        assert page.model_extra is not None
        assert page.model_extra["counts"]["total"] == 6


@pytest.mark.parametrize(
    "query", [{"status": "done"}, {"include": "all"}, {"search": ""}, {"created_after": -1}]
)
async def test_mistakes_are_refused(http, query):
    answer = await http.get(JOBS, params=query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] in (
        *("status.0", "include.0", "search", "created_after"),
    )


async def test_files_know_who_uploaded_them(api: Api, project_id):
    projects, accounts = api.app.state.projects, api.app.state.service_accounts
    acme = await projects.by_name("acme")
    account, (key, secret) = await made_account(accounts, acme)
    headers = {"authorization": f"Bearer {secret}"}
    async with (
        await api.client() as http,
        httpx.AsyncClient(base_url=api.base_url, headers=headers, verify=False) as program,
    ):
        own = (await upload(http, b"x", "user_data", name="Notes.txt")).json()["id"]
        theirs = (await upload(program, b"y", "user_data", name="rows.jsonl")).json()["id"]
        in_parts = await uploaded_in_parts(program)
        for who in (key, account):
            assert await names(http, "/v1/files", created_by=who) == [in_parts, theirs]
        assert await names(http, "/v1/files", created_by="svc_acct_none") == []
        assert await names(http, "/v1/files", search="notes") == [own]
        old = FileRecord(
            id=ids.new(ids.FILE), project_id=project_id, created_at=1, filename="old",
            purpose=Purpose.USER_DATA, bytes=1, sha256="", status=FileStatus.ERROR, expires_at=2,
        )  # fmt: skip
        await api.app.state.files.register(old)
        found = await listed(http, "/v1/files", purpose="user_data", include="counts", limit=1)
        assert [one["id"] for one in found["data"]] == [in_parts]
        assert found["counts"] == {"total": 3, "by_status": {"processed": 3}}
        assert found["has_more"]


async def made_account(accounts: Any, project: Any) -> tuple[str, tuple[str, str]]:
    """A service account of a project with a key: its ID, and those and the secret of the key."""
    account = await accounts.create(project, "nightly", AccountRole.MEMBER)
    key, secret = await accounts.create_key(project, account, "first", None)
    return account.id, (key.id, secret)


async def uploaded_in_parts(http: httpx.AsyncClient) -> str:
    """A file that was sent in parts."""
    body = {"filename": "f", "purpose": "user_data", "bytes": 1, "mime_type": "text/plain"}
    made = (await http.post("/v1/uploads", json=body)).json()["id"]
    part = await http.post(f"/v1/uploads/{made}/parts", files={"data": b"z"})
    done = await http.post(f"/v1/uploads/{made}/complete", json={"part_ids": [part.json()["id"]]})
    return str(done.json()["file"]["id"])


async def test_batches_and_evals_are_filtered(api: Api, http, project_id):
    for n, status in enumerate([BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.FAILED]):
        batch = BatchRecord(
            id=ids.new(ids.BATCH), project_id=project_id, created_at=n, expires_at=n,
            key_id="key_a", endpoint="/v1/completions", input_file_id="file-a",
            completion_window="24h", status=status,
        )  # fmt: skip
        await api.app.state.batches.records.create(batch)
    found = await listed(http, "/v1/batches", status="failed", include="counts")
    assert len(found["data"]) == 2
    assert found["counts"] == {"total": 3, "by_status": {"completed": 1, "failed": 2}}
    me = (await http.get("/v1/whoami")).json()["api_key"]["id"]
    grader = {
        "type": "string_check", "name": "exact", "input": "{{item.a}}", "reference": "b",
        "operation": "eq",
    }  # fmt: skip
    config = {"type": "custom", "item_schema": {"type": "object", "properties": {"a": {}}}}
    body = {"data_source_config": config, "testing_criteria": [grader]}
    made = [
        (await http.post("/v1/evals", json={**body, "name": name})).json()["id"]
        for name in ("Opening hours", "Prices")
    ]
    found = await listed(http, "/v1/evals", search="HOURS", include="counts", created_by=me)
    assert [one["id"] for one in found["data"]] == made[:1]
    assert found["counts"] == {"total": 1, "by_status": {}}
    assert await names(http, "/v1/evals", order_by="updated_at", created_after=1) == made
    source = {"type": "file_content", "content": [{"item": {"a": "b"}}]}
    run = {"name": "Given", "data_source": {"type": "jsonl", "source": source}}
    runs = f"/v1/evals/{made[0]}/runs"
    run_id = (await http.post(runs, json=run)).json()["id"]
    assert await names(http, runs, status="queued", search="given") == [run_id]
    assert await names(http, runs, status="completed") == []
    assert (await listed(http, runs, include="counts"))["counts"]["by_status"] == {"queued": 1}


async def test_models_are_filtered_by_kind(api: Api, http, project_id):
    model = f"ft:{BASE_MODEL}:acme:Voice:abc123def456"
    record = ModelRecord(
        id=model, project_id=project_id, created_at=500, base_model=BASE_MODEL, artifact="x",
        digest="0", step=1, key_id="key_a",
    )  # fmt: skip
    await api.app.state.registry.register(record)
    assert (await http.put("/v1/aliases/support", json={"model": model})).status_code == 200
    found = await listed(http, "/v1/models", include="counts")
    assert found["counts"] == {"total": 3, "by_status": {"alias": 1, "base": 1, "trained": 1}}
    assert await names(http, "/v1/models", kind="trained") == [model]
    assert await names(http, "/v1/models", kind=["alias", "base"], limit=1) == [BASE_MODEL]
    assert await names(http, "/v1/models", search="voice") == [model]
    assert await names(http, "/v1/models", created_by="key_a") == [model]
    assert await names(http, "/v1/models", search=BASE_MODEL, created_before=600) == [
        *(BASE_MODEL, model)
    ]
    async with await api.client(role=Role.INFERENCE) as chatbot:
        assert await names(chatbot, "/v1/models", kind="alias") == ["support"]


async def test_operations_are_filtered_and_counted(api: Api, http, project_id):
    made = []
    running, failed = ExportStatus.IN_PROGRESS, ExportStatus.FAILED
    for n, status in enumerate([running, failed, failed]):
        export = ExportRecord(
            id=ids.new(ids.EXPORT), project_id=project_id, created_at=n, expires_at=2**40,
            model="ft:m", base_model=BASE_MODEL, job_id="ftjob-a", artifact="x", digest="0",
            key_id=f"key_{n}", format="adapter", status=status,
        )  # fmt: skip
        made.append((await api.app.state.exports.records.create(export)).id)
    path = "/v1/model_exports"
    found = await listed(http, path, status="failed", include="counts", created_after=1)
    assert [one["id"] for one in found["data"]] == [made[2], made[1]]
    assert found["counts"] == {"total": 2, "by_status": {"failed": 2}}
    assert await names(http, path, created_by="key_0") == [made[0]]
    assert await names(http, path, search=made[1][8:]) == [made[1]]
    assert "counts" not in await listed(http, path)


async def test_a_filter_reads_no_more_than_it_compares(api: Api, http, project_id):
    for _ in range(200):
        job = running_job(project_id)
        await api.app.state.jobs.create(job.model_copy(update={"created_at": clock.now_s()}))
    await http.get(JOBS)  # reads the key
    async with work_of(api.app.state.redis) as work:
        began = time.perf_counter()
        found = await listed(http, JOBS, search="tiny", include="counts", limit=1)
        print(f"200 jobs in {1000 * (time.perf_counter() - began):.0f} ms")
    assert found["counts"]["total"] == 200
    assert work.keys_read < 300
