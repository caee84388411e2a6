"""Shared parts of the tests of workers."""

from __future__ import annotations

from typing import Any

import pytest

from service.jobs.records import JobRecord
from tests.conftest import BASE_MODEL, Api

JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
async def job(api: Api, http: Any, chats: Any) -> JobRecord:
    file = await http.post(
        "/v1/files", files={"file": ("f", chats(12))}, data={"purpose": "fine-tune"}
    )
    created = await http.post(JOBS, json={"model": BASE_MODEL, "training_file": file.json()["id"]})
    body = created.json()
    return await api.app.state.jobs.get(body["organization_id"], body["id"])
