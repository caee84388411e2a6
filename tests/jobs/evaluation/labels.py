"""A completed evaluation with a report, without an engine."""

from __future__ import annotations

import httpx
import msgspec

from service.core import clock
from service.core.storage import Storage
from service.jobs.evaluation.records import (
    REPORT_FILE,
    Evaluations,
    EvaluationStatus,
    JobEvaluation,
)
from service.jobs.records import Status
from service.verdict.comparison import Comparison, Row
from service.verdict.verdict import judge
from tests.conftest import BASE_MODEL, Api, upload
from tests.jobs.evaluation.conftest import tuned_model
from tests.verdict.build import build


def measured(rows: int = 12) -> Comparison:
    """A comparison with a row that the best prompt could not answer: the last one."""
    prompt = [0.4] * (rows - 1)
    found = build({"base": [0.2] * rows, "prompt": [*prompt, None], "tuned": [0.8] * rows})
    return msgspec.structs.replace(found, rows=list(map(_distinct, found.rows)))


def _distinct(row: Row) -> Row:
    answers = {
        name: msgspec.structs.replace(answer, text=f"{SAID[name]} about {row.line}")
        for name, answer in row.answers.items()
    }
    return msgspec.structs.replace(row, answers=answers)


SAID = {"base": "A word", "prompt": "A line", "tuned": "A poem"}
"""How the answers of each column begin."""


async def evaluated_job(
    api: Api, http: httpx.AsyncClient, chats: bytes, rows: int
) -> JobEvaluation:
    """Create a job that succeeded, and store its model and an evaluation of this many rows."""
    file_id = (await upload(http, chats)).json()["id"]
    body = {"model": BASE_MODEL, "training_file": file_id}
    job = (await http.post("/v1/fine_tuning/jobs", json=body)).json()
    state, project = api.app.state, job["organization_id"]
    await state.jobs.change(
        project, job["id"], lambda found: found.model_copy(update={"status": Status.SUCCEEDED})
    )
    model = f"ft:{BASE_MODEL}:acme::abc123def456"
    made = await store_evaluation(
        state.evaluations, state.storage, project, job["id"], model, measured(rows)
    )
    await state.registry.register(
        tuned_model(project, id=model, job_id=made.id, artifact=made.artifact)
    )
    return made


async def store_evaluation(
    evaluations: Evaluations,
    storage: Storage,
    project_id: str,
    job_id: str,
    model: str,
    comparison: Comparison | None = None,
) -> JobEvaluation:
    """Store a completed evaluation of a job, with its report."""
    comparison = comparison or measured()
    record = JobEvaluation(
        id=job_id,
        project_id=project_id,
        created_at=clock.now_s(),
        model=model,
        artifact=f"{project_id}/jobs/{job_id}/a1/adapter",
        status=EvaluationStatus.COMPLETED,
        verdict=msgspec.to_builtins(judge(comparison)),
    )
    await evaluations.records.create(record)
    await store_report(storage, record, comparison)
    return record


async def store_report(storage: Storage, record: JobEvaluation, comparison: Comparison) -> None:
    """Store or replace the report of an evaluation."""
    await storage.put_bytes(record.key(REPORT_FILE), comparison.to_json())
