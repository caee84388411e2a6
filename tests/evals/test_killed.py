"""A worker process that is killed in the middle of a run, or whose lease is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from aiohttp import web

from service.core import ids, queue
from service.evals.records import Evals, ItemRow, RunRecord, RunStatus
from service.evals.tally import Tally
from service.inference.background.crew import WAITING
from service.work.records import AttemptSuperseded, WorkEnded
from tests.conftest import Api
from tests.evals.conftest import (
    DONE_S,
    Engine,
    ended,
    items,
    made,
    output_items,
    sampled,
    says,
    until,
)
from tests.killed_worker import killed_worker

pytestmark = pytest.mark.slow


async def test_kill_9_repeats_and_loses_no_item(
    http, eval_id, engine: Engine, work, settings, caplog
):
    async def reply(request: web.Request, body: dict[str, Any]) -> web.Response:
        await asyncio.sleep(0.05)
        question = body["messages"][-1]["content"].split()[-1]
        return says(request, body, f"A{question}")

    engine.reply = reply
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(300)))
    kept: dict[str, Any] = {}
    for done in (30, 80):
        async with killed_worker(
            settings, eval_requests_at_once=str(settings.eval_requests_at_once)
        ):
            await until(http, run, lambda run: run["result_counts"]["total"] >= done)  # noqa: B023
        kept |= {item["id"]: item for item in await output_items(http, run)}
    async with work("cpu"):
        run = await ended(http, run)
    assert run["status"] == "completed", run["error"]
    assert run["result_counts"] == {"total": 300, "passed": 200, "failed": 100, "errored": 0}
    assert run["per_testing_criteria_results"][0]["passed"] == 200
    assert run["per_model_usage"][0]["invocation_count"] == 300
    found = await output_items(http, run)
    assert sorted(item["datasource_item_id"] for item in found) == list(range(300))
    by_id = {item["id"]: item for item in found}
    assert {id_: by_id[id_] for id_ in kept} == kept  # written once
    # Each kill repeats at most what was in flight, or waited to be stored.
    asked = Counter(engine.questions)
    assert max(asked.values()) <= 3
    assert sum(asked.values()) <= 300 + 2 * (settings.eval_requests_at_once + WAITING)
    assert "Traceback" not in caplog.text


@pytest.fixture
async def run(http, eval_id, api: Api) -> RunRecord:
    shown = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(3)))
    project = await api.app.state.projects.by_name("acme")
    found = await api.app.state.evals.runs.get_run(project.id, eval_id, shown["id"])
    assert found is not None
    return found


async def test_an_attempt_that_was_given_up_writes_nothing(api: Api, run: RunRecord):
    evals: Evals = api.app.state.evals
    started = await evals.runs.change(run, lambda r: r.start(1))
    one = Tally(passed=1)
    rows = {0: ItemRow("pass", 1, "a1-x.jsonl", 0, 2)}
    await evals.runs.add_outcomes(started, lambda r: r.advance(one), rows)
    await evals.runs.change(run, lambda r: r.lose_attempt(3, 1))
    late = {1: ItemRow("pass", 1, "a1-x.jsonl", 0, 2)}
    for act in (
        lambda r: r.advance(one),
        lambda r: r.next_attempt(),
        lambda r: r.complete(1),
    ):
        with pytest.raises(AttemptSuperseded):
            await evals.runs.add_outcomes(started, act, late)
    after = await evals.runs.get_run(run.project_id, run.eval_id, run.id)
    assert after is not None
    assert (after.attempt, after.tally.done) == (2, 1)
    assert await evals.runs.finished_items(run) == {0}


async def test_a_run_that_kills_its_workers_fails_in_the_end(
    api: Api, run: RunRecord, reconciler, http
):
    evals: Evals = api.app.state.evals
    for attempt in (1, 2, 3):
        await evals.runs.change(run, lambda r: r.start(1))
        await _taken(api, run, attempt)
        async with asyncio.timeout(DONE_S):
            while True:
                await reconciler.once()
                current = await evals.runs.get_run(run.project_id, run.eval_id, run.id)
                assert current is not None
                if current.attempt > attempt or current.status is RunStatus.FAILED:
                    break
                await asyncio.sleep(0.1)
    shown = (await http.get(f"/v1/evals/{run.eval_id}/runs/{run.id}")).json()
    assert (shown["status"], shown["error"]["code"]) == ("failed", RunRecord.work.interrupted)
    assert current is not None
    assert current.attempt == 3


async def _taken(api: Api, run: RunRecord, attempt: int) -> None:
    """What a worker leaves in Redis that took an attempt and was killed."""
    from arq.constants import in_progress_key_prefix

    mark = in_progress_key_prefix + queue.task_id("run_eval", run.subject, attempt)
    await api.app.state.redis.set(mark, b"1")


def test_the_state_machine():
    run = RunRecord(
        id=ids.new(ids.EVAL_RUN),
        project_id="proj_a",
        created_at=1,
        eval_id="eval_a",
        key_id="key_a",
        name="",
        metadata={},
        data_source={"source": {"type": "file_id", "id": "file-a"}},
        model=None,
    )
    started = run.start(100)
    assert started.estimated_finish(101) is None
    counted = started.model_copy(update={"items": 10})
    some = counted.advance(Tally(passed=1, failed=1))
    assert some.estimated_finish(110) == 150  # 5 s an item, 8 items to go
    with pytest.raises(ValueError, match="2 of 10 items"):
        some.complete(120)
    second = some.next_attempt().start(200)
    assert (second.started_at, second.attempt_started_with) == (100, 2)
    assert second.estimated_finish(210) is None
    whole = second.advance(Tally(passed=7, errored=1))
    done = whole.complete(220)
    assert (done.status, done.finished_at) == (RunStatus.COMPLETED, 220)
    with pytest.raises(WorkEnded):
        done.cancel(221)
    with pytest.raises(AttemptSuperseded):
        done.require_attempt(done)
    lost = started.lose_attempt(3, 101)
    assert (lost.attempt, lost.fruitless_attempts, lost.status) == (2, 1, RunStatus.IN_PROGRESS)
    assert lost.lose_attempt(2, 101).status is RunStatus.FAILED
