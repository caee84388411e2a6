"""Tests of models that one project shares with another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from service.app import create_app
from service.core import clock
from service.models.records import ModelRecord
from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api, running, upload

MODEL = f"ft:{BASE_MODEL}:acme:x:abc123def456"
PERMISSIONS = f"/v1/fine_tuning/checkpoints/{MODEL}/permissions"


@pytest.fixture
async def admin(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator of the project that has the model."""
    async with await api.client("acme", Role.PROJECT_ADMIN) as client:
        yield client


@pytest.fixture
async def root(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator of the installation."""
    async with await api.client("root", Role.ADMIN) as client:
        yield client


@pytest.fixture
async def acme(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the project that has the model."""
    async with await api.client("acme") as client:
        project = await api.app.state.projects.by_name("acme")
        await api.app.state.registry.register(
            ModelRecord(
                id=MODEL,
                project_id=project.id,
                created_at=clock.now_s(),
                base_model=BASE_MODEL,
                artifact=f"{project.id}/jobs/x/a1/adapter",
                digest="0" * 64,
                step=1,
            )
        )
        yield client


@pytest.fixture
async def other(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with await api.client("other") as client:
        yield client


async def project_of(api: Api, name: str) -> str:
    return str((await api.app.state.projects.by_name(name)).id)


async def chat(http: httpx.AsyncClient, model: str = MODEL) -> int:
    """The status of a chat: 404 if the model does not exist, or 503, because no engine runs."""
    messages = [{"role": "user", "content": "Hello"}]
    answer = await http.post("/v1/chat/completions", json={"model": model, "messages": messages})
    return answer.status_code


async def share(api: Api, admin: httpx.AsyncClient, name: str = "other") -> str:
    body = {"project_ids": [await project_of(api, name)]}
    answer = await admin.post(PERMISSIONS, json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"][0]["id"])


async def test_a_shared_model_can_be_used_and_nothing_else(api: Api, acme, other, admin, chats):
    async with await api.client("third") as third:
        assert await chat(other) == 404
        permission = await share(api, admin)
        assert await share(api, admin) == permission
        assert (await chat(other), await chat(acme), await chat(third)) == (503, 503, 404)
        shown = await other.get(f"/v1/models/{MODEL}")
        assert (shown.status_code, shown.json()["owned_by"]) == (200, "acme")
        assert (await third.get(f"/v1/models/{MODEL}")).status_code == 404
        assert (await other.put("/v1/aliases/support", json={"model": MODEL})).status_code == 200
        assert await chat(other, "support") == 503
        assert (await other.delete(f"/v1/models/{MODEL}")).status_code == 404
        export = {"model": MODEL, "format": "adapter"}
        assert (await other.post("/v1/model_exports", json=export)).status_code == 400
        assert (await other.get(PERMISSIONS)).status_code == 403
        file = (await upload(other, chats(12))).json()
        job = {"model": MODEL, "training_file": file["id"]}
        refused = await other.post("/v1/fine_tuning/jobs", json=job)
        assert (refused.status_code, refused.json()["error"]["param"]) == (404, "model")

    listed = (await admin.get(PERMISSIONS)).json()["data"]
    assert [one["project_id"] for one in listed] == [await project_of(api, "other")]
    assert (await admin.delete(f"{PERMISSIONS}/{permission}")).json()["deleted"]
    assert (await chat(other), await chat(other, "support"), await chat(acme)) == (404, 404, 503)
    assert (await admin.delete(f"{PERMISSIONS}/{permission}")).status_code == 404


async def test_only_the_project_that_has_a_model_shares_it(api: Api, acme, other, admin, root):
    for name in ("root", "other"):
        answer = await root.post(PERMISSIONS, json={"project_ids": [await project_of(api, name)]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_the_owner")
    async with await api.client("other", Role.PROJECT_ADMIN) as of_other:
        body = {"project_ids": [await project_of(api, "other")]}
        for request in (of_other.post(PERMISSIONS, json=body), of_other.get(PERMISSIONS)):
            answer = await request
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert await chat(root) == await chat(other) == 404
        permission = await share(api, admin)
        assert (await of_other.delete(f"{PERMISSIONS}/{permission}")).status_code == 404
    assert await chat(other) == 503
    # An administrator of the installation sees who uses what, and can end it.
    assert [one["id"] for one in (await root.get(PERMISSIONS)).json()["data"]] == [permission]
    assert (await root.delete(f"{PERMISSIONS}/{permission}")).status_code == 200
    assert await chat(other) == 404


async def listed(http: httpx.AsyncClient, **params: str | int) -> list[tuple[str, str]]:
    """The models that a client lists, without base models, with their owners."""
    answer = await http.get("/v1/models", params=params)
    assert answer.status_code == 200, answer.text
    models = answer.json()["data"]
    return [(one["id"], one["owned_by"]) for one in models if one["owned_by"] != "system"]


async def test_lists_have_the_models_that_other_projects_share(api: Api, acme, other, admin):
    checkpoint = f"{MODEL}:ckpt-step-8"
    registry = api.app.state.registry
    record = await registry.get(await project_of(api, "acme"), MODEL)
    for name, age_s in ((checkpoint, 1), (own := MODEL.replace("acme", "other"), 2)):
        project_id = await project_of(api, "other" if name == own else "acme")
        changes = {"id": name, "project_id": project_id, "created_at": record.created_at - age_s}
        await registry.register(record.model_copy(update=changes))
    assert await listed(other) == [(own, "other")]
    permission = await share(api, admin)
    body = {"project_ids": [await project_of(api, "other")]}
    await admin.post(PERMISSIONS.replace(MODEL, checkpoint), json=body)
    await other.put("/v1/aliases/support", json={"model": MODEL})

    names = [("support", "other"), (own, "other"), (MODEL, "acme"), (checkpoint, "acme")]
    assert await listed(other) == names
    assert await listed(acme) == [(MODEL, "acme")]
    page: list[tuple[str, str]] = []
    after = BASE_MODEL
    while more := await listed(other, after=after, limit=1):
        page += more
        after = more[-1][0]
    assert page == names
    assert await listed(other, after=own) == names[2:]

    assert (await admin.delete(f"{PERMISSIONS}/{permission}")).status_code == 200
    assert await listed(other) == [*names[:2], names[3]]
    assert (await other.get("/v1/models", params={"after": MODEL})).status_code == 400


async def test_a_key_limited_to_models_lists_only_those_shared_ones(api: Api, acme, admin, root):
    await api.key("other")
    path = f"/v1/organization/projects/{await project_of(api, 'other')}/api_keys"
    body = {"name": "bot", "role": "inference", "models": [MODEL]}
    key = (await root.post(path, json=body)).json()
    async with await api.client("other") as bot:
        bot.headers["authorization"] = f"Bearer {key['value']}"
        assert (await listed(bot), await chat(bot)) == ([], 404)
        await share(api, admin)
        assert (await listed(bot), await chat(bot)) == ([(MODEL, "acme")], 503)
        assert (await bot.get(f"/v1/models/{MODEL}")).json()["owned_by"] == "acme"
        await root.post(f"{path}/{key['id']}", json={"models": [BASE_MODEL]})
        assert await listed(bot) == []
        assert (await bot.get(f"/v1/models/{MODEL}")).status_code == 404


async def test_a_revoked_permission_reaches_processes_that_cache(api, acme, other, admin):
    permission = await share(api, admin)
    remembering = create_app(api.settings.model_copy(update={"lookup_cache_s": 3600}))
    async with (
        running(remembering) as url,
        httpx.AsyncClient(base_url=url, headers=other.headers, verify=False) as elsewhere,
    ):
        assert await chat(elsewhere) == 503
        await admin.delete(f"{PERMISSIONS}/{permission}")
        async with asyncio.timeout(60):
            while await chat(elsewhere) != 404:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("what", ["model", "grantee", "owner"])
async def test_permissions_end_with_the_model_and_the_projects(api, acme, other, admin, what):
    await share(api, admin)
    sharing, redis = api.app.state.registry.sharing, api.app.state.redis
    if what == "model":
        assert (await acme.delete(f"/v1/models/{MODEL}")).status_code == 200
    else:
        await sharing.revoke_all(await project_of(api, "other" if what == "grantee" else "acme"))
    assert await redis.keys("finetuned:*:shared-models") == []
    assert await redis.keys("finetuned:*:model-permissions*") == []
    assert await chat(other) == 404


async def test_wrong_projects_and_models_are_named(api: Api, acme, admin):
    own = {"project_ids": [await project_of(api, "acme")]}
    for body, param in (
        (own, "project_ids.0"),
        ({"project_ids": ["proj_unknown"]}, "project_ids.0"),
        ({"project_ids": []}, "project_ids"),
    ):
        answer = await admin.post(PERMISSIONS, json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    unknown = PERMISSIONS.replace("abc123def456", "zzz999zzz999")
    for request in (admin.post(unknown, json=own), admin.get(unknown)):
        answer = await request
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
