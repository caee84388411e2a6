"""Scenario of models and aliases."""

from __future__ import annotations

from service.evals.alias_checks.records import MAX_UNFINISHED, AliasChecks, CheckStatus
from service.evals.records import Evals
from tests.openapi.scenario.data import NO_CHECK, NO_MODEL, NO_PERMISSION, NO_PROJECT
from tests.openapi.scenario.evals import Evaluated
from tests.openapi.world import World

_ALIAS = "gpt-4o-mini"
_PATH = {"name": _ALIAS}
_GATE = {"chrf_gain": ">=5", "forgetting": "<=2", "memorized": "==0", "parity": "checked"}


async def shared(world: World, model: str) -> None:
    """Let another project use a model, and stop that."""
    made = await world.call("createProject", key="admin", json={"name": "branch-office"})
    path, body = {"model": model}, {"project_ids": [made.json()["id"]]}
    create = "createFineTuningCheckpointPermission"
    own = {"project_id": (await world.call("getCaller", key="admin")).json()["project"]["id"]}
    await world.call("updateProject", key="admin", path=own, json={"four_eyes": True})
    await world.call(create, expect=409, key="admin", path=path, json=body)
    await world.call("updateProject", key="admin", path=own, json={"four_eyes": False})
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


async def checks(
    world: World, evals: Evals, project_id: str, evaluated: Evaluated, model: str
) -> None:
    """Give an alias a suite, and check it with the run of the suite in place of a new one."""
    run = await evals.runs.get_run(project_id, evaluated.eval, evaluated.given)
    assert run is not None
    sampled = {"model": model}
    await evals.runs.change(run, lambda current: current.model_copy(update=sampled))
    suite = {"eval_id": evaluated.eval, "run_id": evaluated.given, "min_difference": -0.05}
    body = {"model": model, "suites": [suite], "schedule": "0 3 * * *"}
    create, path = "createAliasCheck", {"name": "support"}
    await world.call("putAlias", path=path, json={"model": model})
    await world.call(create, expect=400, json={"alias": "support"})
    await world.call("putAlias", "suites", "Compare new models with a run", path=path, json=body)
    await world.call("putAlias", expect=400, path=path, json={"model": model, "suites": []})
    await world.call("deleteAlias", expect=409, path=path)
    reused, asked = {"idempotency-key": "check-1"}, {"alias": "support", "model": model}
    made = await world.call(create, "created", "Check a model", headers=reused, json=asked)
    await world.call(create, expect=409, headers=reused, json={**asked, "move": True})
    await world.call(create, expect=404, json={**asked, "alias": "none"})
    for _ in range(MAX_UNFINISHED - 1):
        await world.call(create, json=asked)
    await world.call(create, expect=429, json=asked)
    one = {"id": made.json()["id"]}
    await world.call("listAliasChecks", "newest", query={"limit": 1})
    await world.call("listAliasChecks", expect=400, query={"after": NO_CHECK})
    await world.call("getAliasCheck", "in_progress", path=one)
    await world.call("getAliasCheck", expect=400, path=one, query={"wait": 31})
    await world.call("cancelAliasCheck", "cancelled", path=one)
    await world.call("deleteAliasCheck", "deleted", path=one)
    rest = await world.call("listAliasChecks", query={"limit": 100})
    store = AliasChecks(evals.redis)
    for left in rest.json()["data"]:
        check = await store.get(project_id, left["id"])
        assert check is not None
        await store.change(check, lambda c: c.end(CheckStatus.COMPLETED, c.created_at + 60))
    ended = {"id": rest.json()["data"][0]["id"]}
    await world.call("cancelAliasCheck", expect=409, path=ended)
    for operation in ("getAliasCheck", "cancelAliasCheck", "deleteAliasCheck"):
        await world.call(operation, expect=404, path={"id": NO_CHECK})


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
    evidence, path = "getModelEvidence", {"model": trained[0]}
    archive = "(the bytes of the archive)"
    await world.call(
        *(evidence, "archive", "Evidence of a trained model"),
        key="admin", path=path, query={"include_text": False}, cut=lambda _: archive,
    )  # fmt: skip
    wrong = {"include_text": "some"}
    await world.call(evidence, expect=400, key="admin", path=path, query=wrong)
    await world.call(evidence, expect=403, path=path)
    await world.call(evidence, expect=404, key="admin", path={"model": NO_MODEL})
    await world.call("deleteModel", expect=403, path={"model": base})
    await world.call("deleteModel", expect=400, path={"model": _ALIAS})
    await world.call("deleteModel", expect=404, path={"model": "gpt-4o"})
    await world.call("deleteModel", expect=409, path={"model": trained[0]})
    await world.call("deleteModel", "deleted", path={"model": trained[1]})
    await world.call("deleteAlias", "deleted", path=_PATH)
