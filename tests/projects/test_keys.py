"""Tests of keys: roles, revocation, whoami, and administration with OpenAI's SDK."""

from __future__ import annotations

import httpx
import openai
import pytest

from service.config.limits import Limits, ProjectLimits
from service.projects.records import Role
from tests.conftest import Api


async def test_a_malformed_or_unknown_key_is_401(api: Api):
    """On all routes: tests/projects/test_access.py."""
    for header in (None, "", "Bearer", "Bearer sk-ft-wrong", "Basic abc", "Bearer " + "x" * 5000):
        headers = {} if header is None else {"authorization": header}
        async with httpx.AsyncClient(base_url=api.base_url, headers=headers) as http:
            for request in (http.get("/v1/files"), http.post("/v1/chat/completions", json={})):
                answer = await request
                assert answer.status_code == 401, header
                assert answer.json()["error"]["type"] == "authentication_error"
                assert answer.headers["x-request-id"].startswith("req_")


async def test_admin_makes_projects_and_keys(api: Api):
    async with await api.client("root", Role.ADMIN) as admin:
        project = (await admin.post("/v1/organization/projects", json={"name": "clinic"})).json()
        key = await admin.post(
            f"/v1/organization/projects/{project['id']}/api_keys", json={"name": "backend"}
        )
        secret = key.json()["value"]
        listed = (await admin.get(f"/v1/organization/projects/{project['id']}/api_keys")).json()
        assert secret not in str(listed)
        assert listed["data"][0]["redacted_value"].endswith(secret[-4:])
        member = {"authorization": f"Bearer {secret}"}
        assert (await admin.get("/v1/files", headers=member)).status_code == 200
        assert (await admin.get("/v1/organization/projects", headers=member)).status_code == 403
        key_id = key.json()["id"]
        gone = await admin.delete(f"/v1/organization/projects/{project['id']}/api_keys/{key_id}")
        assert gone.json()["deleted"] is True
        assert (await admin.get("/v1/files", headers=member)).status_code == 401


async def test_project_names_are_checked_and_never_reused(api: Api):
    async with await api.client("root", Role.ADMIN) as admin:
        for name in ("Bad Name", "-x", "a" * 41, "a:b", ""):
            answer = await admin.post("/v1/organization/projects", json={"name": name})
            assert answer.status_code == 400
            assert answer.json()["error"]["param"] == "name"
        taken = await admin.post("/v1/organization/projects", json={"name": "root"})
        assert taken.status_code == 409
        assert taken.headers["x-should-retry"] == "false"


async def test_secrets_are_not_stored(api: Api):
    """Redis contains only the digest of a key."""
    secret = await api.key("acme")
    redis = api.app.state.redis
    dump = [await redis.get(k) for k in await redis.keys("*") if await redis.type(k) == b"string"]
    assert dump
    assert not any(secret.encode() in value for value in dump)


async def test_the_sdk_reads_changes_and_revokes_keys(api: Api):
    async with (
        await api.client("acme", Role.ADMIN) as http,
        openai.AsyncOpenAI(
            api_key="unused",
            admin_api_key=http.headers["authorization"].removeprefix("Bearer "),
            base_url=f"{api.base_url}/v1",
        ) as sdk,
    ):
        projects = sdk.admin.organization.projects
        project = await projects.create(name="clinic")
        path = f"/v1/organization/projects/{project.id}/api_keys"
        body = {"name": "bot", "role": "inference", "expires_in_seconds": 3600}
        made = (await http.post(path, json=body)).json()
        [key] = [key async for key in projects.api_keys.list(project.id)]
        assert (key.id, key.name) == (made["id"], "bot")
        assert (key.expires_at, key.last_used_at) == (made["expires_at"], None)
        found = await projects.api_keys.retrieve(key.id, project_id=project.id)
        assert found.redacted_value == made["redacted_value"]
        gone = await projects.api_keys.delete(key.id, project_id=project.id)
        assert gone.deleted is True
        with pytest.raises(openai.NotFoundError):
            await projects.api_keys.retrieve(key.id, project_id=project.id)
        assert [one.name async for one in projects.list()] == ["clinic", "acme"]


async def test_the_sdk_raises_the_error_of_each_status(api: Api):
    key = await api.key("acme", Role.INFERENCE)
    async with openai.AsyncOpenAI(api_key=key, base_url=f"{api.base_url}/v1") as sdk:
        with pytest.raises(openai.PermissionDeniedError) as refused:
            await sdk.files.list()
        assert refused.value.code == "insufficient_permissions"
        with pytest.raises(openai.NotFoundError):
            await sdk.models.retrieve("gpt-4o")


PATH = "/v1/whoami"


def client(api: Api, secret: str) -> httpx.AsyncClient:
    """Return a client with this key."""
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.AsyncClient(base_url=api.base_url, headers=headers, timeout=60, verify=False)


async def test_whoami_describes_the_key_and_its_project(api: Api):
    project = await api.app.state.projects.create("clinic", ProjectLimits(tokens_per_minute=9000))
    key, secret = await api.app.state.projects.create_key(
        project, "backend", Role.MEMBER, Limits(requests_per_minute=60)
    )
    async with client(api, secret) as backend:
        answer = await backend.get(PATH)
    found = answer.json()
    assert (found["api_key"]["id"], found["api_key"]["name"]) == (key.id, "backend")
    assert (found["api_key"]["role"], found["project"]["id"]) == ("member", project.id)
    assert found["api_key_limits"]["requests_per_minute"] == {"limit": 60, "used": 0}
    assert found["api_key_limits"]["tokens_per_minute"] == {"limit": None, "used": 0}
    assert found["project_limits"]["tokens_per_minute"] == {"limit": 9000, "used": 0}
    default = api.app.state.settings.default_project_limits
    assert found["project_limits"]["concurrent_requests"]["limit"] == default.concurrent_requests
    assert found["min_training_rows"] == api.app.state.settings.min_examples
    assert secret not in answer.text


async def test_whoami_rejects_a_revoked_key(api: Api):
    project = await api.app.state.projects.create("clinic")
    key, secret = await api.app.state.projects.create_key(project, "backend", Role.MEMBER)
    async with client(api, secret) as backend:
        assert (await backend.get(PATH)).status_code == 200
        await api.app.state.projects.revoke_key(project.id, key.id)
        assert (await backend.get(PATH)).status_code == 401
    async with client(api, "sk-ft-unknown") as nobody:
        assert (await nobody.get(PATH)).status_code == 401
