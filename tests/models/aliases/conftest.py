"""Adapters in the registry, and two replicas of the api on one Redis."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.config import Settings
from service.core import clock
from service.models.records import ModelRecord, write_figures
from service.models.registry import ModelRegistry
from tests.conftest import BASE_MODEL, Api, running

NewModel = Callable[..., Awaitable[str]]


async def register(api: Api, project: str = "acme", name: str | None = None, **fields: Any) -> str:
    """Register a trained model of a project, and return its name."""
    projects = api.app.state.projects
    owner = await projects.by_name(project) or await projects.create(project)
    name = name or f"ft:{BASE_MODEL}:{project}:x:{secrets.token_hex(6)}"
    registry: ModelRegistry = api.app.state.registry
    await registry.register(
        ModelRecord(
            id=name,
            project_id=owner.id,
            created_at=clock.now_s(),
            base_model=BASE_MODEL,
            job_id="ftjob-1",
            artifact=f"{owner.id}/jobs/ftjob-1/a1/adapter",
            digest="0" * 64,
            step=1,
            **fields,
        )
    )
    return name


@pytest.fixture
def new_model(api: Api) -> NewModel:
    """Register a trained model, by default of project acme."""

    async def make(project: str = "acme", name: str | None = None, **fields: Any) -> str:
        return await register(api, project, name, **fields)

    return make


async def evaluate(api: Api, model: str, project: str = "acme", **measured: float | str) -> None:
    """Write the figures of a model's completed evaluation."""
    owner = await api.app.state.projects.by_name(project)
    async with api.app.state.redis.pipeline(transaction=True) as pipe:
        write_figures(pipe, owner.id, model, measured)
        await pipe.execute()


@pytest.fixture
async def project_id(api: Api, http: httpx.AsyncClient) -> str:
    """The id of project acme."""
    return (await api.app.state.projects.by_name("acme")).id


@pytest.fixture
async def replicas(settings: Settings, api: Api) -> AsyncIterator[tuple[Api, Api]]:
    """Two more api processes, as far as Redis can tell, that cache for half a minute."""
    slow = settings.model_copy(update={"lookup_cache_s": 30.0})
    one, two = create_app(slow), create_app(slow)
    async with running(one) as url_one, running(two) as url_two:
        yield Api(one, url_one, slow), Api(two, url_two, slow)
