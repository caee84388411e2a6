"""Handlers of models, aliases, projects and keys, and evals and exports with their tasks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError
from service.evals.alias_checks.records import new_check
from service.files.records import Purpose, new_record
from service.models.aliases.suites import SCHEDULES
from service.projects.records import Role
from tests.conftest import BASE_MODEL
from tests.faults.actor.base import Actor, answered, both, key, make, one, requests, send, works
from tests.faults.actor.files import imported_model
from tests.faults.invariants import listed
from tests.faults.world import World

_GRADER = {
    "type": "string_check",
    "name": "exact",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "eq",
}
_SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
_EVAL: dict[str, Any] = {
    "name": "Opening hours",
    "data_source_config": {
        "type": "custom",
        "item_schema": _SCHEMA,
        "include_sample_schema": True,
    },
    "testing_criteria": [_GRADER],
}
_ITEMS = [
    {"item": {"answer": answer}, "sample": {"output_text": "yes"}} for answer in ("yes", "no")
]
_RUN = {
    "name": "given answers",
    "data_source": {"type": "jsonl", "source": {"type": "file_content", "content": _ITEMS}},
}


async def _delete_model(world: World) -> None:
    name = world.notes["model"]
    if await send(world, "DELETE", f"/v1/models/{name}") in (200, 404):
        world.notes["gone"] = name


async def _model_stays_gone(world: World) -> AsyncIterator[str]:
    for model in await listed(world, "/v1/models"):
        if model["id"] == world.notes.get("gone"):
            yield "a deleted model is listed"


async def _set_alias(world: World) -> None:
    await send(world, "PUT", "/v1/aliases/voice", json={"model": world.notes["model"]})


async def _aliased(world: World) -> None:
    await imported_model(world)
    await _set_alias(world)


async def _delete_alias(world: World) -> None:
    await send(world, "DELETE", "/v1/aliases/voice")


def _approvals(world: World) -> str:
    return f"/v1/models/{world.notes['model']}/approvals"


async def _foreign_model(world: World) -> None:
    """A model that someone else imported."""
    await imported_model(world)
    registry = world.app.state.registry
    name = world.notes["model"]
    owner = await registry.owner(name)
    await registry.models.update(
        owner, name, lambda record: record.model_copy(update={"created_by": "key_other"})
    )


async def _approve(world: World) -> None:
    await send(world, "POST", _approvals(world), json={"note": "read 20 answers"})


async def _approved(world: World) -> None:
    await _foreign_model(world)
    await _approve(world)
    [made] = await listed(world, _approvals(world))
    world.notes["approval"] = made["id"]


async def _approved_once(world: World) -> AsyncIterator[str]:
    if len(await listed(world, _approvals(world))) > 1:
        yield "a model has two approvals of one person"


async def _revoke_approval(world: World) -> None:
    await send(world, "DELETE", f"{_approvals(world)}/{world.notes['approval']}")


async def _create_project(world: World) -> None:
    await send(world, "POST", "/v1/organization/projects", json={"name": "other"})


async def _project_is_there(world: World) -> AsyncIterator[str]:
    """Check that the name leads to a project, as it does before an installation starts again."""
    if await world.app.state.projects.by_name("other") is None:
        yield "the name of a project is taken, but there is no project"


def _keys(world: World) -> str:
    return f"/v1/organization/projects/{world.notes['project']}/api_keys"


async def _create_key(world: World) -> None:
    await make(world, _keys(world), "key", json={"name": "second"})


async def _revoke_key(world: World) -> None:
    await send(world, "DELETE", f"{_keys(world)}/{world.notes['key']}")


async def _create_session(world: World) -> None:
    await make(world, "/v1/session", "session")
    answer = world.notes["answer"]
    if answer.status_code == 200:
        world.notes["csrf"] = answer.json()["csrf_token"]
        cookie = answer.headers["set-cookie"].partition(";")[0]
        world.notes["by_cookie"] = {"authorization": "", "cookie": cookie}


async def _delete_session(world: World) -> None:
    headers = {**world.notes["by_cookie"], "x-csrf-token": world.notes["csrf"]}
    await send(world, "DELETE", "/v1/session", headers=headers)


async def _session_has_ended(world: World) -> AsyncIterator[str]:
    answer = await world.http.get("/v1/session", headers=world.notes["by_cookie"])
    if answer.status_code != 401:
        yield f"a session that was ended answers {answer.status_code}"


async def _create_eval(world: World) -> None:
    await make(world, "/v1/evals", "eval", json=_EVAL, headers=key("eval"))


def _eval(world: World, what: str = "") -> str:
    return f"/v1/evals/{world.notes['eval']}{what}"


async def _create_run(world: World) -> None:
    await make(world, _eval(world, "/runs"), "run", json=_RUN, headers=key("run"))


async def _run_waits(world: World) -> None:
    await _create_eval(world)
    await _create_run(world)


async def _run_ended(world: World) -> None:
    await _run_waits(world)
    await world.settle()


async def _delete_eval(world: World) -> None:
    await send(world, "DELETE", _eval(world))


async def _cancel_run(world: World) -> None:
    await send(world, "POST", _eval(world, f"/runs/{world.notes['run']}"))


async def _evals(world: World) -> int:
    return len(await listed(world, "/v1/evals"))


async def _runs(world: World) -> int:
    return len(await listed(world, _eval(world, "/runs")))


async def _create_export(world: World) -> None:
    body = {"model": world.notes["model"], "format": "adapter"}
    await make(world, "/v1/model_exports", "export", json=body, headers=key("export"))


async def _export_waits(world: World) -> None:
    await imported_model(world)
    await _create_export(world)


async def _delete_export(world: World) -> None:
    await send(world, "DELETE", f"/v1/model_exports/{world.notes['export']}")


async def _cancel_export(world: World) -> None:
    await send(world, "POST", f"/v1/model_exports/{world.notes['export']}/cancel")


async def _exports(world: World) -> int:
    return len(await listed(world, "/v1/model_exports"))


async def _update_eval(world: World) -> None:
    await send(world, "POST", _eval(world), json={"name": "Other hours"})


async def _delete_run(world: World) -> None:
    await send(world, "DELETE", _eval(world, f"/runs/{world.notes['run']}"))


async def _cancel_run_by_path(world: World) -> None:
    await send(world, "POST", _eval(world, f"/runs/{world.notes['run']}/cancel"))


async def _two_targets(world: World) -> None:
    await _aliased(world)
    await send(world, "PUT", "/v1/aliases/voice", json={"model": BASE_MODEL})


async def _rollback(world: World) -> None:
    await send(world, "POST", "/v1/aliases/voice/rollback")


async def _update_project(world: World) -> None:
    path = f"/v1/organization/projects/{world.notes['project']}"
    await send(world, "POST", path, json=_LIMITS)


def _account(world: World, what: str = "") -> str:
    return f"{_accounts(world)}/{world.notes['account']}{what}"


def _accounts(world: World) -> str:
    return f"/v1/organization/projects/{world.notes['project']}/service_accounts"


async def _create_account(world: World) -> None:
    await make(world, _accounts(world), "account", json={"name": "nightly"})


async def _update_account(world: World) -> None:
    await send(world, "POST", _account(world), json={"role": "owner"})


async def _delete_account(world: World) -> None:
    await send(world, "DELETE", _account(world))


async def _create_account_key(world: World) -> None:
    await send(world, "POST", _account(world, "/api_keys"), json={})


async def _create_admin_key(world: World) -> None:
    await make(world, "/v1/organization/admin_api_keys", "admin_key", json={"name": "second"})


async def _delete_admin_key(world: World) -> None:
    await send(world, "DELETE", f"/v1/organization/admin_api_keys/{world.notes['admin_key']}")


async def _other_project(world: World) -> None:
    """Make another project, which has a key."""
    projects = world.app.state.projects
    other = await projects.create("other")
    await projects.create_key(other, "test", Role.MEMBER)
    world.notes["other"] = other.id


async def _used_project(world: World) -> None:
    """Make another project, which has a key and a file."""
    await _other_project(world)
    file = new_record(
        "file-other",
        world.notes["other"],
        filename="f",
        purpose=Purpose.USER_DATA,
        size=2,
        sha256="",
        expires_after_s=None,
        format_=None,
    )
    await world.app.state.storage.put_bytes(file.content_key, b"{}")
    await world.app.state.files.register(file)


def _other(world: World) -> str:
    return f"/v1/organization/projects/{world.notes['other']}"


async def _archive_project(world: World) -> None:
    await send(world, "POST", f"{_other(world)}/archive")


async def _delete_project(world: World) -> None:
    await send(world, "DELETE", _other(world))


async def _other_is_going(world: World) -> AsyncIterator[str]:
    project = await world.app.state.projects.get(world.notes["other"])
    if project is not None and project.deleting_since is None:
        yield "the project stays"


async def _other_is_deleted(world: World) -> None:
    """Have the deletion begin so long ago that nothing still works for the project."""
    await _used_project(world)
    projects = world.app.state.projects
    await projects.begin_deletion(world.notes["other"])
    await projects.projects.update(
        "-", world.notes["other"], lambda p: p.model_copy(update={"deleting_since": 1})
    )


async def _delete_projects(world: World) -> None:
    with contextlib.suppress(*REDIS_ERRORS, StorageError):
        for _ in range(3):
            await world.worker._reconciler._deletions.sweep()


async def _other_is_gone(world: World) -> AsyncIterator[str]:
    for name in await world.keys():
        if world.notes["other"] in name:
            yield f"left of a deleted project: {name.rpartition(':')[2]}"
    if any(world.notes["other"] in path for path in world.objects()):
        yield "a deleted project is in storage"
    if await world.app.state.projects.get(world.notes["other"]) is not None:
        yield "a deleted project is still there"


async def _model_and_project(world: World) -> None:
    await imported_model(world)
    world.notes["other"] = (await world.app.state.projects.create("other")).id


def _permissions(world: World) -> str:
    return f"/v1/fine_tuning/checkpoints/{world.notes['model']}/permissions"


async def _share(world: World) -> None:
    await send(world, "POST", _permissions(world), json={"project_ids": [world.notes["other"]]})


async def _shared(world: World) -> None:
    await _model_and_project(world)
    await _share(world)
    [made] = await listed(world, _permissions(world))
    world.notes["permission"] = made["id"]


async def _unshare(world: World) -> None:
    await send(world, "DELETE", f"{_permissions(world)}/{world.notes['permission']}")


async def _shared_once(world: World) -> AsyncIterator[str]:
    if len(await world.redis.keys("finetuned:*:model-permissions:*")) > 1:
        yield "two permissions for one request"


async def _update_key(world: World) -> None:
    await send(world, "POST", f"{_keys(world)}/{world.notes['key']}", json=_LIMITS)


async def _rotate_key(world: World) -> None:
    await send(world, "POST", f"{_keys(world)}/{world.notes['key']}/rotate", json={})


_LIMITS = {"limits": {"requests_per_minute": 100}}


async def _create_webhook(world: World) -> None:
    body = {"name": "hook", "url": "http://127.0.0.1:9/", "event_types": [_ENDED]}
    await make(world, _WEBHOOKS, "webhook", json=body)


_WEBHOOKS, _ENDED = "/v1/webhook_endpoints", "fine_tuning.job.succeeded"


def _webhook(world: World, what: str = "") -> str:
    return f"{_WEBHOOKS}/{world.notes['webhook']}{what}"


async def _update_webhook(world: World) -> None:
    await send(world, "POST", _webhook(world), json={"name": "other"})


async def _rotate(world: World) -> None:
    await send(world, "POST", _webhook(world, "/rotate_secret"), json={})


async def _delete_webhook(world: World) -> None:
    await send(world, "DELETE", _webhook(world))


async def _create_batch(world: World) -> None:
    body = {
        "input_file_id": world.notes["requests"],
        "endpoint": "/v1/completions",
        "completion_window": "24h",
    }
    await make(world, "/v1/batches", "batch", json=body, headers=key("batch"))


async def _requests_are_stored(world: World) -> None:
    """Upload requests that are refused without an engine: a temperature is at most 2."""
    body = {"model": BASE_MODEL, "prompt": "Ahoi", "temperature": 3}
    rows = [
        {"custom_id": f"r{n}", "method": "POST", "url": "/v1/completions", "body": body}
        for n in range(3)
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    await make(
        world,
        "/v1/files",
        "requests",
        files={"file": ("requests.jsonl", content.encode())},
        data={"purpose": "batch"},
    )


async def _batch_waits(world: World) -> None:
    await _requests_are_stored(world)
    await _create_batch(world)


async def _cancel_batch(world: World) -> None:
    await send(world, "POST", f"/v1/batches/{world.notes['batch']}/cancel")


async def _delete_requests(world: World) -> None:
    await send(world, "DELETE", f"/v1/files/{world.notes['requests']}")


async def _create_generation(world: World) -> None:
    body = {"document_ids": [world.notes["document"]], "model": BASE_MODEL, "n": 2}
    headers = key("generation")
    await make(world, "/v1/dataset_generations", "generation", json=body, headers=headers)


async def _document_is_stored(world: World) -> None:
    """Upload a document with a passage for each of two rooms."""
    filler = "Ask the porter for a key, and bring it back before you leave. " * 12
    content = "".join(f"# Room {room}\n\nMap {room} is here. {filler}\n\n" for room in (17, 18))
    await make(
        world,
        "/v1/files",
        "document",
        files={"file": ("rooms.md", content.encode())},
        data={"purpose": "user_data"},
    )


async def _generation_waits(world: World) -> None:
    await _document_is_stored(world)
    await _create_generation(world)


async def _generation_ended(world: World) -> None:
    await _generation_waits(world)
    await world.settle()


def _generation(world: World, what: str = "") -> str:
    return f"/v1/dataset_generations/{world.notes['generation']}{what}"


async def _cancel_generation(world: World) -> None:
    await send(world, "POST", _generation(world, "/cancel"))


async def _delete_generation(world: World) -> None:
    await send(world, "DELETE", _generation(world))


async def _delete_document(world: World) -> None:
    await send(world, "DELETE", f"/v1/files/{world.notes['document']}")


async def _generations(world: World) -> int:
    return len(await listed(world, "/v1/dataset_generations"))


async def _batches(world: World) -> int:
    return len(await listed(world, "/v1/batches"))


async def _suite_is_set(world: World) -> None:
    """Give an alias a suite, whose baseline and whose items need no engine to be created."""
    await _run_ended(world)
    notes, evals = world.notes, world.app.state.evals
    run = await evals.runs.get_run(notes["project"], notes["eval"], notes["run"])
    messages = {"type": "template", "template": [{"role": "user", "content": "hi"}]}
    source = {"type": "completions", "source": {"type": "file_content"}, "model": BASE_MODEL}
    sampled = {"model": BASE_MODEL, "data_source": {**source, "input_messages": messages}}
    await evals.runs.change(run, lambda current: current.model_copy(update=sampled))
    await imported_model(world)
    suite = {"eval_id": notes["eval"], "run_id": notes["run"], "min_difference": -1}
    body = {"model": notes["model"], "suites": [suite], "schedule": "0 3 * * *"}
    body |= {"force": True, "reason": "It is the first one."}
    await send(world, "PUT", "/v1/aliases/voice", json=body)


_CHECKS = "/v1/alias_checks"


async def _create_check(world: World) -> None:
    body = {"alias": "voice", "model": BASE_MODEL, "move": True}
    await make(world, _CHECKS, "check", json=body, headers=key("check"))


async def _checks(world: World) -> int:
    return len(await listed(world, _CHECKS))


async def _check_waits(world: World) -> None:
    await _suite_is_set(world)
    await _create_check(world)


async def _check_is_measured(world: World) -> None:
    """Have a check whose run has ended, and whose model passes."""
    await _suite_is_set(world)
    await make(world, _eval(world, "/runs"), "other_run", json=_RUN)
    await world.settle()
    state, notes = world.app.state, world.notes
    alias = await state.aliases.get(notes["project"], "voice")
    check = new_check(alias, (BASE_MODEL,), 1, key_id="key_a", move=True)
    [run] = check.runs
    runs = (run.model_copy(update={"run_id": notes["other_run"]}),)
    await state.alias_checks.create(check.model_copy(update={"runs": runs}))


async def _check_is_due(world: World) -> None:
    await _suite_is_set(world)
    await world.redis.zadd(SCHEDULES, {f"{world.notes['project']}/voice": 1})


async def _continue_checks(world: World) -> None:
    with contextlib.suppress(*REDIS_ERRORS, StorageError):
        await world.worker._reconciler._alias_checks.continue_all(
            lambda _: contextlib.nullcontext()
        )


async def _alias_has_moved(world: World) -> AsyncIterator[str]:
    answer = await world.http.get("/v1/aliases/voice")
    if [one["model"] for one in answer.json()["targets"]] != [BASE_MODEL]:
        yield "the alias did not move to a model that passed"
    if len(await listed(world, "/v1/aliases/voice/history")) != 2:
        yield "the alias moved more than once"


async def _checked_once(world: World) -> AsyncIterator[str]:
    if await _checks(world) != 1:
        yield "a due check was not created once"
    if await _runs(world) != 2:
        yield "the run of a check was not created once"


async def _cancel_check(world: World) -> None:
    await send(world, "POST", f"{_CHECKS}/{world.notes['check']}/cancel")


async def _delete_check(world: World) -> None:
    await send(world, "DELETE", f"{_CHECKS}/{world.notes['check']}")


MODELS = (
    requests("deleteModel", _delete_model, arrange=imported_model, check=_model_stays_gone),
    requests("putAlias", _set_alias, arrange=imported_model, check=answered(200)),
    requests("deleteAlias", _delete_alias, arrange=_aliased),
    requests(
        "createModelApproval",
        _approve,
        arrange=_foreign_model,
        check=both(answered(200), _approved_once),
    ),
    requests("deleteModelApproval", _revoke_approval, arrange=_approved),
    requests(
        "createFineTuningCheckpointPermission",
        _share,
        arrange=_model_and_project,
        check=both(answered(200), _shared_once),
    ),
    requests("deleteFineTuningCheckpointPermission", _unshare, arrange=_shared),
    requests("createProject", _create_project, check=_project_is_there),
    requests("createApiKey", _create_key),
    requests("createSession", _create_session, check=answered(200)),
    requests("deleteSession", _delete_session, arrange=_create_session, check=_session_has_ended),
    requests("updateProject", _update_project, check=answered(200)),
    requests("createServiceAccount", _create_account, check=answered(200)),
    requests("updateServiceAccount", _update_account, arrange=_create_account),
    requests("deleteServiceAccount", _delete_account, arrange=_create_account),
    requests("createServiceAccountApiKey", _create_account_key, arrange=_create_account),
    requests("createAdminApiKey", _create_admin_key),
    requests("deleteAdminApiKey", _delete_admin_key, arrange=_create_admin_key),
    requests("archiveProject", _archive_project, arrange=_other_project, check=answered(200)),
    requests("deleteProject", _delete_project, arrange=_other_project, check=_other_is_going),
    Actor("delete-project", _delete_projects, _other_is_deleted, check=_other_is_gone),
    requests("updateApiKey", _update_key, arrange=_create_key, check=answered(200)),
    requests("rotateApiKey", _rotate_key, arrange=_create_key, check=answered(200)),
    requests("deleteApiKey", _revoke_key, arrange=_create_key, check=answered(200, 404)),
    requests("rollbackAlias", _rollback, arrange=_two_targets, check=answered(200)),
    requests("createWebhookEndpoint", _create_webhook, check=answered(200)),
    requests("updateWebhookEndpoint", _update_webhook, arrange=_create_webhook),
    requests("rotateWebhookEndpointSecret", _rotate, arrange=_create_webhook),
    requests("deleteWebhookEndpoint", _delete_webhook, arrange=_create_webhook),
)
EVALS = (
    requests("createEval", _create_eval, check=one(_evals, "eval")),
    requests("createEvalRun", _create_run, arrange=_create_eval, check=one(_runs, "run")),
    Actor("run-eval", works("evals"), _run_waits, acts={"delete": _delete_eval}),
    requests("deleteEval", _delete_eval, arrange=_run_ended),
    requests("updateEval", _update_eval, arrange=_create_eval, check=answered(200)),
    requests("createAliasCheck", _create_check, arrange=_suite_is_set, check=one(_checks, "check")),
    requests("cancelAliasCheck", _cancel_check, arrange=_check_waits),
    requests("deleteAliasCheck", _delete_check, arrange=_check_waits),
    Actor("move-alias", _continue_checks, _check_is_measured, check=_alias_has_moved),
    Actor("check-alias", _continue_checks, _check_is_due, check=_checked_once),
    requests("cancelEvalRun", _cancel_run, arrange=_run_waits),
    requests("cancelEvalRunByPath", _cancel_run_by_path, arrange=_run_waits),
    requests("deleteEvalRun", _delete_run, arrange=_run_ended),
    requests(
        "createModelExport", _create_export, arrange=imported_model, check=one(_exports, "export")
    ),
    Actor("export", works("evals"), _export_waits, acts={"delete": _delete_export}),
    requests("cancelModelExport", _cancel_export, arrange=_export_waits),
    requests("deleteModelExport", _delete_export, arrange=_export_waits),
    requests(
        "createBatch", _create_batch, arrange=_requests_are_stored, check=one(_batches, "batch")
    ),
    Actor(
        "run-batch",
        works("batches"),
        _batch_waits,
        acts={"cancel": _cancel_batch, "delete": _delete_requests},
    ),
    requests("cancelBatch", _cancel_batch, arrange=_batch_waits),
    requests(
        "createDatasetGeneration",
        _create_generation,
        arrange=_document_is_stored,
        check=one(_generations, "generation"),
    ),
    Actor(
        "generate-rows",
        works("batches"),
        _generation_waits,
        acts={"cancel": _cancel_generation, "delete": _delete_document},
    ),
    requests("cancelDatasetGeneration", _cancel_generation, arrange=_generation_waits),
    requests("deleteDatasetGeneration", _delete_generation, arrange=_generation_ended),
)
