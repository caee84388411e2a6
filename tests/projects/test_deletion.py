"""Tests that archived projects are refused, and that of deleted ones nothing is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from service.core import outbox
from service.core.redis import Client, reply, text
from service.projects.records import INSTALLATION, Projects, Role
from service.usage import keys as usage_keys
from tests.conftest import Api
from tests.projects.test_isolation import owned

__all__ = ["owned"]  # a fixture

PROJECTS = "/v1/organization/projects"


@pytest.fixture
async def admin(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with await api.client("root", Role.ADMIN) as client:
        yield client


async def id_of(api: Api, name: str) -> str:
    project = await api.app.state.projects.by_name(name)
    return str(project.id)


async def test_an_archived_project_is_refused_and_keeps_its_data(api: Api, http, admin):
    path = f"{PROJECTS}/{await id_of(api, 'acme')}"
    assert (await http.get("/v1/files")).status_code == 200
    archived = (await admin.post(f"{path}/archive")).json()
    assert archived["status"] == "archived"
    assert archived["archived_at"] >= archived["created_at"]
    for request in (http.get("/v1/files"), http.post("/v1/chat/completions", json={"model": "x"})):
        answer = await request
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (401, "project_archived")
        assert "'acme'" in error["message"]
    assert (await admin.post(f"{path}/archive")).json() == archived
    refused = await admin.post(f"{path}/api_keys", json={"name": "new"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "invalid_state")
    listed = [one["name"] for one in (await admin.get(PROJECTS)).json()["data"]]
    assert listed == ["root"]
    every = await admin.get(PROJECTS, params={"include_archived": True})
    assert {one["name"] for one in every.json()["data"]} == {"root", "acme"}


@pytest.mark.parametrize("method", ["archive", "delete"])
async def test_a_key_cannot_archive_or_delete_its_own_project(api: Api, admin, method):
    path = f"{PROJECTS}/{await id_of(api, 'root')}"
    request = admin.post(f"{path}/archive") if method == "archive" else admin.delete(path)
    answer = await request
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "own_project")
    assert (await admin.get(path)).json()["status"] == "active"


@pytest.mark.slow
async def test_nothing_of_a_deleted_project_is_left(api: Api, admin, owned, reconciler):
    redis: Client = api.app.state.redis
    async with await api.client("other") as other:
        answer = await other.post(
            "/v1/files", files={"file": ("f", b"x")}, data={"purpose": "user_data"}
        )
        kept = answer.json()
    project_id, secret = await id_of(api, "acme"), await api.key("acme")
    await reply(redis.hset(usage_keys.usage(project_id, "1h", 3600), "key_1 m", "1 0 0"))
    path = f"{PROJECTS}/{project_id}"

    assert (await admin.delete(path)).json()["status"] == "deleting"
    refused = await admin.get("/v1/files", headers={"authorization": f"Bearer {secret}"})
    assert refused.status_code == 401
    await reconciler.once()
    shown = (await admin.get(path)).json()
    assert (shown["status"], shown["objects_left"]) == ("deleting", 0)
    await let_it_be_quiet(api.app.state.projects, project_id)
    for _ in range(4):
        await reconciler.once()
        await outbox.process(redis, [])
    assert (await admin.get(path)).status_code == 404
    kept_keys = {"finetuned:audit", usage_keys.usage(project_id, "1h", 3600)}
    assert await found_in(redis, project_id) == kept_keys
    for kind, name in owned.items():
        if name.partition("-")[0] in ("file", "ftjob", "export") or "_" in name:
            assert await found_in(redis, name) <= {"finetuned:audit"}, kind
    folder = api.app.state.storage.folder
    assert not [path for path in folder.rglob("*") if project_id in str(path)]

    again = await admin.post(PROJECTS, json={"name": "acme"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "name_taken")
    async with await api.client("other") as other:
        content = await other.get(f"/v1/files/{kept['id']}/content")
        assert (content.status_code, content.content) == (200, b"x")


async def let_it_be_quiet(projects: Projects, project_id: str) -> None:
    """Have the deletion begin longer ago than anything may work for the project."""
    await projects.projects.update(
        INSTALLATION, project_id, lambda p: p.model_copy(update={"deleting_since": 1})
    )


async def found_in(redis: Client, name: str) -> set[str]:
    """The keys of Redis that have this name in them, or in what they hold."""
    found = set()
    async for key in redis.scan_iter("*"):
        if name in text(key) or name in await content_of(redis, text(key)):
            found.add(text(key))
    return found


async def content_of(redis: Client, key: str) -> str:
    kind = text(await redis.type(key))
    read: Any = {
        "string": lambda: redis.get(key),
        "hash": lambda: redis.hgetall(key),
        "set": lambda: redis.smembers(key),
        "zset": lambda: redis.zrange(key, 0, -1),
        "list": lambda: redis.lrange(key, 0, -1),
        "stream": lambda: redis.xrange(key),
    }[kind]
    return repr(await read())
