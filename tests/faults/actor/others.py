"""Handlers of models, aliases, projects and keys, and evals and exports with their tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tests.faults.actor.base import Actor, answered, key, make, one, requests, send, works
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
    await make(world, "/v1/exports", "export", json=body, headers=key("export"))


async def _export_waits(world: World) -> None:
    await imported_model(world)
    await _create_export(world)


async def _delete_export(world: World) -> None:
    await send(world, "DELETE", f"/v1/exports/{world.notes['export']}")


async def _cancel_export(world: World) -> None:
    await send(world, "POST", f"/v1/exports/{world.notes['export']}/cancel")


async def _exports(world: World) -> int:
    return len(await listed(world, "/v1/exports"))


MODELS = (
    requests("delete-model", _delete_model, arrange=imported_model, check=_model_stays_gone),
    requests("set-alias", _set_alias, arrange=imported_model, check=answered(200)),
    requests("delete-alias", _delete_alias, arrange=_aliased),
    requests("create-project", _create_project, check=_project_is_there),
    requests("create-key", _create_key),
)
EVALS = (
    requests("create-eval", _create_eval, check=one(_evals, "eval")),
    requests("create-run", _create_run, arrange=_create_eval, check=one(_runs, "run")),
    Actor("run-eval", works("evals"), _run_waits, acts={"delete": _delete_eval}),
    requests("delete-eval", _delete_eval, arrange=_run_ended),
    requests(
        "create-export", _create_export, arrange=imported_model, check=one(_exports, "export")
    ),
    Actor("export", works("evals"), _export_waits, acts={"delete": _delete_export}),
    requests("cancel-export", _cancel_export, arrange=_export_waits),
    requests("delete-export", _delete_export, arrange=_export_waits),
)
