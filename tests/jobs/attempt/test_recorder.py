"""What the end of a training writes: the model, its evaluation and the queue entry."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from service.core import clock, ids, queue
from service.jobs.attempt.progress import StepProgress
from service.jobs.attempt.recorder import AttemptRecorder
from service.jobs.evaluation.records import Evaluations
from service.jobs.records import JobRecord, Status
from service.training.contract.protocol import StepDone, Succeeded
from tests.conftest import BASE_MODEL, Api


@pytest.fixture
async def job(api: Api) -> JobRecord:
    project = await api.app.state.projects.create("acme")
    record = JobRecord(
        id=ids.new(ids.JOB),
        project_id=project.id,
        project_name="acme",
        created_at=clock.now_s(),
        model=BASE_MODEL,
        training_file="file-a",
        validation_file="file-b",
        suffix=None,
        seed=7,
        metadata=None,
        hyperparameters={},
        gate={"gain": ">=5"},
        model_tag="abc123def456",
        status=Status.RUNNING,
    )
    return await api.app.state.jobs.create(record)


async def succeed(api: Api, job: JobRecord, folder: Path) -> AttemptRecorder:
    """End the job as its worker does."""
    state = api.app.state
    recorder = AttemptRecorder(
        job,
        jobs=state.jobs,
        files=state.files,
        registry=state.registry,
        device_name="cpu",
    )
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}", "utf-8")
    await recorder.record_success(
        Succeeded(adapter_path=str(folder), trained_tokens=100, final_step=3)
    )
    return recorder


async def test_the_evaluation_is_queued_when_the_job_ends(api: Api, job, tmp_path):
    await succeed(api, job, tmp_path / "adapter")
    found = await Evaluations(api.app.state.redis).get(job.project_id, job.id)
    queued = await api.app.state.redis.zrange(queue.EVALS, 0, -1)
    assert found is not None
    assert queued == [f"evaluate_job:{found.subject}:1".encode()]


async def test_the_model_has_the_gate_of_its_job(api: Api, job, tmp_path):
    """Also after Redis has lost the record: the manifest has it."""
    recorder = await succeed(api, job, tmp_path / "adapter")
    model = await api.app.state.registry.models.get(job.project_id, recorder.model)
    assert model.gate == {"gain": ">=5"}
    manifest = await api.app.state.storage.manifest(model.artifact)
    assert manifest.meta["gate"] == {"gain": ">=5"}


def step(number: int, trained_tokens: int) -> StepDone:
    return StepDone(
        step=number,
        total_steps=3,
        train_loss=1.0,
        train_mean_token_accuracy=0.5,
        learning_rate=1e-4,
        tokens_per_second=1.0,
        trained_tokens=trained_tokens,
    )


def test_one_step_has_no_speed():
    """It includes the warm-up. A speed of 0 would make each later estimate fail."""
    progress = StepProgress()
    progress.advance(step(1, 500))
    assert progress.tokens_per_second is None


def test_the_speed_counts_the_steps_after_the_first():
    progress = StepProgress()
    progress.advance(step(1, 500))
    time.sleep(0.01)
    progress.advance(step(2, 800))
    speed = progress.tokens_per_second
    assert speed is not None
    assert 0 < speed <= 300 / 0.01
