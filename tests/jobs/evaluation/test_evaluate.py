"""The evaluation of a finished job: a real worker, Valkey and storage; the engine is scripted."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import httpx
import pytest

from service.core import clock, ids, queue
from service.jobs.evaluation.records import (
    Evaluations,
    EvaluationStatus,
    GateOutcome,
    JobEvaluation,
)
from service.jobs.records import CheckpointRecord, JobRecord, Jobs, Status
from service.projects.records import Role
from service.verdict.comparison import Comparison
from service.work.records import AttemptSuperseded
from tests.conftest import BASE_MODEL, Api, chat_line, checked, upload
from tests.jobs.evaluation.conftest import TUNED, ScriptedEngine, tuned_model
from tests.metrics.samples import current, value
from tests.quota import leave_room

pytestmark = pytest.mark.slow

JOBS = "/v1/fine_tuning/jobs"
WORDS = ["anchor", "beacon", "cedar", "dragon", "ember", "falcon"]


def rows(start: int, count: int) -> bytes:
    """Questions about numbers, answered in a voice."""
    return "\n".join(
        chat_line(question(i), voiced(i)) for i in range(start, start + count)
    ).encode()


def question(i: int) -> str:
    return f"What do you say about the {WORDS[i % 6]} of room {i}?"


def voiced(i: int) -> str:
    return f"Ahoy there, sailor! The {WORDS[i % 6]} gleams under the lamp of our harbor tonight."


@pytest.fixture
def data() -> tuple[bytes, bytes]:
    """The training file and the validation file of the job."""
    return rows(0, 40), rows(60, 30)


@pytest.fixture
async def job(api: Api, http, engine: ScriptedEngine, work, data) -> JobRecord:
    """A job that succeeded, whose model an engine serves."""
    api.settings.upstreams = {BASE_MODEL: engine.url}
    engine.answers = {question(i): voiced(i) for i in range(60, 90)}
    files = []
    async with work("cpu"):
        for content in data:
            made = (await upload(http, content)).json()
            files.append((await checked(http, made["id"]))["id"])
    project = (await api.app.state.projects.by_name("acme")).id
    record = JobRecord(
        id=ids.new(ids.JOB),
        project_id=project,
        project_name="acme",
        created_at=clock.now_s(),
        model=BASE_MODEL,
        training_file=files[0],
        validation_file=files[1],
        suffix=None,
        seed=7,
        metadata=None,
        hyperparameters={},
        model_tag="tag",
        status=Status.SUCCEEDED,
        fine_tuned_model=TUNED,
        key_id="key_of_the_job",
    )
    return await api.app.state.jobs.create(record)


@pytest.fixture
async def evaluation(api: Api, job: JobRecord) -> JobEvaluation:
    """The evaluation of the job, as its success wrote it."""
    made = JobEvaluation(
        id=job.id,
        project_id=job.project_id,
        created_at=clock.now_s(),
        model=TUNED,
        artifact=f"{job.project_id}/jobs/{job.id}/a1/adapter",
    )
    model = tuned_model(job.project_id, job_id=job.id, artifact=made.artifact)
    await api.app.state.registry.register(model)
    async with api.app.state.redis.pipeline(transaction=True) as pipe:
        Evaluations(api.app.state.redis).add(pipe, made)
        await pipe.execute()
    return made


async def ended(http, job_id: str) -> dict[str, Any]:
    """The evaluation once it has ended."""
    async with asyncio.timeout(120):
        while True:
            found = (await http.get(f"{JOBS}/{job_id}/evaluation")).json()
            if found["status"] != "in_progress":
                return found
            await asyncio.sleep(0.05)


@pytest.fixture
async def completed(http, evaluation, work) -> dict[str, Any]:
    async with work("cpu"):
        return await ended(http, evaluation.id)


async def test_a_voice_that_was_learned_is_to_be_served(
    completed, http, engine: ScriptedEngine, api: Api
):
    """One evaluation, and everything that it leaves behind, up to its deletion."""
    verdict_is_to_serve(completed)
    await report_has_every_row_with_three_answers(completed, http)
    assert {body["priority"] for body in engine.seen} == {10}, "requests of users come first"
    await requests_count_once_as_usage_of_the_jobs_key(engine, api)
    await events_of_the_job_report_the_progress(completed, http)
    await deleted_model_takes_its_evaluation_with_it(completed, http)


def verdict_is_to_serve(completed: dict[str, Any]) -> None:
    assert completed["status"] == "completed", completed
    assert completed["rows"] == 30
    assert completed["phase"] is None
    verdict = completed["verdict"]
    assert verdict["kind"] == "serve", verdict
    assert verdict["sentence"].startswith("Serve it: tuned beats")
    assert (verdict["code"], verdict["figures"]["rows"]) == ("tuned_is_better", 30)
    assert "30 rows" in verdict["sentence"]
    assert {"metric", "mean", "low", "high", "n"} <= verdict["differences"][0].keys()
    figures = completed["figures"]
    assert figures["chrf_gain"] > 30
    assert figures["parity"] == "unchecked"
    assert figures.keys() >= {"chrf", "chrf_gain_over_prompt", "forgetting", "memorized"}


def loss_of(comparison: Comparison, column: str) -> float:
    found = comparison.column(column)
    assert found is not None
    assert found.loss is not None
    return found.loss


async def report_has_every_row_with_three_answers(
    completed: dict[str, Any], http: httpx.AsyncClient
) -> None:
    url = f"{JOBS}/{completed['job_id']}/evaluation/report"
    answer = await http.get(url)
    comparison = Comparison.from_json(answer.content)
    assert [column.name for column in comparison.columns] == ["base", "prompt", "tuned"]
    assert loss_of(comparison, "tuned") < loss_of(comparison, "base")
    assert len(comparison.rows) == 30
    assert all(row.answers.keys() == {"base", "prompt", "tuned"} for row in comparison.rows)
    first = comparison.rows[0]
    assert first.reference == first.answers["tuned"].text == voiced(60)
    assert first.answers["tuned"].scores["chrf"] == pytest.approx(1.0)
    assert comparison.train_rows == 40
    assert comparison.forgetting is not None
    assert comparison.forgetting.rows >= 12
    assert comparison.memorization is not None
    assert comparison.memorization.rows_probed > 0
    assert comparison.retrieval is not None
    assert comparison.retrieval.rows == 30
    page = await http.get(url, params={"format": "html"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox" in page.headers["content-security-policy"]
    assert "Serve it" in page.text
    assert "Serve it" in (await http.get(url, params={"format": "md"})).text


async def requests_count_once_as_usage_of_the_jobs_key(engine: ScriptedEngine, api: Api) -> None:
    """The worker reports its usage when it stops."""
    async with await api.client(role=Role.ADMIN) as admin:
        url = "/v1/organization/usage/completions"
        query: dict[str, Any] = {
            "start_time": clock.now_s() - 86400,
            "group_by": "api_key_id",
            "bucket_width": "1d",
        }
        buckets = (await admin.get(url, params=query)).json()["data"]
    results = [result for bucket in buckets for result in bucket["results"]]
    assert {result["api_key_id"] for result in results} == {"key_of_the_job"}
    assert sum(result["num_model_requests"] for result in results) == len(engine.seen)


async def events_of_the_job_report_the_progress(
    completed: dict[str, Any], http: httpx.AsyncClient
) -> None:
    found = (await http.get(f"{JOBS}/{completed['job_id']}/events")).json()["data"]
    assert [event["message"] for event in reversed(found)] == [
        "Evaluation: started on 30 held-out rows",
        "Evaluation: base model answered 30 of 30 rows",
        "Evaluation: tuned model answered 30 of 30 rows",
        "Evaluation: base model with the best prompt answered 30 of 30 rows",
        f"Evaluation: {completed['verdict']['sentence']}",
    ]
    assert found[-2]["data"] == {
        "code": "evaluation", "column": "base", "answered": 30, "rows": 30
    }  # fmt: skip


async def deleted_model_takes_its_evaluation_with_it(
    completed: dict[str, Any], http: httpx.AsyncClient
) -> None:
    deleted = await http.delete(f"/v1/models/{TUNED}")
    assert deleted.status_code == 200
    gone = await http.get(f"{JOBS}/{completed['job_id']}/evaluation/report")
    assert gone.status_code == 404
    assert gone.json()["error"]["code"] == "evaluation_not_found"


async def test_an_earlier_checkpoint_that_is_better_is_named(
    evaluation, http, engine, api: Api, work
):
    """Of three checkpoints, one was deleted and one is like the base model."""
    engine.ignorant |= {TUNED, f"{TUNED}:ckpt-step-4"}
    registry = api.app.state.registry
    await registry.models.update(
        evaluation.project_id, TUNED, lambda model: model.model_copy(update={"step": 16})
    )
    for step, loss in ((4, 2.0), (8, 1.0), (12, 1.5), (16, 1.8)):
        record = CheckpointRecord(
            id=f"{ids.CHECKPOINT}{step}",
            project_id=evaluation.project_id,
            created_at=clock.now_s(),
            job_id=evaluation.id,
            attempt=1,
            step=step,
            model=f"{TUNED}:ckpt-step-{step}",
            adapter=f"a1/step-{step}/adapter",
            state=f"a1/step-{step}/state",
            metrics={"full_valid_loss": loss},
        )
        await api.app.state.jobs.checkpoints(evaluation.id).create(record)
        if step != 12:
            model = tuned_model(record.project_id, id=record.model, step=step, checkpoint=True)
            await registry.register(model)
    async with work("cpu"):
        found = await ended(http, evaluation.id)
    assert found["status"] == "completed", found
    assert found["verdict"]["kind"] == "overfit"
    assert found["verdict"]["sentence"].startswith("Overfit: ckpt-step-8 beats the final model by")
    assert "Serve ckpt-step-8 instead" in found["verdict"]["recommendation"]
    url = f"{JOBS}/{evaluation.id}/evaluation/report"
    comparison = Comparison.from_json((await http.get(url)).content)
    names = [column.name for column in comparison.columns]
    assert names == ["base", "prompt", "tuned", "ckpt-step-4", "ckpt-step-8"]
    best = comparison.column("ckpt-step-8")
    assert best is not None
    assert best.step == 8
    assert loss_of(comparison, "ckpt-step-8") < loss_of(comparison, "tuned")
    for form in ("html", "md"):
        assert "ckpt-step-8" in (await http.get(url, params={"format": form})).text
    alias = {"model": f"{TUNED}:ckpt-step-8", "gate": {"chrf_gain": ">=5"}}
    assert (await http.put("/v1/aliases/support", json=alias)).status_code == 200
    alias["model"] = f"{TUNED}:ckpt-step-4"
    assert (await http.put("/v1/aliases/support", json=alias)).status_code == 409


@pytest.mark.parametrize(
    ("gate", "failed", "message"),
    [
        ({"chrf_gain": ">=5", "memorized": "==0"}, [], "Evaluation: the gate passed"),
        (
            {"chrf_gain": ">=5", "parity": "checked", "exact": ">=1"},
            [("parity", "unchecked"), ("exact", None)],
            "Evaluation: the gate failed: parity is unchecked, not checked; The evaluation did not",
        ),
    ],
)
async def test_the_gate_of_the_job_is_checked(
    evaluation, http, api: Api, work, gate, failed, message
):
    jobs = api.app.state.jobs
    await jobs.change(
        evaluation.project_id, evaluation.id, lambda job: job.model_copy(update={"gate": gate})
    )
    assert (await http.get(f"{JOBS}/{evaluation.id}")).json()["gate"] == gate
    async with work("cpu"):
        found = (await ended(http, evaluation.id))["gate"]
    assert (found["conditions"], found["passed"]) == (gate, not failed)
    assert [(one["key"], one["measured"]) for one in found["failed_conditions"]] == failed
    event = (await http.get(f"{JOBS}/{evaluation.id}/events")).json()["data"][0]
    assert event["message"].startswith(message)
    assert event["level"] == ("warn" if failed else "info")


async def test_a_stopping_worker_hands_the_evaluation_back(
    evaluation, http, engine, api: Api, work
):
    """The engine holds all requests back, and the worker still ends."""
    engine.go.clear()
    async with asyncio.timeout(60), work("cpu"):
        while not engine.waiting:
            await asyncio.sleep(0.005)
    current = await Evaluations(api.app.state.redis).get(evaluation.project_id, evaluation.id)
    assert current is not None
    assert (current.attempt, current.status) == (2, EvaluationStatus.IN_PROGRESS)
    queued = await api.app.state.redis.zrange(queue.EVALS, 0, -1)
    assert queued == [f"evaluate_job:{evaluation.subject}:2".encode()]
    engine.go.set()
    async with work("cpu"):
        assert (await ended(http, evaluation.id))["status"] == "completed"


async def test_unfinished_evaluations_are_counted(evaluation, engine, http, work):
    engine.go.clear()

    async def counted(number: int) -> None:
        async with asyncio.timeout(60):
            while value(current(), "job_evaluations_unfinished") != number:
                await asyncio.sleep(0.05)

    async with work("cpu"):
        await counted(1)
        engine.go.set()
        assert (await ended(http, evaluation.id))["status"] == "completed"
        await counted(0)


async def test_an_attempt_that_was_given_up_ends(evaluation, engine, api: Api, work):
    """The engine holds all requests back, and another worker takes over."""
    engine.go.clear()
    async with asyncio.timeout(60), work("gpu") as worker:  # takes no evaluations by itself
        run = worker._tasks.evaluate_job.run({}, evaluation.project_id, evaluation.subject, 1)
        task = asyncio.create_task(run)
        while not engine.waiting:
            await asyncio.sleep(0.005)
        await Evaluations(api.app.state.redis).restart(evaluation)
        await task
    assert engine.seen == []
    engine.go.set()


async def test_a_continued_evaluation_asks_for_missing_columns_alone(
    evaluation, http, engine, work
):
    """The task is cut off once the tuned model has answered; another worker continues."""
    async with work("gpu") as worker:  # takes no evaluations by itself
        run = worker._tasks.evaluate_job.run
        await run({}, evaluation.project_id, evaluation.subject, 2)
        assert engine.seen == []  # nobody started this attempt
        task = asyncio.create_task(run({}, evaluation.project_id, evaluation.subject, 1))
        async with asyncio.timeout(60):
            while engine.continuations == 0:
                await asyncio.sleep(0.005)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert engine.asked[TUNED] >= 30
    engine.seen.clear()
    async with work("cpu"):
        assert (await ended(http, evaluation.id))["status"] == "completed"
    held_out = {question(i) for i in range(60, 90)}
    again = [b["messages"][-1]["content"] for b in engine.seen if "messages" in b]
    assert not held_out.intersection(again), "a stored column was asked again"


async def test_an_engine_that_is_away_fails_the_evaluation_which_can_run_again(
    evaluation, http, engine, api: Api, work
):
    api.settings.eval_engine_patience_s = 0.2
    engine.failures = [503] * 10_000
    async with work("cpu"):
        failed = await ended(http, evaluation.id)
        assert failed["status"] == "failed"
        assert failed["error"]["code"] == "engine_unavailable"
        refused = await http.get(f"{JOBS}/{evaluation.id}/evaluation/report")
        assert refused.status_code == 409
        engine.failures.clear()
        again = await http.post(f"{JOBS}/{evaluation.id}/evaluation")
        assert again.json()["status"] == "in_progress"
        conflict = await http.post(f"{JOBS}/{evaluation.id}/evaluation")
        assert conflict.json()["error"]["code"] == "invalid_state"
        assert (await ended(http, evaluation.id))["status"] == "completed"


async def test_a_base_model_without_an_engine_is_skipped(evaluation, http, api: Api, work):
    api.settings.upstreams = {}
    async with work("cpu"):
        skipped = await ended(http, evaluation.id)
    assert skipped["status"] == "skipped"
    assert skipped["error"]["code"] == "model_not_served"


async def test_a_deleted_validation_file_is_a_clear_error(evaluation, job, http, work):
    await http.delete(f"/v1/files/{job.validation_file}")
    async with work("cpu"):
        found = await ended(http, evaluation.id)
    assert (found["status"], found["error"]["code"]) == ("failed", "file_not_found")
    assert job.validation_file in found["error"]["message"]


async def test_without_its_training_file_a_job_is_compared_with_the_base_alone(
    evaluation, job, http, work
):
    await http.delete(f"/v1/files/{job.training_file}")
    async with work("cpu"):
        found = await ended(http, evaluation.id)
    assert found["status"] == "completed", found
    comparison = (await http.get(f"{JOBS}/{job.id}/evaluation/report")).json()
    assert [column["name"] for column in comparison["columns"]] == ["base", "tuned"]
    assert "The training file was deleted" in json.dumps(comparison["notes"])


async def test_a_model_deleted_in_the_meantime_leaves_nothing_stored(
    evaluation, http, engine, api: Api, work
):
    async with work("cpu"):
        async with asyncio.timeout(60):
            while engine.continuations == 0:
                await asyncio.sleep(0.005)
        assert (await http.delete(f"/v1/models/{TUNED}")).status_code == 200
        found = await ended(http, evaluation.id)
    assert (found["status"], found["error"]["code"]) == ("skipped", "model_not_found")
    assert await api.app.state.storage.keys(evaluation.artifact) == []


async def test_a_job_without_an_evaluation_is_404(job, http):
    answer = await http.get(f"{JOBS}/{job.id}/evaluation")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "evaluation_not_found"
    assert "validation_file" in answer.json()["error"]["message"]


async def test_an_ended_evaluation_is_never_changed_by_an_old_attempt(api: Api, evaluation):
    store = Evaluations(api.app.state.redis)
    await store.restart(evaluation)
    with pytest.raises(AttemptSuperseded):
        await store.change_own(evaluation, lambda old: old.end(EvaluationStatus.COMPLETED, 1))
    current = await store.get(evaluation.project_id, evaluation.id)
    assert current is not None
    assert (current.attempt, current.status) == (2, EvaluationStatus.IN_PROGRESS)


@pytest.mark.parametrize("is_good", [True, False])
async def test_a_judge_decides_about_texts_if_it_is_good_enough(
    evaluation, http, engine, api: Api, work, is_good: bool
):
    """One judge looks for the word of the question; the other always takes the first answer."""

    def prefer(asked: str, first: str, second: str) -> str:
        word = next((word for word in WORDS if word in asked), "-")
        return "1" if word in first or not is_good else "2" if word in second else "tie"

    api.settings.evaluation_judge, engine.judge = BASE_MODEL, prefer
    async with work("cpu"):
        found = await ended(http, evaluation.id)
    assert found["status"] == "completed", found
    sentence, figures = found["verdict"]["sentence"], found["figures"]
    note = (await http.get(f"{JOBS}/{evaluation.id}/evaluation/report")).json()["notes"][0]
    if is_good:
        assert "points of preference by the judge" in sentence
        assert (figures["judge"], figures["judge_gain"]) == (50.0, 50.0)
        assert note.startswith(f"The judge {BASE_MODEL} decided, asked in both orders: it prefe")
    else:
        assert "chrF" in sentence
        assert "judge" not in figures
        assert note.startswith(f"chrF decided: the judge {BASE_MODEL} is hardly better")


async def test_labels_of_people_calibrate_the_judge_of_the_next_evaluation(
    completed, http, engine, api: Api, work
):
    url = f"{JOBS}/{completed['job_id']}/evaluation"
    async with await api.client() as colleague:
        for line in range(1, 13):
            label = {"compared": ["base", "tuned"], "winner": "tuned" if line > 2 else "tie"}
            for person in (http, colleague):
                answer = await person.put(f"{url}/labels/{line}", json=label)
                assert answer.status_code == 200
    api.settings.evaluation_judge = BASE_MODEL
    engine.judge = lambda _, first, second: "1" if "Ahoy" in first else "2"
    async with work("cpu"):
        assert (await http.post(url)).json()["human_review"] is None
        again = await ended(http, completed["job_id"])
    note = (await http.get(f"{url}/report")).json()["notes"][0]
    assert note == (
        f"The judge {BASE_MODEL} decided, asked in both orders: it agreed with people on 10 of 10 "
        "pairs of answers."
    ), "a row counts once"
    assert again["human_review"]["labels"] == 24, "the answers are the same"
    assert again["human_review"]["agreement"]["metric"] == "judge"


class TestRowsThatCannotJudge:
    """Held-out rows of which three are training rows, of a job that keeps its best checkpoint."""

    @pytest.fixture
    def data(self) -> tuple[bytes, bytes]:
        copies = rows(3, 3).replace(b"What do", b"WHAT  do")
        return rows(0, 40), rows(60, 30) + b"\n" + copies

    async def test_they_are_left_out_and_counted(self, evaluation, http, api: Api, work):
        jobs = api.app.state.jobs
        old = await self._result(evaluation, http, jobs, work, keeps_test_rows=False)
        assert (old["status"], old["rows"]) == ("completed", 30)
        assert {
            "3 held-out rows that the training data contains, exactly or nearly, were left out.",
            "The checkpoint was chosen by its loss on these rows, so the gain is "
            "overstated. Train again: new jobs keep half of the held-out rows apart.",
        } <= set(old["verdict"]["warnings"])
        url = f"{JOBS}/{evaluation.id}/evaluation"
        await http.post(url, json={"baseline_prompt": "Yo."})
        new = await self._result(evaluation, http, jobs, work, keeps_test_rows=True)
        assert new["status"] == "completed"
        assert 13 <= new["rows"] <= 16
        assert "overstated" not in json.dumps(new["verdict"]["warnings"])
        report = (await http.get(f"{url}/report")).json()
        assert report["notes"][0] == (
            "17 more held-out rows chose the checkpoint, so they were not evaluated."
        )
        # The base model says the same to every prompt, and the user's own is the shortest.
        assert report["columns"][1]["system_prompt"] == "Yo."
        assert report["columns"][1]["is_baseline"]

    async def _result(self, evaluation, http, jobs, work, **fields: bool) -> dict[str, Any]:
        def change(job: JobRecord) -> JobRecord:
            chosen = job.hyperparameters.model_copy(update={"keep_best": True})
            return job.model_copy(update={"hyperparameters": chosen, **fields})

        await jobs.change(evaluation.project_id, evaluation.id, change)
        async with work("cpu"):
            return await ended(http, evaluation.id)


TOOL = {
    "type": "function",
    "function": {
        "name": "open_room",
        "parameters": {"type": "object", "properties": {"room": {"type": "integer"}}},
    },
}


def tool_call(i: int) -> dict[str, Any]:
    function = {"name": "open_room", "arguments": json.dumps({"room": i})}
    return {"id": "c1", "type": "function", "function": function}


def tool_row(i: int) -> str:
    messages = [
        {"role": "user", "content": f"Open room {i}, please, and be quick."},
        {"role": "assistant", "content": None, "tool_calls": [tool_call(i)]},
    ]
    return json.dumps({"messages": messages, "tools": [TOOL]})


class TestRowsWithTools:
    """Rows that call tools, and a few that answer with text."""

    @pytest.fixture
    def data(self) -> tuple[bytes, bytes]:
        called = ["\n".join(map(tool_row, places)) for places in (range(40), range(60, 80))]
        said = [rows(0, 10), rows(60, 6)]
        training, validation = (
            one.encode() + b"\n" + other for one, other in zip(called, said, strict=True)
        )
        return training, validation

    @pytest.fixture
    async def calls(self, engine: ScriptedEngine) -> ScriptedEngine:
        engine.calls = {
            f"Open room {i}, please, and be quick.": tool_call(i) for i in range(60, 80)
        }
        return engine

    @pytest.mark.parametrize("parser", [True, False])
    async def test_calls_are_compared_in_all_columns(
        self, calls, evaluation, http, work, parser: bool
    ):
        calls.tool_parser = parser
        async with work("cpu"):
            found = await ended(http, evaluation.id)
        assert found["status"] == "completed", found
        assert found["rows"] == 26
        assert found["verdict"]["kind"] == "serve", found["verdict"]
        figures = found["figures"]
        assert (figures["tool_call"], figures["tool_call_gain"]) == (100.0, 100.0)
        assert figures["chrf_gain"] > 30
        url = f"{JOBS}/{evaluation.id}/evaluation/report"
        comparison = Comparison.from_json((await http.get(url)).content)
        assert loss_of(comparison, "tuned") < loss_of(comparison, "base")
        called, said = comparison.rows[0], comparison.rows[-1]
        assert json.loads(called.reference)["name"] == "open_room"
        assert "open_room" in called.answers["tuned"].full_text
        assert called.answers["tuned"].scores == {"tool_call": 1.0}
        assert called.answers["base"].scores == {"tool_call": 0.0}
        assert said.answers["tuned"].scores.keys() == {"chrf"}
        asked = [b for b in calls.seen if b["messages"][-1]["content"].startswith("Open room 60")]
        assert {b["model"] for b in asked} == {BASE_MODEL, TUNED}
        assert all(b["tools"] == [TOOL] for b in asked)
        assert "open_room" in (await http.get(url, params={"format": "html"})).text

    async def test_unreadable_calls_are_left_out_with_the_reason(
        self, calls, evaluation, http, work
    ):
        calls.tool_parser, calls.call_format = False, "{name}()"
        async with work("cpu"):
            found = await ended(http, evaluation.id)
        assert (found["status"], found["rows"]) == ("completed", 6), found
        assert "tool_call" not in found["figures"]
        comparison = (await http.get(f"{JOBS}/{evaluation.id}/evaluation/report")).json()
        assert "20 held-out rows use tools and were left out" in json.dumps(comparison["notes"])


async def test_an_evaluation_beyond_the_quota_fails_clearly(http, api: Api, job, evaluation, work):
    await leave_room(api, 1000)
    async with work("cpu"):
        found = await ended(http, job.id)
        assert (found["status"], found["error"]["code"]) == ("failed", "quota_exceeded")
        assert "storage quota" in found["error"]["message"]
        assert (await http.get(f"/v1/models/{TUNED}")).status_code == 200


OUTCOME: dict[str, Any] = {
    "verdict": {"sentence": "The tuned model is better."},
    "gate": GateOutcome(conditions={"exact": ">=1"}, failed=()),
}


@pytest.mark.parametrize("status", [EvaluationStatus.FAILED, EvaluationStatus.SKIPPED])
async def test_an_earlier_gate_is_not_reported_when_a_restarted_evaluation_fails(
    api: Api, status: EvaluationStatus
):
    redis = api.app.state.redis
    store = Evaluations(redis)
    record = JobEvaluation(
        id="ftjob-gate", project_id="proj_a", created_at=1, model="m", artifact="a"
    )
    await store.create(record)
    first = await store.change_own(
        record, lambda now: now.end(EvaluationStatus.COMPLETED, 5, **OUTCOME)
    )
    again = await store.restart(first)
    await store.change_own(
        again,
        lambda now: now.give_up("model_not_served", "No engine.", 9).model_copy(
            update={"status": status}
        ),
    )
    events = await Jobs(redis).events_after("proj_a", record.id, None, 10)
    assert [event.message for event in events] == [
        "Evaluation: The tuned model is better.",
        "Evaluation: the gate passed",
        f"Evaluation: {status}: No engine.",
    ]
