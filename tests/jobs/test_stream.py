"""Tests that an event stream ends when its key is revoked."""

from __future__ import annotations

import asyncio
import json

import pytest

from service.projects.records import INSTALLATION, digest_of
from tests.conftest import BASE_MODEL, Api

JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
async def job_id(http, chats) -> str:
    file = await http.post("/v1/files", files={"file": chats(12)}, data={"purpose": "fine-tune"})
    body = {"model": BASE_MODEL, "training_file": file.json()["id"]}
    return (await http.post(JOBS, json=body)).json()["id"]


async def listen(http, job_id: str, seen: asyncio.Event) -> list[str]:
    """Return the data of all events until the stream ends."""
    data: list[str] = []
    params = {"stream": "true"}
    async with http.stream("GET", f"{JOBS}/{job_id}/events", params=params, timeout=60) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                data.append(line.removeprefix("data: "))
                seen.set()
    return data


@pytest.mark.parametrize("what", ["key", "project"])
async def test_a_stream_ends_with_an_error_once_its_key_or_project_is_gone(
    api: Api, http, job_id, what
):
    seen, others_seen = asyncio.Event(), asyncio.Event()
    async with await api.client() as other:
        listening = asyncio.create_task(listen(http, job_id, seen))
        others = asyncio.create_task(listen(other, job_id, others_seen))
        await asyncio.wait_for(seen.wait(), 60)
        await asyncio.wait_for(others_seen.wait(), 60)
        projects = api.app.state.projects
        project = await projects.by_name("acme")
        if what == "project":
            await projects.projects.delete(INSTALLATION, project.id)
        else:
            secret = http.headers["authorization"].removeprefix("Bearer ")
            key, _ = await projects.find_key(digest_of(secret))
            await projects.revoke_key(project.id, key.id)
        last = json.loads((await asyncio.wait_for(listening, 60))[-1])
        assert last["error"]["code"] == "invalid_api_key"
        if what == "project":
            assert "error" in json.loads((await asyncio.wait_for(others, 60))[-1])
        else:
            assert not others.done()
            await other.post(f"{JOBS}/{job_id}/cancel")
            assert (await asyncio.wait_for(others, 60))[-1] == "[DONE]"
