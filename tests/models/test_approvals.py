"""Tests of approvals of trained models, which projects with `four_eyes` require."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from service.exports.records import ExportStatus
from service.projects.records import Role
from service.projects.service_accounts import AccountRole, ServiceAccounts
from tests.conftest import BASE_MODEL, Api
from tests.jobs.test_jobs import upload
from tests.models.aliases.conftest import register

ALIAS = "/v1/aliases/support"
EXPORTS = "/v1/model_exports"


async def require(api: Api, four_eyes: bool = True) -> httpx.Response:
    """Switch `four_eyes` of project acme, as an administrator."""
    project = await api.app.state.projects.by_name("acme")
    async with await api.client("acme", Role.ADMIN) as admin:
        return await admin.post(
            f"/v1/organization/projects/{project.id}", json={"four_eyes": four_eyes}
        )


def approvals(model: str) -> str:
    return f"/v1/models/{model}/approvals"


def exported(model: str) -> dict[str, str]:
    return {"model": model, "format": "adapter"}


def code(answer: httpx.Response) -> tuple[int, Any]:
    error = answer.json().get("error") or {}
    return answer.status_code, error.get("code")


@pytest.fixture
async def model(api: Api, http) -> str:
    """A model that the key of `http` trained, in a project with `four_eyes`."""
    caller = (await http.get("/v1/whoami")).json()
    name = await register(api, created_by=caller["api_key"]["id"])
    assert (await require(api)).json()["four_eyes"] is True
    return name


async def test_an_alias_and_an_export_need_a_second_person(api: Api, http, model):
    for refused in (
        await http.put(ALIAS, json={"model": model}),
        await http.put(ALIAS, json={"model": model, "force": True}),
        await http.post(EXPORTS, json=exported(model)),
    ):
        assert code(refused) == (409, "approval_required")
        assert "finetuned models approve" in refused.json()["error"]["message"]
    assert code(await http.post(approvals(model), json={})) == (403, "own_model")
    caller = (await http.get("/v1/whoami")).json()["api_key"]["owner"]["service_account"]["id"]
    listed = (await http.get("/v1/models")).json()["data"]
    shown = [(await http.get(f"/v1/models/{model}")).json(), *listed]
    assert {one["created_by"] for one in shown if one["id"] == model} == {caller}
    async with await api.client("acme") as second:
        made = await second.post(approvals(model), json={"note": "read 20 answers"})
        assert made.status_code == 200
        again = await second.post(approvals(model), json={"note": "another"})
    assert again.json() == made.json()
    assert (await http.get(approvals(model))).json()["data"] == [made.json()]
    assert made.json()["digest"] == "0" * 64
    assert (await http.put(ALIAS, json={"model": model})).status_code == 200
    assert (await http.post(EXPORTS, json=exported(model))).status_code == 200
    assert (await http.put(ALIAS, json={"model": BASE_MODEL})).status_code == 200


async def test_revoked_approvals_do_not_count(api: Api, http, model):
    """Not for a rollback either. An alias that points at the model stays."""
    async with await api.client("acme") as second:
        made = (await second.post(approvals(model), json={})).json()
    await http.put(ALIAS, json={"model": model})
    revoked = await http.delete(f"{approvals(model)}/{made['id']}")
    assert revoked.json() == {
        "id": made["id"],
        "object": "model.approval.deleted",
        "deleted": True,
    }
    assert (await http.delete(f"{approvals(model)}/{made['id']}")).status_code == 404
    targets = (await http.get(ALIAS)).json()["targets"]
    assert [target["model"] for target in targets] == [model]
    gated = await http.put(ALIAS, json={"model": model, "gate": {"memorized": "==0"}})
    assert gated.status_code == 200  # the targets stay
    await http.put(ALIAS, json={"model": BASE_MODEL})
    assert code(await http.post(f"{ALIAS}/rollback")) == (409, "approval_required")


async def test_an_approval_is_of_the_weights(api: Api, http, model):
    async with await api.client("acme") as second:
        await second.post(approvals(model), json={})
        registry = api.app.state.registry
        await registry.models.update(
            await registry.owner(model),
            model,
            lambda record: record.model_copy(update={"digest": "1" * 64}),
        )
        assert (await http.get(approvals(model))).json()["data"] == []
        assert code(await http.put(ALIAS, json={"model": model})) == (409, "approval_required")
        again = await second.post(approvals(model), json={})
    assert again.json()["digest"] == "1" * 64
    assert (await http.put(ALIAS, json={"model": model})).status_code == 200


async def test_other_keys_of_a_service_account_are_the_same_person(api: Api, http, chats):
    projects = api.app.state.projects
    project = await projects.by_name("acme")
    accounts = ServiceAccounts(projects)
    account = await accounts.create(project, "pipeline", AccountRole.MEMBER)
    secrets = [(await accounts.create_key(project, account, n, None))[1] for n in ("a", "b")]
    first, second = ({"authorization": f"Bearer {secret}"} for secret in secrets)
    file_id = await upload(http, chats(12))
    body = {"model": BASE_MODEL, "training_file": file_id}
    job_id = (await http.post("/v1/fine_tuning/jobs", json=body, headers=first)).json()["id"]
    job = await api.app.state.jobs.get(project.id, job_id)
    assert job.created_by == account.id
    name = await register(api, created_by=job.created_by)
    refused = await http.post(approvals(name), json={}, headers=second)
    assert code(refused) == (403, "own_model")
    assert (await http.post(approvals(name), json={})).json()["approved_by"] != account.id


async def test_downloads_need_an_approval_too(api: Api, http, model):
    """Of an export from before the project required it."""
    await require(api, four_eyes=False)
    export = (await http.post(EXPORTS, json=exported(model))).json()["id"]
    exports = api.app.state.exports
    project = await api.app.state.projects.by_name("acme")
    await api.app.state.storage.put_bytes("x.tar", b"weights")
    await exports.records.update(
        project.id,
        export,
        lambda record: record.model_copy(
            update={
                "status": ExportStatus.SUCCEEDED,
                "key": "x.tar",
                "bytes": 7,
                "sha256": "0" * 64,
            }
        ),
    )
    assert (await http.get(f"{EXPORTS}/{export}/content")).content == b"weights"
    await require(api)
    refused = await http.get(f"{EXPORTS}/{export}/content")
    assert code(refused) == (409, "approval_required")


async def test_only_administrators_switch_it(api: Api, http, model):
    project = await api.app.state.projects.by_name("acme")
    for role in (Role.MEMBER, Role.PROJECT_ADMIN):
        async with await api.client("acme", role) as client:
            answer = await client.post(
                f"/v1/organization/projects/{project.id}", json={"four_eyes": False}
            )
        assert answer.status_code == 403
    assert (await api.app.state.projects.get(project.id)).four_eyes


async def test_an_approval_that_is_revoked_meanwhile_does_not_count(api: Api, http, model):
    """An alias may win the race, but then it was changed before the approval was revoked."""
    for _ in range(5):
        async with await api.client("acme") as second:
            made = (await second.post(approvals(model), json={})).json()
            await asyncio.gather(
                second.delete(f"{approvals(model)}/{made['id']}"),
                *(http.put(f"{ALIAS}-{n}", json={"model": model}) for n in range(4)),
            )
        late = await http.put(f"{ALIAS}-late", json={"model": model})
        assert code(late) == (409, "approval_required")


async def test_many_requests_of_one_person_are_one_approval(api: Api, http, model):
    async with await api.client("acme") as second:
        made = await asyncio.gather(*(second.post(approvals(model), json={}) for _ in range(8)))
    assert len({answer.json()["id"] for answer in made}) == 1
    assert len((await http.get(approvals(model))).json()["data"]) == 1


async def test_a_model_is_not_shared_without_an_approval(api: Api, http, model):
    """Another project without `four_eyes` could point its aliases at it."""
    await api.app.state.projects.create("branch")
    branch = await api.app.state.projects.by_name("branch")
    permissions = f"/v1/fine_tuning/checkpoints/{model}/permissions"
    body = {"project_ids": [branch.id]}
    async with await api.client("acme", Role.PROJECT_ADMIN) as manager:
        assert code(await manager.post(permissions, json=body)) == (409, "approval_required")
        made = (await manager.post(approvals(model), json={})).json()
        assert (await manager.post(permissions, json=body)).status_code == 200
        async with await api.client("branch") as other:
            assert (await other.put(ALIAS, json={"model": model})).status_code == 200
            # Revoked, or shared before the project required it.
            await manager.delete(f"{approvals(model)}/{made['id']}")
            refused = await other.put(f"{ALIAS}-2", json={"model": model})
            assert code(refused) == (409, "approval_required")
            own = await other.post(approvals(model), json={})
            assert own.status_code == 404


async def test_ways_around_an_approval(api: Api, http, model):
    """What the trainer's key can reach: none of it is an alias, an export or another project."""
    async with await api.client("acme") as second:
        approved = await register(api)
        assert (await second.post(approvals(approved), json={})).status_code == 200
    split = [{"model": approved, "weight": 99}, {"model": model, "weight": 1}]
    renamed = await register(api, created_by=(await http.get("/v1/whoami")).json()["api_key"]["id"])
    assert (await http.put(ALIAS, json={"model": approved})).status_code == 200
    for refused in (
        await http.put(ALIAS, json={"targets": split}),  # as a canary
        await http.put(ALIAS, json={"model": renamed}),  # trained again under another name
        await http.put("/v1/aliases/other", json={"model": model}),
        await http.put(ALIAS, json={"model": model, "force": True, "reason": "urgent"}),
        *[await http.post(EXPORTS, json={"model": model, "format": one})
          for one in ("adapter", "merged", "gguf")],
    ):  # fmt: skip
        assert code(refused) == (409, "approval_required")
    assert code(await http.post(approvals(renamed), json={})) == (403, "own_model")


async def test_an_older_record_names_the_key_of_a_service_account_only(api: Api, http):
    project = await api.app.state.projects.by_name("acme")
    accounts = ServiceAccounts(api.app.state.projects)
    account = await accounts.create(project, "pipeline", AccountRole.MEMBER)
    key, secret = await accounts.create_key(project, account, "a", None)
    name = await register(api, created_by="", key_id=key.id)
    headers = {"authorization": f"Bearer {secret}"}
    assert code(await http.post(approvals(name), json={}, headers=headers)) == (403, "own_model")


async def test_models_that_others_share_need_an_approval_there(api: Api, http, model):
    registry, projects = api.app.state.registry, api.app.state.projects
    acme = await projects.by_name("acme")
    shared = await register(api, "other")
    owner = await projects.by_name("other")
    await registry.sharing.grant(owner.id, shared, acme.id, registry.models.key(owner.id, shared))
    assert code(await http.put(ALIAS, json={"model": shared})) == (409, "approval_required")
    async with await api.client("other") as other:
        assert (await other.post(approvals(shared), json={})).status_code == 200
    assert (await http.put(ALIAS, json={"model": shared})).status_code == 200
