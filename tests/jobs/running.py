"""A job that a worker has taken, as a record."""

from __future__ import annotations

from service.core import clock, ids
from service.jobs.records import JobRecord, Status
from tests.conftest import BASE_MODEL


def running_job(project_id: str) -> JobRecord:
    """Return the record of a running job of project acme, whose id is `project_id`."""
    return JobRecord(
        id=ids.new(ids.JOB),
        project_id=project_id,
        created_at=clock.now_s(),
        project_name="acme",
        model=BASE_MODEL,
        training_file="file-a",
        validation_file=None,
        suffix=None,
        seed=1,
        metadata=None,
        hyperparameters={},
        model_tag="a",
        status=Status.RUNNING,
    )
