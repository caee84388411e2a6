"""Tests of gates of aliases, and of the gauge of their gains."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from service.core.leases import Leases
from service.jobs.dispatch import Dispatcher
from service.models.aliases.gates import read_gains
from service.models.aliases.records import AliasRecord, Change, Target, history_key
from service.worker.reconciler import Reconciler
from tests.conftest import BASE_MODEL
from tests.models.aliases.conftest import evaluate

NAME = "/v1/aliases/support"
GATE = {"chrf_gain": ">=5", "memorized": "==0", "parity": "checked"}
GOOD: dict[str, Any] = {"chrf_gain": 31.0, "memorized": 0.0, "parity": "checked"}
BAD: dict[str, Any] = {"chrf_gain": 2.125, "memorized": 3.0, "parity": "checked"}


async def put(http, model, **more):
    return await http.put(NAME, json={"model": model, **more})


async def history(http):
    return (await http.get(NAME + "/history")).json()["data"]


async def test_an_alias_moves_to_a_model_that_meets_its_gate(api, http, new_model):
    first, second = await new_model(), await new_model()
    await evaluate(api, first, **GOOD)
    await evaluate(api, second, **GOOD)
    made = await put(http, first, gate=GATE)
    assert (made.status_code, made.json()["gate"]) == (200, GATE)
    moved = await put(http, second)
    assert (moved.status_code, moved.json()["gate"]) == (200, GATE)
    assert [(c["forced"], c["failed_conditions"], c["gate"]) for c in await history(http)] == [
        (False, [], GATE)
    ] * 2


async def test_an_alias_does_not_move_to_a_model_that_fails(api, http, new_model):
    good, bad = await new_model(), await new_model()
    await evaluate(api, good, **GOOD)
    await evaluate(api, bad, **BAD)
    before = (await put(http, good, gate=GATE)).json()
    refused = await put(http, bad)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (409, "gate_failed", "model")
    assert (
        f"{bad} does not meet the gate: chrf_gain is 2.125, not >=5; memorized is 3, not ==0."
        in (error["message"])
    )
    assert "parity" not in error["message"]
    assert '"force": true' in error["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert (await http.get(NAME)).json() == before
    assert len(await history(http)) == 1


async def test_force_is_recorded_with_the_failed_conditions(api, http, new_model):
    good, bad = await new_model(), await new_model()
    await evaluate(api, good, **GOOD)
    await evaluate(api, bad, **BAD)
    await put(http, good, gate=GATE, force=True)
    moved = await put(http, bad, force=True)
    assert moved.json()["targets"] == [{"model": bad, "weight": 100}]
    newest, first = await history(http)
    assert (first["forced"], first["failed_conditions"]) == (False, [])  # nothing failed
    assert newest["forced"] is True
    assert newest["failed_conditions"] == [
        {
            "model": bad,
            "key": "chrf_gain",
            "condition": ">=5",
            "measured": 2.125,
            "reason": None,
            "gate": "alias",
        },
        {
            "model": bad,
            "key": "memorized",
            "condition": "==0",
            "measured": 3,
            "reason": None,
            "gate": "alias",
        },
    ]


async def test_an_alias_without_a_gate_does_not_move_to_a_model_whose_jobs_gate_failed(
    api, http, new_model
):
    bad, good = [await new_model(gate={"chrf_gain": ">=5"}) for _ in range(2)]
    await evaluate(api, good, **GOOD)
    assert "No evaluation of the model" in (await put(http, bad)).json()["error"]["message"]
    await evaluate(api, bad, **BAD)
    assert (await put(http, good)).status_code == 200
    refused = await put(http, bad)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "gate_failed")
    assert (
        f"{bad} does not meet the gate of its job: chrf_gain is 2.125, not >=5."
        in refused.json()["error"]["message"]
    )
    assert (await put(http, bad, force=True)).status_code == 200
    newest = (await history(http))[0]
    assert newest["forced"] is True
    assert newest["gate"] == {}
    assert [(c["gate"], c["key"], c["measured"]) for c in newest["failed_conditions"]] == [
        ("job", "chrf_gain", 2.125)
    ]
    both = await put(http, good, gate={"chrf_gain": ">=40"})
    assert "does not meet the gate: chrf_gain is 31, not >=40." in both.json()["error"]["message"]


async def test_a_gate_applies_to_a_new_alias(api, http, new_model):
    model = await new_model()
    await evaluate(api, model, **BAD)
    assert (await put(http, model, gate=GATE)).json()["error"]["code"] == "gate_failed"
    assert (await http.get(NAME)).status_code == 404


async def test_every_trained_model_of_a_split_is_checked(api, http, new_model):
    good, bad = await new_model(), await new_model()
    await evaluate(api, good, **GOOD)
    await evaluate(api, bad, **BAD)
    await put(http, good, gate=GATE)
    split = [{"model": good, "weight": 90}, {"model": bad, "weight": 10}]
    error = (await http.put(NAME, json={"targets": split})).json()["error"]
    assert (error["code"], error["param"]) == ("gate_failed", "targets")
    assert bad in error["message"]
    assert good not in error["message"]


async def test_a_model_without_an_evaluation_fails_the_gate(api, http, new_model):
    model = await new_model()
    await put(http, BASE_MODEL, gate=GATE)
    message = (await put(http, model)).json()["error"]["message"]
    assert message.count("No evaluation of the model is completed.") == 1
    assert "POST /v1/fine_tuning/jobs/ftjob-1/evaluation" in message
    await put(http, model, force=True)
    failed = (await history(http))[0]["failed_conditions"]
    assert [(one["key"], one["measured"]) for one in failed] == [(key, None) for key in GATE]
    # The figures of another project's model of the same name would not count.
    await api.app.state.projects.create("other")
    await evaluate(api, model, "other", **GOOD)
    await put(http, BASE_MODEL)
    assert (await put(http, model)).status_code == 409
    await evaluate(api, model, **GOOD)
    assert (await put(http, model)).status_code == 200


async def test_a_figure_that_was_not_measured_fails(api, http, new_model):
    model = await new_model()
    await evaluate(api, model, chrf_gain=31.0)
    message = (await put(http, model, gate=GATE)).json()["error"]["message"]
    assert "The evaluation did not measure 'memorized'; it measured chrf_gain" in message
    assert "No evaluation" not in message


async def test_a_checkpoint_fails_with_its_own_reason(http, new_model):
    name = await new_model(name=f"ft:{BASE_MODEL}:acme:x:abc123:ckpt-step-5")
    refused = await put(http, name, gate=GATE)
    assert refused.status_code == 409
    assert "The checkpoint was not evaluated" in refused.json()["error"]["message"]
    assert (await put(http, name, gate=GATE, force=True)).status_code == 200


async def test_base_models_pass_and_unknown_models_are_not_found(http):
    assert (await put(http, BASE_MODEL, gate=GATE)).status_code == 200
    unknown = await put(http, f"ft:{BASE_MODEL}:acme:x:zzzzzz")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_gate_is_kept_changed_and_removed_and_is_no_target_of_rollback(
    api, http, new_model
):
    first, second = await new_model(), await new_model()
    await evaluate(api, second, **BAD)
    old = (await put(http, first)).json()
    await put(http, second)
    gated = await put(http, second, gate=GATE)  # the targets stay: the gate is for later changes
    assert (gated.status_code, gated.json()["gate"]) == (200, GATE)
    assert gated.json()["generation"] == 3
    assert (await put(http, second, gate=GATE)).json() == gated.json()
    assert (await put(http, second)).json() == gated.json()
    assert (await http.put(NAME, json={"model": second, "gate": None})).json() == gated.json()
    newest = (await history(http))[0]
    assert newest["previous_targets"] == newest["targets"]
    back = await http.post(NAME + "/rollback")
    assert (back.status_code, back.json()["targets"]) == (200, old["targets"])
    assert back.json()["gate"] == GATE
    # Forward again to a model that fails: a rollback is not blocked.
    again = await http.post(NAME + "/rollback")
    assert again.json()["targets"] == [{"model": second, "weight": 100}]
    assert (await history(http))[0]["forced"] is False
    removed = await put(http, second, gate={})
    assert removed.json()["gate"] == {}
    assert (await put(http, first)).status_code == 200


async def test_a_change_of_the_gate_alone_cannot_be_rolled_back(http):
    await put(http, BASE_MODEL)
    await put(http, BASE_MODEL, gate=GATE)
    refused = await http.post(NAME + "/rollback")
    assert refused.json()["error"]["code"] == "invalid_state"


async def test_a_changed_gate_has_a_new_etag(http):
    seen = (await put(http, BASE_MODEL)).headers["etag"]
    await put(http, BASE_MODEL, gate=GATE)
    late = await http.put(NAME, json={"model": BASE_MODEL, "gate": {}}, headers={"if-match": seen})
    assert late.json()["error"]["code"] == "precondition_failed"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"gate": {"chrf_gian": ">=5"}}, "Did you mean 'chrf_gain'?"),
        ({"gate": {"chrf_gain": "5"}}, "such as '>=5'"),
        ({"gate": {"chrf_gain": 5}}, "string"),
        ({"gate": {"parity": "==0"}}, "'checked'"),
        ({"gate": {"chrf_gain": ">=" + "0" * 100}}, "64"),
        ({"gate": {f"k{n}": ">=1" for n in range(33)}}, "32"),
        ({"gate": ["chrf_gain>=5"]}, "gate"),
        ({"force": "yes"}, "force"),
    ],
)
async def test_a_gate_that_cannot_be_read_is_400(http, more, reason):
    answer = await put(http, BASE_MODEL, **more)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]["message"]
    assert len(answer.text) < 2000
    assert (await http.get(NAME)).status_code == 404


async def test_all_figures_of_a_jobs_evaluation_can_be_conditions(http):
    gate = {"gain": ">=5", "json_gain": ">=1", "wrong_language": "<=0.05", "label": ">50"}
    assert (await put(http, BASE_MODEL, gate=gate)).json()["gate"] == gate


async def test_records_from_before_gates_can_be_read(api, http, project_id):
    target = (Target(model=BASE_MODEL),)
    await api.app.state.aliases.put(project_id, "support", target, key_id="key_a")
    redis = api.app.state.redis
    aliases = api.app.state.registry.aliases
    raw = await redis.get(aliases.key(project_id, "support"))
    old = AliasRecord.model_validate_json(raw).model_dump_json(exclude={"gate"})
    await redis.set(aliases.key(project_id, "support"), old)
    raw = await redis.lindex(history_key(project_id, "support"), 0)
    old = Change.model_validate_json(raw).model_dump_json(exclude={"gate", "failed"})
    await redis.lset(history_key(project_id, "support"), 0, old)
    assert (await http.get(NAME)).json()["gate"] == {}
    (change,) = await history(http)
    assert (change["forced"], change["failed_conditions"], change["gate"]) == (False, [], {})


@pytest.fixture
def redis(api):
    return api.app.state.redis


async def test_gains_of_models_splits_and_base_models(api, http, redis, new_model):
    one, two, unmeasured = [await new_model() for _ in range(3)]
    await evaluate(api, one, gain=30.0)
    await evaluate(api, two, gain=-10.0)
    for name, targets in {
        "whole": [(one, 100)],
        "split": [(one, 75), (two, 25)],
        "canary": [(two, 10), (BASE_MODEL, 90)],
        "base": [(BASE_MODEL, 100)],
        "partly": [(one, 50), (unmeasured, 50)],
    }.items():
        shares = [{"model": model, "weight": weight} for model, weight in targets]
        assert (await http.put(f"/v1/aliases/{name}", json={"targets": shares})).status_code == 200
    assert await read_gains(redis, 10) == {
        ("acme", "whole"): 30,
        ("acme", "split"): 20,
        ("acme", "canary"): -1,
    }
    assert await read_gains(redis, 0) == {}


async def test_the_gauge_follows_changes_and_is_bounded(api, http, redis, new_model):
    state = api.app.state
    model, foreign = await new_model(), await new_model("other")
    await evaluate(api, model, gain=30.0)
    await evaluate(api, foreign, "other", gain=7.0)
    settings = api.settings.model_copy(update={"metrics_max_aliases": 2})
    reconciler = Reconciler(
        redis,
        state.jobs,
        state.files,
        Leases(redis, "me", lease_s=settings.lease_s),
        settings,
        Dispatcher(state.jobs, redis, settings),
        state.eraser,
    )

    async def shown(project: str, alias: str) -> float | None:
        await reconciler.once()
        labels = {"project": project, "alias": alias}
        return REGISTRY.get_sample_value("finetuned_alias_gain_points", labels)

    await http.put("/v1/aliases/team/support", json={"model": model})
    async with await api.client("other") as other:
        await other.put("/v1/aliases/team/support", json={"model": foreign})
    assert await shown("acme", "team/support") == 30
    assert await shown("other", "team/support") == 7
    await evaluate(api, model, gain=31.0)
    assert await shown("acme", "team/support") == 31
    await http.put("/v1/aliases/team/support", json={"model": BASE_MODEL})
    assert await shown("acme", "team/support") is None
    await http.post("/v1/aliases/team/support/rollback")
    assert await shown("acme", "team/support") == 31
    await http.delete("/v1/aliases/team/support")
    assert await shown("acme", "team/support") is None
    for name in ("a", "b", "c"):
        await http.put(f"/v1/aliases/{name}", json={"model": model})
    await reconciler.once()
    (family,) = [f for f in REGISTRY.collect() if f.name == "finetuned_alias_gain_points"]
    assert len(family.samples) == 2
