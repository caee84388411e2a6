"""Tests of jobs with the method reinforcement: what is refused, and the plan."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import BASE_MODEL, checked
from tests.jobs.test_jobs import JOBS, create, until, upload
from tests.jobs.test_methods import SETTINGS, ended

GRADER = {
    "type": "string_check",
    "name": "right",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}
JUDGE = {
    "type": "score_model",
    "name": "judge",
    "model": BASE_MODEL,
    "input": [{"role": "user", "content": "Is {{sample.output_text}} {{item.answer}}?"}],
}


def prompts(n: int, **more: Any) -> bytes:
    rows = [
        {"messages": [{"role": "user", "content": f"{i} + 1?"}], "answer": str(i + 1), **more}
        for i in range(n)
    ]
    return "\n".join(map(json.dumps, rows)).encode()


def method(grader: dict[str, Any] | None = None, **hyperparameters: Any) -> dict[str, Any]:
    options = {"grader": grader or GRADER, "hyperparameters": hyperparameters}
    return {"type": "reinforcement", "reinforcement": options}


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ({"type": "reinforcement"}, 400, "needs a grader"),
        ({"type": "reinforcement", "reinforcement": {}}, 400, "grader"),
        (method(compute_multiplier=2), 400, "set group_size"),
        (method(reasoning_effort="high"), 400, "only supported as 'default'"),
        (method(group_size=1), 400, "group_size"),
        (method(packing=True), 400, "cannot be packed"),
        (method(max_completion_tokens=2048), 400, "leave no room for a prompt"),
        (method(max_completion_tokens=64, max_seq_length=64), 400, "leave no room for a prompt"),
        (method({**GRADER, "input": "{{sample.out"}), 400, "is not closed"),
        (method({**JUDGE, "model": "gone"}), 404, "The model 'gone' does not exist"),
    ],
)
async def test_what_cannot_be_trained_is_refused(http, asked, status, message):
    file_id = await upload(http, prompts(10))
    body = {"model": BASE_MODEL, "training_file": file_id, "method": asked}
    refused = await http.post(JOBS, json=body)
    error = refused.json()["error"]
    assert (refused.status_code, message in error["message"]) == (status, True), error
    assert error["param"].startswith("method")


async def test_a_job_has_its_grader_and_its_plan_counts_the_answers(http, work):
    """What only OpenAI has is taken with its default, and not kept."""
    asked = method(JUDGE, compute_multiplier="auto", reasoning_effort="default", batch_size=4)
    asked["reinforcement"]["hyperparameters"] |= {"max_completion_tokens": 100}
    async with work("cpu"):
        file_id = await upload(http, prompts(10))
        await checked(http, file_id)
        job = await create(http, file_id, method=asked)
        job = await until(http, job["id"], "queued")
        events = (await http.get(f"{JOBS}/{job['id']}/events")).json()["data"]
        body = {"model": BASE_MODEL, "training_file": file_id, "method": asked}
        made = (await http.post("/v1/fine_tuning/estimate", json=body)).json()
    options = job["method"]["reinforcement"]
    assert options["grader"] == JUDGE
    chosen = options["hyperparameters"]
    assert (chosen["group_size"], chosen["beta"], chosen["temperature"]) == (8, 0, 1)
    assert chosen["max_seq_length"] > 100
    assert "compute_multiplier" not in chosen
    told = " | ".join(event["message"] for event in events)
    assert "answers → 32 per step (4 prompts, 8 answers to each) of up to 100 tokens" in told
    assert made["trained_tokens"] > 10 * chosen["n_epochs"] * 8 * 100


async def test_a_grader_must_fit_the_rows(http, work):
    def reading(field: str) -> dict[str, Any]:
        part = {**GRADER, "reference": f"{{{{item.{field}}}}}"}
        return {"type": "multi", "name": "m", "graders": {"a": part}, "calculate_output": "a"}

    async with work("cpu"):
        half = prompts(5, hint="x") + b"\n" + prompts(5)
        file_id = await upload(http, half)
        gone = await create(http, file_id, method=method(reading("solution")))
        await checked(http, file_id)
        body = {"model": BASE_MODEL, "training_file": file_id}
        refused = await http.post(JOBS, json={**body, "method": method(reading("solution"))})
        some = await create(http, file_id, method=method(reading("hint")))
        error = (await until(http, gone["id"], "failed"))["error"]
        await until(http, some["id"], "queued")
        events = (await http.get(f"{JOBS}/{some['id']}/events")).json()["data"]
        chats = await upload(
            http,
            b'{"messages": [{"role": "user", "content": "a"}, '
            b'{"role": "assistant", "content": "b"}]}\n' * 10,
        )
        other = await create(http, chats, method=method())
        wrong = (await until(http, other["id"], "failed"))["error"]
    assert refused.status_code == 400
    assert refused.json()["error"] == {**error, "type": "invalid_request_error"}
    assert error["code"] == "invalid_grader"
    assert error["param"] == "method.reinforcement.grader.graders.a.reference"
    assert "reads 'item.solution', which none of the first 10 rows" in error["message"]
    assert any("'item.hint', which 5 of the first 10 rows" in one["message"] for one in events)
    assert "needs the reinforcement format" in wrong["message"]


@pytest.mark.slow
@pytest.mark.usefixtures("forked_trainers")
async def test_a_job_learns_from_the_rewards_of_its_grader(tiny, http, work):
    """Without an engine, the trainer samples the answers, and the worker grades them."""
    longest = {
        "type": "python",
        "name": "longest",
        "source": "def grade(sample, item): return len(sample['output_text']) / 100",
    }
    asked = method(longest, group_size=2, max_completion_tokens=8, validation_share=0.2, **SETTINGS)
    async with work("cpu", "gpu"):
        file_id = await upload(http, prompts(20))
        job, events = await ended(http, (await create(http, file_id, method=asked))["id"])
        (result,) = job["result_files"]
        table = (await http.get(f"/v1/files/{result}/content")).text
    assert job["status"] == "succeeded", job["error"]
    assert any(event["data"].get("code") == "trainer_samples" for event in events)
    steps = [event for event in events if event["type"] == "metrics"]
    assert all(step["data"]["train_reward_mean"] > 0 for step in steps)
    assert any(step["data"].get("valid_reward_mean", 0) > 0 for step in steps)
    assert "training reward=" in steps[0]["message"]
    assert table.splitlines()[0].endswith("train_reward_mean,valid_reward_mean")
    assert job["trained_tokens"] > 0
