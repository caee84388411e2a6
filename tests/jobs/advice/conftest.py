"""A scripted engine that serves the base model, and files of project acme."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from service.config import Settings
from tests.conftest import BASE_MODEL, checked, upload
from tests.jobs.evaluation.conftest import ScriptedEngine, engine

__all__ = ["engine"]
ADVICE = "/v1/advice"


@pytest.fixture
def settings(settings: Settings, engine: ScriptedEngine) -> Settings:
    """The engine serves the base model."""
    return settings.model_copy(update={"upstreams": {BASE_MODEL: engine.url}})


@pytest.fixture
def file_of(http: httpx.AsyncClient, work: Any) -> Callable[[bytes], Awaitable[str]]:
    """Uploads a training file, and waits for its check."""

    async def make(data: bytes) -> str:
        async with work("cpu"):
            return (await checked(http, (await upload(http, data)).json()["id"]))["id"]

    return make


async def ask(http: httpx.AsyncClient, file_id: str) -> dict[str, Any]:
    """A new advice."""
    answer = await http.post(ADVICE, json={"training_file_id": file_id, "model": BASE_MODEL})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ended(http: httpx.AsyncClient, advice: dict[str, Any]) -> dict[str, Any]:
    """The advice once it has ended."""
    async with asyncio.timeout(120):
        while True:
            found = (await http.get(f"{ADVICE}/{advice['id']}")).json()
            if found["finished_at"] is not None:
                return found
            await asyncio.sleep(0.05)


async def advised(http: httpx.AsyncClient, work: Any, file_id: str) -> dict[str, Any]:
    """A new advice, after a worker has worked it out."""
    advice = await ask(http, file_id)
    assert (advice["status"], advice["result"]) == ("queued", None)
    async with work("cpu"):
        return await ended(http, advice)


async def result_of(http: httpx.AsyncClient, work: Any, file_id: str) -> dict[str, Any]:
    """The result of a new advice, which a worker has completed."""
    found = await advised(http, work, file_id)
    assert (found["status"], found["error"]) == ("completed", None), found
    assert found["created_at"] <= found["started_at"] <= found["finished_at"]
    return found["result"]
