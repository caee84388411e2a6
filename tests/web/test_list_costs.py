"""Tests of lists of large projects: what a page reads, and long lists."""

from __future__ import annotations

from typing import Any

import pytest

from service.core import clock, ids
from service.files.records import FileRecord, FileStatus, Purpose
from service.files.uploads.records import UploadRecord, UploadStatus
from service.jobs.records import Status
from service.projects.records import INSTALLATION
from tests.conftest import Api
from tests.jobs.running import running_job
from tests.redis_work import work_of

MANY = 100
UPLOAD = {"filename": "f", "purpose": "user_data", "bytes": 1, "mime_type": "x/y"}


@pytest.fixture
async def project_id(api: Api, http) -> str:
    """The ID of the project that the client belongs to."""
    (project,) = (await api.app.state.projects.projects.page(INSTALLATION)).items
    return project.id


async def add_files(api: Api, project_id: str, count: int) -> list[str]:
    """Add files, the first of which has the purpose of results."""
    files = [
        FileRecord(
            id=ids.new(ids.FILE),
            project_id=project_id,
            created_at=number,
            filename="straße.jsonl",
            purpose=Purpose.USER_DATA if number else Purpose.RESULTS,
            bytes=1,
            sha256="",
            status=FileStatus.PROCESSED,
        )
        for number in range(count)
    ]
    for file in files:
        await api.app.state.files.register(file)
    return [file.id for file in files]


async def read(api: Api, http, path: str) -> tuple[dict[str, Any], int]:
    """Return the response to a request, and the number of keys that it read."""
    await http.get(path)  # reads the API key, which is then cached, or labels
    async with work_of(api.app.state.redis) as work:
        answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json(), work.keys_read


async def test_a_filter_reads_only_what_it_returns(api: Api, http, project_id):
    files = await add_files(api, project_id, MANY)
    for number in range(MANY):
        job = running_job(project_id)
        fields = {
            "status": Status.FAILED,
            "metadata": {"run": str(number), "half": str(number % 2)},
        }
        await api.app.state.jobs.create(job.model_copy(update=fields))
    found, keys_read = await read(api, http, "/v1/files?purpose=fine-tune-results")
    assert [file["id"] for file in found["data"]] == files[:1]
    assert keys_read < 20
    jobs = "/v1/fine_tuning/jobs?metadata[run]=4"
    for query, count in (("", 1), ("&metadata[half]=0", 1), ("&metadata[half]=1", 0)):
        found, keys_read = await read(api, http, jobs + query)
        assert len(found["data"]) == count
        assert keys_read < 20, query
    found, _ = await read(api, http, "/v1/fine_tuning/jobs?metadata=null")
    assert found["data"] == []


async def test_a_long_list_equals_its_pages(api: Api, http, project_id):
    files = await add_files(api, project_id, MANY)
    whole = (await http.get("/v1/files?order=asc")).json()
    assert [file["id"] for file in whole["data"]] == files
    assert list(whole) == ["object", "data", "has_more", "first_id", "last_id"]
    assert (whole["object"], whole["has_more"]) == ("list", False)
    assert (whole["first_id"], whole["last_id"]) == (files[0], files[-1])
    page = (await http.get(f"/v1/files?order=asc&limit=1&after={files[6]}")).json()
    assert (page["data"], page["has_more"]) == ([whole["data"][7]], True)
    assert whole["data"][7] == (await http.get(f"/v1/files/{files[7]}")).json()
    empty = (await http.get("/v1/files?purpose=evals")).json()
    assert (empty["data"], empty["first_id"], empty["last_id"]) == ([], None, None)


async def test_ended_uploads_cost_a_new_one_nothing(api: Api, http, project_id):
    uploads = api.app.state.uploads
    for _ in range(MANY):
        upload = UploadRecord(
            id=ids.new(ids.UPLOAD),
            project_id=project_id,
            created_at=clock.now_s(),
            filename="f",
            purpose=Purpose.USER_DATA,
            bytes=1,
            mime_type="x/y",
            expires_at=clock.now_s() + 3600,
        )
        await uploads.end(await uploads.create(upload), UploadStatus.CANCELLED, clock.now_s())
    assert await uploads.pending(project_id, clock.now_s()) == 0
    async with work_of(api.app.state.redis) as work:
        assert (await http.post("/v1/uploads", json=UPLOAD)).status_code == 200
    assert work.keys_read < 20
    assert await uploads.pending(project_id, clock.now_s()) == 1
