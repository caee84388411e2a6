"""Webhook events of runs: written with the final status, once."""

from __future__ import annotations

import json

import pytest

from service.core.outbox import OUTBOX
from service.evals import lifecycle
from service.evals.records import Evals, RunFailure, RunRecord
from service.evals.tally import Tally
from tests.conftest import Api
from tests.evals.conftest import items, made, sampled

FAILURE = RunFailure(code="invalid_item", message="Line 1")


def complete(run: RunRecord) -> RunRecord:
    counted = lifecycle.advance(lifecycle.counted(run, 1, 1), 1, Tally(passed=1))
    return lifecycle.complete(counted, 1, 7)


@pytest.mark.parametrize(
    ("end", "event_type"),
    [
        (complete, "eval.run.succeeded"),
        (lambda run: lifecycle.fail(run, 1, FAILURE, 7), "eval.run.failed"),
        (lambda run: lifecycle.cancel(run, 7), "eval.run.canceled"),
    ],
)
async def test_the_end_of_a_run_is_one_event(http, eval_id, api: Api, end, event_type):
    shown = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(1)))
    project = await api.app.state.projects.by_name("acme")
    evals: Evals = api.app.state.evals
    run = await evals.get_run(project.id, eval_id, shown["id"])
    assert run is not None
    await evals.change(run, lambda r: lifecycle.start(r, 1, 1))
    redis = api.app.state.redis
    assert not await redis.exists(OUTBOX)
    await evals.change(run, end)
    await evals.change(run, lambda r: r.model_copy(update={"name": "again"}))
    (event,) = [json.loads(member) for member in await redis.zrange(OUTBOX, 0, -1)]
    assert (event["type"], event["subject_id"]) == (event_type, run.id)
    assert (event["project_id"], event["created_at"]) == (project.id, 7)
    assert event["id"] == "evt_" + run.id.removeprefix("evalrun_")
    assert await evals.unfinished() == []
