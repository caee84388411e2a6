"""Tests of `GET /v1/whoami`."""

from __future__ import annotations

import httpx

from service.config.limits import Limits, ProjectLimits
from service.projects.records import Role
from tests.conftest import Api

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
