"""Tests of the limits of projects and keys, set by admins and known to every api process."""

from __future__ import annotations

import asyncio

import pytest

from service.app import create_app
from service.config.limits import NO_LIMITS, NO_PROJECT_LIMITS, Limits, ProjectLimits
from service.projects.records import ApiKey, Project, Projects, Role
from tests.conftest import Api, running

ROOT = "/v1/organization/projects"
NONE = {
    "requests_per_minute": None,
    "tokens_per_minute": None,
    "concurrent_requests": None,
    "concurrent_streams": None,
}
NONE_OF_A_PROJECT = {**NONE, "storage_bytes": None, "record_bytes": None}


async def test_limits_are_set_changed_and_unset(api: Api):
    async with await api.client("root", Role.ADMIN) as admin:
        project = (
            await admin.post(ROOT, json={"name": "clinic", "limits": {"requests_per_minute": 60}})
        ).json()
        assert project["limits"] == {**NONE_OF_A_PROJECT, "requests_per_minute": 60}
        path = f"{ROOT}/{project['id']}"

        changed = await admin.post(path, json={"limits": {"tokens_per_minute": "unlimited"}})
        expected = {
            **NONE_OF_A_PROJECT,
            "requests_per_minute": 60,
            "tokens_per_minute": "unlimited",
        }
        assert changed.json() == {**project, "limits": expected}
        changed = await admin.post(path, json={"limits": {"requests_per_minute": None}})
        assert changed.json()["limits"] == {
            **NONE_OF_A_PROJECT,
            "tokens_per_minute": "unlimited",
        }
        assert (await admin.get(path)).json() == changed.json()

        key = (
            await admin.post(
                f"{path}/api_keys", json={"name": "k", "limits": {"concurrent_streams": 2}}
            )
        ).json()
        assert key["limits"] == {**NONE, "concurrent_streams": 2}
        key_path = f"{path}/api_keys/{key['id']}"
        changed = await admin.post(key_path, json={"limits": {"concurrent_requests": 4}})
        expected = {**NONE, "concurrent_streams": 2, "concurrent_requests": 4}
        assert changed.json()["limits"] == expected
        assert "value" not in changed.json()
        assert (await admin.get(f"{path}/api_keys")).json()["data"] == [changed.json()]


NO_SUCH_LIMITS = [
    ({"requests_per_minute": 0}, "limits.requests_per_minute", "invalid_value"),
    ({"requests_per_minute": -1}, "limits.requests_per_minute", "invalid_value"),
    ({"tokens_per_minute": 1.5}, "limits.tokens_per_minute", "invalid_value"),
    ({"tokens_per_minute": True}, "limits.tokens_per_minute", "invalid_value"),
    ({"tokens_per_minute": 10**13}, "limits.tokens_per_minute", "invalid_value"),
    ({"concurrent_requests": "lots"}, "limits.concurrent_requests", "invalid_value"),
    ({"concurrent_streams": "7"}, "limits.concurrent_streams", "invalid_value"),
    ({"requests_per_day": 5}, "limits.requests_per_day", "unknown_parameter"),
    ([], "limits", "invalid_type"),
    (None, "limits", "invalid_type"),
]


async def test_invalid_limits_are_400_with_the_parameter(api: Api):
    async with await api.client("root", Role.ADMIN) as admin:
        project = (await admin.post(ROOT, json={"name": "clinic"})).json()
        path = f"{ROOT}/{project['id']}"
        key = (await admin.post(f"{path}/api_keys", json={"name": "k"})).json()
        for limits, param, code in NO_SUCH_LIMITS:
            for place, body in (
                (path, {}),
                (f"{path}/api_keys/{key['id']}", {}),
                (f"{path}/api_keys", {"name": "x"}),
                (ROOT, {"name": "other"}),
            ):
                answer = await admin.post(place, json={**body, "limits": limits})
                assert answer.status_code == 400, (place, limits)
                error = answer.json()["error"]
                assert (error["param"], error["code"]) == (param, code)
        both = {"name": "new", "limits": {"requests_per_minute": 1}}
        assert (await admin.post(path, json=both)).status_code == 400
        assert (await admin.get(path)).json() == project
        assert (await admin.get(f"{path}/api_keys")).json()["data"][0]["limits"] == NONE


SCOPE = {"type": "http", "client": ("127.0.0.1", 1), "headers": []}


@pytest.fixture
async def remembering(settings, api: Api):
    """An api that would cache keys for an hour."""
    app = create_app(settings.model_copy(update={"lookup_cache_s": 3600}))
    async with running(app) as url:
        yield Api(app, url, settings)


async def test_changes_reach_processes_that_cache(api: Api, remembering: Api):
    projects: Projects = api.app.state.projects
    secret = await api.key("acme")
    authenticator = remembering.app.state.authenticator
    header = f"Bearer {secret}"
    caller = await authenticator.authenticate(header, SCOPE)
    assert (caller.key_limits, caller.project_limits) == (NO_LIMITS, NO_PROJECT_LIMITS)
    assert await authenticator.authenticate(header, SCOPE) is caller

    await projects.limit(caller.project_id, ProjectLimits(requests_per_minute=7))
    change = {
        "limits": Limits(tokens_per_minute=70),
        "role": Role.INFERENCE,
        "models": ("support",),
    }
    await projects.change_key(
        caller.project_id, caller.key_id, lambda key: key.model_copy(update=change)
    )
    async with asyncio.timeout(60):
        while True:
            caller = await authenticator.authenticate(header, SCOPE)
            if caller.key_limits.tokens_per_minute and caller.project_limits.requests_per_minute:
                break
            await asyncio.sleep(0.01)
    assert caller.project_limits == ProjectLimits(requests_per_minute=7)
    assert caller.key_limits == Limits(tokens_per_minute=70)
    assert (caller.role, caller.models) == (Role.INFERENCE, frozenset({"support"}))
    assert await projects.find_principal(secret) == caller


def test_records_of_earlier_versions_have_no_limits():
    project = Project.model_validate_json(
        '{"id":"proj_1","project_id":"-","created_at":1,"name":"acme"}'
    )
    key = ApiKey.model_validate_json(
        '{"id":"key_1","project_id":"proj_1","created_at":1,"name":"k","role":"member",'
        '"digest":"d","hint":"abcd"}'
    )
    assert (project.limits, key.limits) == (NO_PROJECT_LIMITS, NO_LIMITS)
