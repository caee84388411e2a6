"""Webhook events of runs: written with the final status, once."""

from __future__ import annotations

import json

import pytest

from service.core.outbox import OUTBOX
from service.evals.records import Evals, RunRecord
from service.evals.tally import Tally
from tests.conftest import Api
from tests.evals.conftest import items, made, sampled


def complete(run: RunRecord) -> RunRecord:
    counted = run.model_copy(update={"items": 1}).advance(Tally(passed=1))
    return counted.complete(7)


@pytest.mark.parametrize(
    ("end", "event_type"),
    [
        (complete, "eval.run.succeeded"),
        (lambda run: run.give_up("invalid_item", "Line 1", 7), "eval.run.failed"),
        (lambda run: run.cancel(7), "eval.run.canceled"),
    ],
)
async def test_the_end_of_a_run_is_one_event(http, eval_id, api: Api, end, event_type):
    shown = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(1)))
    project = await api.app.state.projects.by_name("acme")
    evals: Evals = api.app.state.evals
    run = await evals.runs.get_run(project.id, eval_id, shown["id"])
    assert run is not None
    await evals.runs.change(run, lambda r: r.start(1))
    redis = api.app.state.redis
    assert not await redis.exists(OUTBOX)
    await evals.runs.change(run, end)
    await evals.runs.change(run, lambda r: r.model_copy(update={"name": "again"}))
    (event,) = [json.loads(member) for member in await redis.zrange(OUTBOX, 0, -1)]
    assert (event["type"], event["subject_id"]) == (event_type, run.id)
    assert (event["project_id"], event["created_at"]) == (project.id, 7)
    assert event["id"] == "evt_" + run.id.removeprefix("evalrun_")
    assert await evals.runs.unfinished() == []
