"""Tests of access: keys, roles and revocation."""

from __future__ import annotations

import pytest

from service.projects.records import Role
from tests.conftest import Api


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer sk-ft-wrong", "Basic abc", "Bearer " + "x" * 5000]
)
async def test_wrong_or_missing_key_is_401(api: Api, header):
    import httpx

    headers = {} if header is None else {"authorization": header}
    async with httpx.AsyncClient(base_url=api.base_url, headers=headers) as client:
        for path in (
            "/v1/files",
            "/v1/models",
            "/v1/fine_tuning/jobs",
            "/v1/organization/projects",
        ):
            answer = await client.get(path)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "authentication_error"
            assert answer.headers["x-request-id"].startswith("req_")
        chat = await client.post("/v1/chat/completions", json={"model": "x"})
        assert chat.status_code == 401
        upload = await client.post("/v1/files", files={"file": ("f", b"x")})
        assert upload.status_code == 401


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
