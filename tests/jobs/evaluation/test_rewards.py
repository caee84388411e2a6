"""The evaluation of a job with a grader: rewards of base and tuned model on held-out prompts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.core import clock, ids
from service.jobs.evaluation.records import Evaluations, JobEvaluation
from service.jobs.records import JobRecord, Status
from service.verdict.comparison import Comparison
from tests.conftest import BASE_MODEL, Api, checked, upload

from .conftest import TUNED, ScriptedEngine, tuned_model
from .test_evaluate import JOBS, ended

pytestmark = pytest.mark.slow

RIGHT = {
    "type": "string_check",
    "name": "right",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}
SCORED = {
    "type": "python",
    "name": "scored",
    "source": "def grade(sample, item): return 4.0 * (sample['output_text'] == item['answer'])",
}


def prompts(start: int, count: int) -> bytes:
    rows = [
        {"messages": [{"role": "user", "content": f"{n} + 1?"}], "answer": str(n + 1)}
        for n in range(start, start + count)
    ]
    return "\n".join(map(json.dumps, rows)).encode()


async def made(api: Api, http, work, engine: ScriptedEngine, grader: dict[str, Any]) -> JobRecord:
    """A job whose tuned model knows the answers to the held-out prompts, except for two."""
    api.settings.upstreams = {BASE_MODEL: engine.url}
    engine.answers = {f"{n} + 1?": str(n + 1) for n in range(60, 88)}
    files = []
    async with work("cpu"):
        for content in (prompts(0, 20), prompts(60, 30)):
            file = (await upload(http, content)).json()
            files.append((await checked(http, file["id"]))["id"])
    state = api.app.state
    project = (await state.projects.by_name("acme")).id
    job = JobRecord(
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
        method="reinforcement",
        grader=grader,
        gate={"reward_gain": ">=50"},
        hyperparameters={
            "batch_size": 2,
            "n_epochs": 1,
            "learning_rate": 0.1,
            "beta": 0,
            "learning_rate_multiplier": 1,
            "max_seq_length": 256,
            "max_completion_tokens": 40,
            "lora": {"r": 8, "alpha": 16},
        },
        model_tag="tag",
        status=Status.SUCCEEDED,
        fine_tuned_model=TUNED,
        key_id="key_of_the_job",
    )
    job = await state.jobs.create(job)
    evaluation = JobEvaluation(
        id=job.id,
        project_id=project,
        created_at=clock.now_s(),
        model=TUNED,
        artifact=f"{project}/jobs/{job.id}/a1/adapter",
    )
    await state.registry.register(tuned_model(project, job_id=job.id, artifact=evaluation.artifact))
    async with state.redis.pipeline(transaction=True) as pipe:
        Evaluations(state.redis).add(pipe, evaluation)
        await pipe.execute()
    return job


@pytest.mark.parametrize("grader", [RIGHT, SCORED], ids=["binary", "points"])
async def test_the_jobs_grader_decides_the_verdict(api, http, work, engine, grader):
    job = await made(api, http, work, engine, grader)
    async with work("cpu"):
        found = await ended(http, job.id)
        body = (await http.get(f"{JOBS}/{job.id}/evaluation/report?format=json")).content
    assert found["status"] == "completed", found["error"]
    assert found["verdict"]["kind"] == "serve"
    assert "points of reward" in found["verdict"]["sentence"]
    assert found["figures"]["reward_gain"] == pytest.approx(100 * 28 / 30)
    assert found["gate"]["passed"] is True
    comparison = Comparison.from_json(body)
    assert [column.name for column in comparison.columns] == ["base", "tuned"]
    assert comparison.primary.kind == "binary"
    assert comparison.train_rows == 20
    is_scaled = any("from 0 to 4 are shown as 0 to 100" in note for note in comparison.notes)
    assert is_scaled == (grader is SCORED)
    asked = [body for body in engine.seen if body["max_tokens"] == 40]
    assert len(asked) == 60  # an answer may be as long as in the training
