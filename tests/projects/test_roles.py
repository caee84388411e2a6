"""Tests of what keys with roles see and may do, through the API."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from service.projects.records import Projects, Role, digest_of
from service.web.permissions import PERMISSIONS
from tests.conftest import BASE_MODEL, Api

SENT_ON = (503, "model_not_served")
CHAT = {"messages": [{"role": "user", "content": "hi"}]}


async def keys_path(api: Api, project: str = "acme") -> str:
    """The path of a project's keys."""
    store: Projects = api.app.state.projects
    found = await store.by_name(project) or await store.create(project)
    return f"/v1/organization/projects/{found.id}/api_keys"


def bearer(made: dict[str, Any]) -> dict[str, str]:
    """The headers of a new key."""
    return {"authorization": f"Bearer {made['value']}"}


async def chats_with(http: httpx.AsyncClient, model: str, **options: Any) -> tuple[int, str]:
    """The status and the error's code of a chat. No engine runs: 503 means that it was sent on."""
    answer = await http.post("/v1/chat/completions", json={"model": model, **CHAT}, **options)
    return answer.status_code, answer.json()["error"]["code"]


async def test_the_key_of_a_chatbot_can_chat_and_nothing_else(api: Api):
    path = await keys_path(api)
    async with await api.client("acme", Role.PROJECT_ADMIN) as admin:
        made = (await admin.post(path, json={"name": "bot", "role": "inference"})).json()
        async with httpx.AsyncClient(base_url=api.base_url, headers=bearer(made)) as bot:
            models = (await bot.get("/v1/models")).json()["data"]
            assert [model["id"] for model in models] == [BASE_MODEL]
            assert await chats_with(bot, BASE_MODEL) == SENT_ON
            shown = (await bot.get("/v1/whoami")).json()["api_key"]
            assert (shown["role"], shown["models"]) == ("inference", None)
            refused = await bot.post("/v1/files")
    assert refused.status_code == 403
    assert refused.json()["error"] == {
        "message": "You have insufficient permissions for this operation. Missing scopes: "
        "files.write. The API key has the role 'inference'; use a key with the role 'admin', "
        "'project_admin', 'member' or 'trainer'.",
        "type": "permission_error",
        "param": None,
        "code": "insufficient_permissions",
    }


async def test_only_named_models_exist_for_a_limited_key(api: Api):
    path = await keys_path(api)
    async with await api.client("acme", Role.PROJECT_ADMIN) as admin:
        body = {"name": "bot", "role": "inference", "models": ["support", "gone"]}
        made = (await admin.post(path, json=body)).json()
        assert made["models"] == ["support", "gone"]
        bot = bearer(made)
        assert (await admin.get("/v1/models", headers=bot)).json()["data"] == []
        unknown = await chats_with(admin, "support", headers=bot)
        assert unknown == (404, "model_not_found")
        await admin.put("/v1/aliases/support", json={"model": BASE_MODEL})
        # The alias is allowed, and leads to its target; the target's own name is not.
        assert await chats_with(admin, "support", headers=bot) == SENT_ON
        for name in (BASE_MODEL, "never-was"):
            answer = await admin.post(
                "/v1/chat/completions", json={"model": name, **CHAT}, headers=bot
            )
            assert answer.status_code == 404
            assert answer.json()["error"]["message"] == (
                f"The model '{name}' does not exist or you do not have access to it."
            )
            assert (await admin.get(f"/v1/models/{name}", headers=bot)).status_code == 404
        listed = (await admin.get("/v1/models", headers=bot)).json()
        assert [model["id"] for model in listed["data"]] == ["support"]
        assert (await admin.get("/v1/models/support", headers=bot)).status_code == 200
        everything = {"models": None}
        await admin.post(f"{path}/{made['id']}", json=everything)
        assert await chats_with(admin, BASE_MODEL, headers=bot) == SENT_ON


async def test_named_models_are_listed_in_order_and_paged(api: Api):
    path = await keys_path(api)
    async with await api.client("acme", Role.PROJECT_ADMIN) as admin:
        for name in ("a", "b", "c"):
            await admin.put(f"/v1/aliases/{name}", json={"model": BASE_MODEL})
        names = ["c", BASE_MODEL, "a"]
        body = {"name": "bot", "role": "inference", "models": names}
        bot = bearer((await admin.post(path, json=body)).json())
        page = (await admin.get("/v1/models?limit=2", headers=bot)).json()
        assert [model["id"] for model in page["data"]] == [BASE_MODEL, "a"]
        assert page["has_more"] is True
        page = (await admin.get("/v1/models?after=a", headers=bot)).json()
        assert [model["id"] for model in page["data"]] == ["c"]
        assert page["has_more"] is False
        # Another alias of the project is no place in this key's list.
        answer = await admin.get("/v1/models?after=b", headers=bot)
        assert answer.status_code == 400


@pytest.mark.parametrize("body", [{"role": "member", "models": ["a"]}, {"models": ["a"]}])
async def test_only_inference_keys_are_limited_to_models(api: Api, body):
    path = await keys_path(api)
    async with await api.client("acme", Role.ADMIN) as admin:
        answer = await admin.post(path, json={"name": "x", **body})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "models")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role", "superuser"),
        ("models", []),
        ("models", [""]),
        ("models", ["m"] * 101),
        ("models", "m"),
        ("name", ""),
        ("scopes", []),
    ],
)
async def test_wrong_fields_of_keys_are_400(api: Api, field, value):
    path = await keys_path(api)
    async with await api.client("acme", Role.ADMIN) as admin:
        answer = await admin.post(path, json={"name": "x", "role": "inference", field: value})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"].startswith(field)


async def test_no_key_gives_more_rights_than_it_has(api: Api):
    """Neither by creating a key, nor by changing one; nor does it revoke a more powerful one."""
    path = await keys_path(api)
    store: Projects = api.app.state.projects
    project = await store.by_name("acme")
    assert project is not None
    root, _ = await store.create_key(project, "root", Role.ADMIN)
    async with await api.client("acme", Role.PROJECT_ADMIN) as admin:
        for role in Role:
            answer = await admin.post(path, json={"name": "x", "role": role})
            covered = PERMISSIONS[role] <= PERMISSIONS[Role.PROJECT_ADMIN]
            assert covered is (role not in (Role.ADMIN, Role.AUDITOR))
            assert answer.status_code == (200 if covered else 403), role
        own = answer if answer.status_code == 200 else await admin.post(path, json={"name": "y"})
        for refused in (
            await admin.post(f"{path}/{own.json()['id']}", json={"role": "admin"}),
            await admin.post(f"{path}/{root.id}", json={"role": "inference"}),
            await admin.post(f"{path}/{root.id}", json={"limits": {"requests_per_minute": 1}}),
            await admin.delete(f"{path}/{root.id}"),
        ):
            assert refused.status_code == 403
            assert refused.json()["error"]["code"] == "insufficient_permissions"
    assert await store.keys.get(project.id, root.id) == root


async def test_a_project_admin_manages_the_keys_of_its_project_only(api: Api):
    own, foreign = await keys_path(api), await keys_path(api, "other")
    async with await api.client("acme", Role.PROJECT_ADMIN) as admin:
        made = (await admin.post(own, json={"name": "x"})).json()
        assert (await admin.delete(f"{own}/{made['id']}")).status_code == 200
        project = own.removesuffix("/api_keys")
        assert (await admin.get(project)).json()["name"] == "acme"
        unknown = await admin.get("/v1/organization/projects/proj_" + "z" * 24)
        for answer in (
            await admin.get(foreign.removesuffix("/api_keys")),
            await admin.get(foreign),
            await admin.post(foreign, json={"name": "x"}),
            await admin.post(f"{foreign}/{made['id']}", json={"name": "x"}),
            await admin.delete(f"{foreign}/{made['id']}"),
        ):
            assert answer.status_code == unknown.status_code == 404
            assert answer.json()["error"]["param"] == "project_id"


async def test_an_auditor_reads_the_keys_and_usage_of_all_projects(api: Api):
    foreign = await keys_path(api, "other")
    await api.key("other")
    async with await api.client("acme", Role.AUDITOR) as auditor:
        [key] = (await auditor.get(foreign)).json()["data"]
        assert key["role"] == "member"
        projects = (await auditor.get("/v1/organization/projects")).json()["data"]
        assert {project["name"] for project in projects} == {"acme", "other"}
        usage = await auditor.get(
            "/v1/organization/usage/completions",
            params={"start_time": 0, "project_ids": foreign.split("/")[4]},
        )
        assert usage.status_code == 200


async def test_a_new_role_applies_to_the_next_request(api: Api):
    path = await keys_path(api)
    async with await api.client("acme", Role.ADMIN) as admin:
        made = (await admin.post(path, json={"name": "x", "role": "reader"})).json()
        refused = await admin.post("/v1/files", headers=bearer(made))
        assert refused.status_code == 403
        changed = await admin.post(f"{path}/{made['id']}", json={"role": "trainer", "name": "y"})
        assert (changed.json()["role"], changed.json()["name"]) == ("trainer", "y")
        assert (await admin.post("/v1/files", headers=bearer(made))).status_code == 415
        wrong = await admin.post(f"{path}/{made['id']}", json={"models": ["a"]})
        assert wrong.json()["error"]["param"] == "models"


async def test_earlier_versions_do_not_find_keys_with_new_roles(api: Api):
    """They look only at the first name, and would take the key for that of a member or fail."""
    path, redis = await keys_path(api), api.app.state.redis
    async with await api.client("acme", Role.ADMIN) as admin:
        made = (await admin.post(path, json={"name": "x"})).json()
        one = f"{path}/{made['id']}"
        old = f"finetuned:key-digests:{digest_of(made['value'])}"
        new = f"finetuned:restricted-key-digests:{digest_of(made['value'])}"
        assert [await redis.exists(old), await redis.exists(new)] == [1, 0]
        await admin.post(one, json={"role": "inference"})
        assert [await redis.exists(old), await redis.exists(new)] == [0, 1]
        assert (await admin.get("/v1/models", headers=bearer(made))).status_code == 200
        await admin.post(one, json={"role": "member"})
        assert [await redis.exists(old), await redis.exists(new)] == [1, 0]
        await admin.post(one, json={"role": "inference"})
        await admin.delete(one)
        assert [await redis.exists(old), await redis.exists(new)] == [0, 0]
        assert (await admin.get("/v1/models", headers=bearer(made))).status_code == 401


async def test_a_role_of_a_newer_version_is_not_taken_for_another(api: Api):
    store: Projects = api.app.state.projects
    secret = await api.key("acme", Role.INFERENCE)
    found = await store.find_key(digest_of(secret))
    assert found is not None
    at = store.keys.key(found[0].project_id, found[0].id)
    record = (await store.redis.get(at)).replace(b'"inference"', b'"of_a_newer_version"')
    await store.redis.set(at, record)
    headers = {"authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(base_url=api.base_url, headers=headers) as http:
        for path in ("/v1/models", "/v1/files", "/v1/organization/projects"):
            assert (await http.get(path)).status_code == 500
        assert (await chats_with(http, BASE_MODEL))[0] == 500
