"""Tests of the metrics of a job in buckets: no spike is lost, however long the training is."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from service.core import clock
from service.jobs import lifecycle
from service.jobs.attempt.progress import StepProgress
from service.jobs.metric_series import METRIC_NAMES, Figures, Point, divide, latest
from service.jobs.records import JobRecord, NewEvent
from service.jobs.result_files import remove_old_metrics, write_results
from service.training.contract.protocol import Started, StepDone
from tests.conftest import Api
from tests.jobs.running import running_job

_LONG = 100_000
_SPIKE_AT, _SPIKE = 54_321, 99.5


def step(number: int, total: int, loss: float, **more: float) -> StepDone:
    return StepDone(
        step=number,
        total_steps=total,
        train_loss=loss,
        train_mean_token_accuracy=0.5,
        learning_rate=1e-4,
        tokens_per_second=1000.0,
        trained_tokens=number * 10,
        **more,
    )


def events_of(total: int, *, spike_at: int | None = None, every_valid: int = 0) -> list[NewEvent]:
    """The metrics events of a training, as its worker writes them."""
    progress = StepProgress()
    progress.begin(
        Started(
            total_steps=total,
            examples=1,
            validation_examples=0,
            supervised_tokens=1,
            trainable_parameters=1,
            device="cpu",
            dtype="float32",
            resumed_step=0,
            adapter_path=None,
        )
    )
    found = []
    for number in range(1, total + 1):
        loss = _SPIKE if number == spike_at else 2.0 - number / total
        valid = {"valid_loss": 1.5} if every_valid and number % every_valid == 0 else {}
        done = step(number, total, loss, **valid)
        progress.advance(done)
        if progress.is_reported(done):
            data = done.model_dump(exclude={"type"}, exclude_none=True)
            data |= progress.interval.take()
            found.append(NewEvent(message="Step", type="metrics", data=data))
    return found


async def store(api: Api, events: list[NewEvent]) -> JobRecord:
    """A running job of project acme with these events."""
    jobs = api.app.state.jobs
    project = await api.app.state.projects.by_name("acme")
    job = await jobs.create(running_job(project.id), NewEvent(message='"type":"metrics"'))
    for first in range(0, len(events), 1000):
        some = events[first : first + 1000]
        await jobs.change(job.project_id, job.id, lambda j: j, events=lambda _, e=some: e)
    return job


async def read(http: httpx.AsyncClient, job: JobRecord, **query: Any) -> dict[str, Any]:
    answer = await http.get(f"/v1/fine_tuning/jobs/{job.id}/metrics", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_spike_among_100000_steps_is_in_one_answer(api: Api, http):
    events = events_of(_LONG, spike_at=_SPIKE_AT, every_valid=5000)
    assert len(events) == 2000
    job = await store(api, events)
    began = time.perf_counter()
    found = await read(http, job, buckets=500)
    print(f"{_LONG:,} steps in {1000 * (time.perf_counter() - began):.0f} ms")
    assert (found["first_step"], found["last_step"], found["steps_per_bucket"]) == (50, _LONG, 200)
    loss = found["metrics"]["train_loss"]
    assert [len(column) for column in loss.values()] == [500] * 5
    assert max(loss["max"]) == _SPIKE
    at = loss["max"].index(_SPIKE)
    assert loss["step"][at - 1] < _SPIKE_AT <= loss["step"][at]
    assert loss["last"][-1] == 1.0
    assert loss["min"][-1] == 1.0
    assert loss["mean"][0] == pytest.approx(2.0 - 100 / _LONG, abs=1e-3)
    assert found["metrics"]["valid_loss"]["step"] == list(range(5000, _LONG + 1, 5000))

    near = await read(http, job, from_step=54_000, to_step=55_000, metrics="train_loss")
    assert list(near["metrics"]) == ["train_loss"]
    assert (near["steps_per_bucket"], near["first_step"], near["last_step"]) == (3, 54_000, 55_000)
    assert max(near["metrics"]["train_loss"]["max"]) == _SPIKE
    assert len(near["metrics"]["train_loss"]["step"]) == 21


async def test_each_step_of_a_short_job_is_a_bucket(api: Api, http):
    job = await store(api, events_of(30, spike_at=7))
    found = await read(http, job)
    loss = found["metrics"]["train_loss"]
    assert loss["step"] == list(range(1, 31))
    assert loss["min"] == loss["max"] == loss["mean"] == loss["last"]
    assert loss["last"][6] == _SPIKE
    assert set(found["metrics"]) == {
        *("train_loss", "train_mean_token_accuracy", "learning_rate", "tokens_per_second"),
        "trained_tokens",
    }
    assert (await read(http, job, metrics=["train_loss", "learning_rate"]))["metrics"].keys() == {
        *("train_loss", "learning_rate")
    }


async def test_steps_that_were_trained_again_count_once(api: Api, http):
    first = [e for e in events_of(30) if e.data["step"] <= 20]
    again = [
        NewEvent(message="Step", type="metrics", data={**e.data, "train_loss": 0.25})
        for e in events_of(30)
        if 11 <= e.data["step"] <= 15
    ]
    loss = (await read(http, await store(api, [*first, *again])))["metrics"]["train_loss"]
    assert loss["step"] == list(range(1, 16))
    assert loss["last"][10:] == [0.25] * 5


async def test_metrics_of_an_old_job_come_from_its_result_file(api: Api, http):
    jobs, files = api.app.state.jobs, api.app.state.files
    job = await store(api, events_of(8000, spike_at=4321))
    before = await read(http, job, buckets=100, metrics="train_loss")
    results = await write_results(job, jobs, files)
    await jobs.change(
        job.project_id,
        job.id,
        lambda j: lifecycle.succeed(
            j, j, model="m", result_files=(results.id,), trained_tokens=1, now_s=clock.now_s()
        ),
    )
    await remove_old_metrics(jobs, files, clock.now_s())
    assert not await jobs.has_metrics(job.project_id, job.id)
    after = await read(http, job, buckets=100, metrics="train_loss")
    loss, loss_before = after["metrics"]["train_loss"], before["metrics"]["train_loss"]
    assert (loss["step"], loss["max"]) == (loss_before["step"], loss_before["max"])
    assert max(loss["max"]) == _SPIKE
    await files.delete(results)
    assert (await read(http, job))["metrics"] == {}


async def test_mistakes_are_named(api: Api, http):
    job = await store(api, [])
    found = await read(http, job)
    assert (found["metrics"], found["first_step"]) == ({}, None)
    path = f"/v1/fine_tuning/jobs/{job.id}/metrics"
    unknown = await http.get(path, params={"metrics": "loss"})
    assert unknown.status_code == 400
    assert unknown.json()["error"]["param"] == "metrics"
    assert "train_loss" in unknown.json()["error"]["message"]
    assert (await http.get(path, params={"buckets": 0})).status_code == 400
    async with await api.client("other") as other:
        assert (await other.get(path)).status_code == 404


def test_the_mean_of_a_bucket_counts_each_step_once():
    points = [
        Point(10, 10, {"train_loss": Figures(0.0, 4.0, 1.0, 1.0)}),
        Point(12, 2, {"train_loss": Figures(6.0, 8.0, 7.0, 8.0)}),
    ]
    width, series = divide(points, 1)
    loss = series["train_loss"]
    assert (width, loss.mean, loss.last) == (3, [2.0], [8.0])
    assert (loss.lowest, loss.highest) == ([0.0], [8.0])
    assert divide([], 5) == (1, {})
    assert latest([{"step": 1}, {"step": 3}, {"step": 2}]) == [{"step": 1}, {"step": 2}]
    assert set(METRIC_NAMES) > {"train_loss", "learning_rate", "valid_reward_mean"}
