"""Tests of the spec that an attempt writes for its trainer."""

from __future__ import annotations

from datetime import date

import pytest

from service.core.leases import Leases
from service.fleet.capacity import measure
from service.inference.background.calls import EngineAccess, Resources
from service.inference.chat_load import ChatLoad
from service.inference.upstreams import Upstreams
from service.jobs.attempt.trainer_process import TrainingAttempt
from service.projects.records import Projects
from service.training.contract.spec import TrainSpec
from service.usage.meter import Meter
from tests.conftest import BASE_MODEL, Api
from tests.jobs.test_jobs import create, until, upload


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.slow
async def test_every_attempt_renders_the_date_of_the_jobs_creation(
    api: Api, http, chats, work, number
):
    file_id = await upload(http, chats(12))
    async with work("cpu"):
        made = await until(http, (await create(http, file_id))["id"], "queued")
    state = api.app.state
    job = await state.jobs.get(made["organization_id"], made["id"])
    # 2024-02-29 23:59:59 UTC
    job = job.model_copy(update={"created_at": 1709251199, "attempt": number})
    access = EngineAccess(
        projects=Projects(state.jobs.redis),
        registry=state.registry,
        upstreams=Upstreams({}),
        meter=Meter.from_settings(state.jobs.redis, api.settings),
        settings=api.settings,
    )
    attempt = TrainingAttempt(
        job,
        state.registry.catalogue.get(BASE_MODEL),
        state.jobs,
        Resources(
            state.files,
            state.registry,
            state.storage,
            Leases(state.redis, "w", lease_s=10),
            api.settings,
            access,
        ),
        machine=measure(),
        upstreams=Upstreams({}),
        chats=ChatLoad(),
    )
    attempt._dir.mkdir(parents=True)
    spec = TrainSpec.model_validate_json((await attempt._write_spec()).read_bytes())
    assert (spec.attempt, spec.template_date) == (number, date(2024, 2, 29))
