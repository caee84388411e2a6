"""An engine that answers with the tuned tiny model, and that model registered in project acme."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from service.config import Settings
from service.core import clock, ids
from service.exports.records import KEPT_S, ExportRecord, ExportStatus
from service.models.records import ModelRecord
from tests.conftest import BASE_MODEL, Api
from tests.evals.conftest import ENGINE_KEY, Engine, engine

__all__ = ["engine"]

EXPORTS = "/v1/model_exports"
MODEL = f"ft:{BASE_MODEL}:acme:helper:abc123def456"
DONE_S = 120


@pytest.fixture
def settings(settings: Settings, engine: Engine) -> Settings:
    """The engine serves the base model."""
    update = {"upstreams": {BASE_MODEL: engine.url}, "upstream_api_key": SecretStr(ENGINE_KEY)}
    return settings.model_copy(update=update)


async def register(api: Api, artifact: str = "adapters/none", digest: str = "0" * 64) -> str:
    """Register the tuned model in project acme, and return the project's ID."""
    projects = api.app.state.projects
    project = await projects.by_name("acme") or await projects.create("acme")
    record = ModelRecord(
        id=MODEL,
        project_id=project.id,
        created_at=clock.now_s(),
        base_model=BASE_MODEL,
        job_id=ids.new(ids.JOB),
        artifact=artifact,
        digest=digest,
        step=1,
    )
    await api.app.state.registry.register(record)
    return str(project.id)


async def made(http: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """A new export."""
    answer = await http.post(EXPORTS, json={"model": MODEL, "format": "adapter", **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def until(http: httpx.AsyncClient, export: dict[str, Any], *statuses: str) -> dict[str, Any]:
    """The export once it has one of the statuses."""
    async with asyncio.timeout(DONE_S):
        while True:
            found = (await http.get(f"{EXPORTS}/{export['id']}")).json()
            if found["status"] in statuses:
                return found
            await asyncio.sleep(0.05)


async def succeeded(api: Api, content: bytes, **fields: Any) -> ExportRecord:
    """An export of project acme with this archive."""
    project = await api.app.state.projects.by_name("acme")
    export_id, now_s = ids.new(ids.EXPORT), clock.now_s()
    record = ExportRecord(
        id=export_id,
        project_id=project.id,
        created_at=now_s,
        expires_at=now_s + KEPT_S,
        model=MODEL,
        base_model=BASE_MODEL,
        job_id=ids.new(ids.JOB),
        artifact="adapters/none",
        digest="0" * 64,
        key_id="key_a",
        format="adapter",
    ).model_copy(
        update={
            "status": ExportStatus.SUCCEEDED,
            "key": f"{project.id}/exports/{export_id}/a1.tar",
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            **fields,
        }
    )
    await api.app.state.exports.records.create(record)
    if record.key is not None:
        await api.app.state.storage.put_bytes(record.key, content)
    return record
