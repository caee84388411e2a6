"""An engine that answers with the tuned tiny model, and that model registered in project acme."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from service.config import Settings
from service.core import clock, ids
from service.core.storage import Storage
from service.exports.records import KEPT_S, ExportRecord, ExportStatus
from service.models.records import ModelRecord
from tests.conftest import BASE_MODEL, Api
from tests.exporting.conftest import Answering, make_adapter
from tests.http_server import http_server

EXPORTS = "/v1/model_exports"
MODEL = f"ft:{BASE_MODEL}:acme:helper:abc123def456"
DONE_S = 120


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Engine:
    """An HTTP server instead of vLLM. Requests wait until `go` is set."""

    url: str = ""
    model: Answering | None = None
    seen: list[dict[str, Any]] = field(default_factory=list)
    waiting: int = 0
    go: asyncio.Event = field(default_factory=_set_event)

    async def handle(self, request: web.Request) -> web.Response:
        if request.path == "/health":
            return web.Response()
        body = await request.json()
        self.waiting += 1
        try:
            await self.go.wait()
        finally:
            self.waiting -= 1
        self.seen.append(body)
        assert self.model is not None
        found = self.model.reference(body["messages"][-1]["content"])
        scores = [{"logprob": score} for score in found.logprobs]
        choice = {
            "message": {"role": "assistant", "content": found.answer},
            "token_ids": list(found.tokens),
            "logprobs": {"content": scores},
        }
        shown = {"choices": [choice], "prompt_token_ids": list(found.prompt_tokens), "usage": {}}
        return web.json_response(shown)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """An engine that answers at once."""
    made = Engine()
    async with http_server(made.handle, handler_cancellation=True) as made.url:
        yield made
        made.go.set()


@pytest.fixture
def settings(settings: Settings, engine: Engine) -> Settings:
    """The engine serves the base model."""
    return settings.model_copy(update={"upstreams": {BASE_MODEL: engine.url}})


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


async def train(api: Api, engine: Engine, base: Path, folder: Path) -> str:
    """Store an adapter of the tiny model and register it, and have the engine serve it."""
    adapter = folder / "adapter"
    make_adapter(base, adapter, strength=0.3)
    shutil.rmtree(folder / "base")
    (folder / "base").symlink_to(base)
    storage: Storage = api.app.state.storage
    manifest = await storage.put_folder("adapters/one", adapter)
    engine.model = Answering(base, adapter)
    return await register(api, "adapters/one", manifest.digest)


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
