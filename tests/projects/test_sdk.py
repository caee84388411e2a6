"""OpenAI's unmodified SDK manages projects and keys with its administration API."""

from __future__ import annotations

import openai
import pytest

from service.projects.records import Role
from tests.conftest import Api


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
