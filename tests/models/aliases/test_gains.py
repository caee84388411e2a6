"""Tests of the gauge of gains: which aliases it shows, and that it is bounded and current."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from service.core.leases import Leases
from service.jobs.dispatch import Dispatcher
from service.models.aliases.gates import read_gains
from service.worker.reconciler import Reconciler
from tests.conftest import BASE_MODEL
from tests.models.aliases.conftest import evaluate


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
