"""Shared parts of the tests of workers."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.leases import Leases
from service.jobs.dispatch import Dispatcher
from service.jobs.records import JobRecord
from service.worker.reconciler import Reconciler
from tests.conftest import BASE_MODEL, Api

JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
async def reconciler(api: Api) -> Reconciler:
    state = api.app.state
    leases = Leases(state.redis, "me", lease_s=api.settings.lease_s)
    dispatcher = Dispatcher(state.jobs, state.redis, api.settings)
    return Reconciler(
        state.redis, state.jobs, state.files, leases, api.settings, dispatcher, state.eraser
    )


@pytest.fixture
async def job(api: Api, http: Any, chats: Any) -> JobRecord:
    file = await http.post(
        "/v1/files", files={"file": ("f", chats(12))}, data={"purpose": "fine-tune"}
    )
    created = await http.post(JOBS, json={"model": BASE_MODEL, "training_file": file.json()["id"]})
    body = created.json()
    return await api.app.state.jobs.get(body["organization_id"], body["id"])
