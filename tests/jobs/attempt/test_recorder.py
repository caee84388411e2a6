"""What the end of a training writes: the model, its evaluation and the queue entry."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.core import ids, queue
from service.jobs.attempt.recorder import AttemptRecorder
from service.jobs.evaluation.records import Evaluations
from service.jobs.records import JobRecord, Status
from service.training.contract.protocol import Succeeded
from tests.conftest import BASE_MODEL, Api


@pytest.fixture
async def job(api: Api) -> JobRecord:
    project = await api.app.state.projects.create("acme")
    record = JobRecord(
        id=ids.new(ids.JOB),
        project_id=project.id,
        project_name="acme",
        created_at=ids.now_s(),
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
        storage=state.storage,
        device_name="cpu",
    )
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}", "utf-8")
    await recorder.succeeded(Succeeded(adapter_path=str(folder), trained_tokens=100, final_step=3))
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
