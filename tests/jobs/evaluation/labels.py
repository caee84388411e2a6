"""A completed evaluation with a report, without an engine."""

from __future__ import annotations

from service.core import clock
from service.core.storage import Storage
from service.jobs.evaluation.records import (
    REPORT_FILES,
    Evaluations,
    EvaluationStatus,
    JobEvaluation,
)
from service.verdict.comparison import Comparison
from tests.verdict.build import build


def measured(rows: int = 12) -> Comparison:
    """A comparison with a row that the best prompt could not answer: the last one."""
    prompt = [0.4] * (rows - 1)
    return build({"base": [0.2] * rows, "prompt": [*prompt, None], "tuned": [0.8] * rows})


async def store_evaluation(
    evaluations: Evaluations, storage: Storage, project_id: str, job_id: str, model: str
) -> JobEvaluation:
    """Store a completed evaluation of a job, with its report."""
    record = JobEvaluation(
        id=job_id,
        project_id=project_id,
        created_at=clock.now_s(),
        model=model,
        artifact=f"{project_id}/jobs/{job_id}/a1/adapter",
        status=EvaluationStatus.COMPLETED,
    )
    await evaluations.records.create(record)
    await store_report(storage, record, measured())
    return record


async def store_report(storage: Storage, record: JobEvaluation, comparison: Comparison) -> None:
    """Store or replace the report of an evaluation."""
    await storage.put_bytes(record.key(REPORT_FILES["json"]), comparison.to_json())
