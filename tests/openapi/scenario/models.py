"""Scenario of models and aliases."""

from __future__ import annotations

from tests.openapi.scenario.data import NO_MODEL, NO_PERMISSION, NO_PROJECT
from tests.openapi.world import World

_ALIAS = "gpt-4o-mini"
_PATH = {"name": _ALIAS}
_GATE = {"chrf_gain": ">=5", "forgetting": "<=2", "memorized": "==0", "parity": "checked"}


async def shared(world: World, model: str) -> None:
    """Let another project use a model, and stop that."""
    made = await world.call("createProject", key="admin", json={"name": "branch-office"})
    path, body = {"model": model}, {"project_ids": [made.json()["id"]]}
    create = "createFineTuningCheckpointPermission"
    answer = await world.call(
        create, "project", "Share with a project", key="admin", path=path, json=body
    )
    wrong = {"project_ids": [NO_PROJECT]}
    await world.call(create, expect=400, key="admin", path=path, json=wrong)
    every = "listFineTuningCheckpointPermissions"
    await world.call(every, "all", key="admin", path=path, query={"limit": 10})
    await world.call(every, expect=400, key="admin", path=path, query={"after": NO_PERMISSION})
    one = {**path, "permission_id": answer.json()["data"][0]["id"]}
    delete = "deleteFineTuningCheckpointPermission"
    await world.call(delete, "revoked", key="admin", path=one)
    await world.call(delete, expect=404, key="admin", path=one)
    unknown = {"model": NO_MODEL}
    await world.call(create, expect=404, key="admin", path=unknown, json=body)
    await world.call(every, expect=404, key="admin", path=unknown)
    for operation, at, sent in ((create, path, body), (every, path, None), (delete, one, None)):
        await world.call(operation, expect=403, path=at, json=sent)


async def approved(world: World, model: str) -> None:
    """Approve a model as a second person, and revoke that."""
    path, body = {"model": model}, {"note": "Read 20 held-out answers: no personal data."}
    create, every, delete = "createModelApproval", "listModelApprovals", "deleteModelApproval"
    await world.call(create, expect=403, path=path, json=body)
    made = await world.call(create, "note", "Approve", key="project_admin", path=path, json=body)
    await world.call(create, expect=400, path=path, json={"note": ""})
    await world.call(every, "all", path=path)
    one = {**path, "approval_id": made.json()["id"]}
    await world.call(delete, "revoked", path=one)
    await world.call(delete, expect=404, path=one)
    for operation, sent in ((create, body), (every, None)):
        await world.call(operation, expect=404, path={"model": NO_MODEL}, json=sent)


async def aliases(world: World, models: list[str]) -> None:
    """Point an alias at a model, split it, and roll back."""
    old, new = models
    path = _PATH
    await world.call(
        "putAlias",
        "model",
        "Create an alias; `If-None-Match` protects an existing one",
        path=path,
        headers={"if-none-match": "*"},
        json={"model": old},
    )
    await world.call(
        "putAlias", expect=412, path=path, headers={"if-none-match": "*"}, json={"model": new}
    )
    await world.call("rollbackAlias", expect=409, path=path)
    split = [{"model": old, "weight": 90}, {"model": new, "weight": 10}]
    now = await world.call("getAlias", "model", path=path)
    await world.call(
        "putAlias",
        "split",
        "Send a tenth of the requests to a new model",
        path=path,
        headers={"if-match": now.headers["etag"]},
        json={"targets": split},
    )
    await world.call(
        "putAlias",
        "gate",
        "Require that models pass a gate from now on, and keep the targets",
        path=path,
        json={"targets": split, "gate": _GATE},
    )
    await world.call("putAlias", expect=409, path=path, json={"model": new})
    await world.call("listAliases", "one", query={"limit": 20})
    await world.call("listAliases", expect=400, query={"after": "gpt-unknown"})
    await world.call("listAliasHistory", "three", path=path)
    await _refused(world, old)
    await world.call("rollbackAlias", "back", path=path)


async def _refused(world: World, model: str) -> None:
    await world.call("putAlias", expect=400, path=_PATH, json={})
    await world.call("putAlias", expect=400, path={"name": "gpt 4"}, json={"model": model})
    await world.call("putAlias", expect=404, path=_PATH, json={"model": "gpt-4o"})
    await world.call("putAlias", expect=400, path={"name": model}, json={"model": model})
    stale = {"if-match": '"stale"'}
    await world.call("deleteAlias", expect=412, path=_PATH, headers=stale)
    unknown = {"name": "gpt-unknown"}
    for operation in ("getAlias", "listAliasHistory", "rollbackAlias", "deleteAlias"):
        await world.call(operation, expect=404, path=unknown)


async def models(world: World, base: str, trained: list[str]) -> None:
    """List, retrieve and delete models. The alias from `aliases` points at one."""
    await world.call("listModels", "all")
    await world.call("listModels", expect=400, query={"limit": 0})
    for name, summary, model in (
        ("base", "Base model", base),
        ("trained", "Trained model", trained[0]),
        ("alias", "Alias", _ALIAS),
    ):
        await world.call("getModel", name, summary, path={"model": model})
    await world.call("getModel", expect=404, path={"model": "gpt-4o"})
    await world.call("deleteModel", expect=403, path={"model": base})
    await world.call("deleteModel", expect=400, path={"model": _ALIAS})
    await world.call("deleteModel", expect=404, path={"model": "gpt-4o"})
    await world.call("deleteModel", expect=409, path={"model": trained[0]})
    await world.call("deleteModel", "deleted", path={"model": trained[1]})
    await world.call("deleteAlias", "deleted", path=_PATH)
