"""Tests of service accounts, which own keys, and of admin keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from service.projects.records import Role
from tests.conftest import Api

PROJECTS, ADMIN_KEYS = "/v1/organization/projects", "/v1/organization/admin_api_keys"


@pytest.fixture
async def admin(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with await api.client("root", Role.ADMIN) as client:
        yield client


@pytest.fixture
async def accounts(api: Api) -> str:
    """The path of the service accounts of the project acme."""
    project = await api.app.state.projects.create("acme")
    return f"{PROJECTS}/{project.id}/service_accounts"


async def status_of(http: httpx.AsyncClient, secret: str, path: str = "/v1/files") -> int:
    answer = await http.get(path, headers={"authorization": f"Bearer {secret}"})
    return answer.status_code


def refusal(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_an_account_owns_keys_that_follow_its_role_and_end_with_it(admin, accounts):
    made = (await admin.post(accounts, json={"name": "nightly", "expires_in_seconds": 60})).json()
    assert (made["role"], made["api_key"]["expires_at"]) == (
        "member",
        made["api_key"]["created_at"] + 60,
    )
    path = f"{accounts}/{made['id']}"
    second = (await admin.post(f"{path}/api_keys", json={"name": "second"})).json()
    secrets = [made["api_key"]["value"], second["value"]]
    keys = accounts.replace("service_accounts", "api_keys")
    assert [await status_of(admin, secret) for secret in secrets] == [200, 200]
    assert [await status_of(admin, secret, keys) for secret in secrets] == [403, 403]
    for key in (await admin.get(keys)).json()["data"]:
        assert key["owner"]["service_account"]["id"] == made["id"]

    assert (await admin.post(path, json={"role": "owner"})).json()["role"] == "owner"
    assert [await status_of(admin, secret, keys) for secret in secrets] == [200, 200]
    other = (await admin.post(keys, json={"name": "other"})).json()["value"]
    assert (await admin.delete(path)).json()["deleted"]
    assert [await status_of(admin, secret) for secret in [*secrets, other]] == [401, 401, 200]
    assert (await admin.get(path)).status_code == 404
    assert (await admin.get(accounts)).json()["data"] == []


async def test_an_account_without_a_role_has_no_keys(admin, accounts):
    alone = {"name": "later", "create_service_account_only": True}
    made = (await admin.post(accounts, json=alone)).json()
    assert (made["role"], made["api_key"]) == ("none", None)
    path = f"{accounts}/{made['id']}"
    assert refusal(await admin.post(f"{path}/api_keys")) == (409, "invalid_state")
    assert (await admin.post(path, json={"role": "member"})).status_code == 200
    assert await status_of(admin, (await admin.post(f"{path}/api_keys")).json()["value"]) == 200


async def test_an_owner_of_a_project_sees_its_accounts_only(api: Api, admin, accounts):
    theirs = (await admin.post(accounts, json={"name": "nightly"})).json()
    async with await api.client("other", Role.PROJECT_ADMIN) as other:
        project = await api.app.state.projects.by_name("other")
        own = f"{PROJECTS}/{project.id}/service_accounts"
        assert (await other.post(own, json={"name": "mine"})).status_code == 200
        for path in (accounts, f"{accounts}/{theirs['id']}", f"{own}/{theirs['id']}"):
            assert (await other.get(path)).status_code == 404
        assert (await other.delete(f"{own}/{theirs['id']}")).status_code == 404
        assert (await other.get(ADMIN_KEYS)).status_code == 403
    assert (await admin.get(f"{accounts}/{theirs['id']}")).status_code == 200


async def test_admin_keys_are_those_of_all_projects(api: Api, admin, accounts):
    elsewhere = await api.key("acme", Role.ADMIN)
    made = (await admin.post(ADMIN_KEYS, json={"name": "infrastructure"})).json()
    assert await status_of(admin, made["value"], PROJECTS) == 200
    listed = (await admin.get(ADMIN_KEYS)).json()
    assert len(listed["data"]) == 3  # with the one of the request
    assert made["value"] not in str(listed)
    first = (await admin.get(ADMIN_KEYS, params={"limit": 1})).json()
    rest = (await admin.get(ADMIN_KEYS, params={"after": first["last_id"]})).json()
    assert first["data"] + rest["data"] == listed["data"]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    newest = (await admin.get(ADMIN_KEYS, params={"order": "desc"})).json()
    assert newest["data"] == listed["data"][::-1]
    assert (await admin.delete(f"{ADMIN_KEYS}/{made['id']}")).json()["deleted"]
    assert await status_of(admin, made["value"]) == 401
    assert await status_of(admin, elsewhere) == 200
    member = await api.app.state.projects.by_name("acme")
    key, _ = await api.app.state.projects.create_key(member, "member", Role.MEMBER)
    assert (await admin.delete(f"{ADMIN_KEYS}/{key.id}")).status_code == 404
