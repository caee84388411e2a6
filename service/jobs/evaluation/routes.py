"""Routes of the evaluation of a job: its state, its report, and a new run."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from service.core.errors import BadRequest, Conflict, NotFound
from service.core.records import Missing
from service.core.storage import Storage, StorageMissing
from service.files.curation.masking import Masking
from service.jobs.evaluation.labels.records import Labels
from service.jobs.evaluation.labels.review import apply_labels, read_reviewed
from service.jobs.evaluation.masked_report import mask_report
from service.jobs.evaluation.records import (
    REPORT_FILE,
    Evaluations,
    EvaluationStatus,
    JobEvaluation,
)
from service.jobs.evaluation.results import render_report
from service.jobs.evaluation.schemas import (
    HumanReviewObject,
    JobEvaluationObject,
    RestartEvaluation,
)
from service.jobs.records import Jobs
from service.jobs.routes import existing
from service.training.contract.methods import METHODS
from service.verdict.comparison import Comparison
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.filters import AskedMask
from service.web.permissions import Permission, needs

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["Fine-tuning"])

Store = Annotated[Jobs, Depends(resource("jobs"))]
EvaluationStore = Annotated[Evaluations, Depends(resource("evaluations"))]
LabelStore = Annotated[Labels, Depends(resource("evaluation_labels"))]
Artifacts = Annotated[Storage, Depends(resource("storage"))]
MaskingProcess = Annotated[Masking, Depends(resource("masking"))]


_MEDIA_TYPES: Final = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
}
# The answers of a model must not run as code on the API's origin.
_SAFE_HEADERS: Final = {
    "content-security-policy": "sandbox allow-scripts; default-src 'none'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'",
}


async def _evaluation(
    job_id: str, caller: Caller, jobs: Store, evaluations: EvaluationStore
) -> JobEvaluation:
    job = await existing(jobs, caller.project_id, job_id)
    found = await evaluations.get(caller.project_id, job.id)
    if found is None and not METHODS[job.method].is_evaluated:
        raise NotFound(
            f"The job {job.id} has no evaluation, because its texts have no answers to compare. An "
            "event of the job gives the perplexity of its held-out rows.",
            param="job_id",
            code="evaluation_not_found",
        )
    if found is None:
        raise NotFound(
            f"The job {job.id} has no evaluation. A job is evaluated when it succeeds, if it has "
            "held-out rows: give it a validation_file, or set validation_share.",
            param="job_id",
            code="evaluation_not_found",
        )
    return found


Existing = Annotated[JobEvaluation, Depends(_evaluation)]


@router.get(
    "/{job_id}/evaluation",
    operation_id="getFineTuningJobEvaluation",
    summary="Retrieve the evaluation of a job",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EVALUATION_READ),
)
async def retrieve_evaluation(
    evaluation: Existing, labels: LabelStore, storage: Artifacts
) -> JobEvaluationObject:
    """Retrieve the state and the verdict of a job's evaluation.

    When a job with held-out rows succeeds, the serving engine answers these rows with the base
    model, with the base model and the best prompt that the service finds, and with the tuned model.
    The verdict says whether to serve the model, and gives the figures. If people labeled the
    answers, it says what they prefer.
    """
    found = await read_reviewed(evaluation, labels, storage)
    if found.review is None:
        return JobEvaluationObject.from_record(found.evaluation)
    review = HumanReviewObject.from_review(found.review, len(found.labels))
    return JobEvaluationObject.from_record(found.evaluation, review)


@router.post(
    "/{job_id}/evaluation",
    operation_id="restartFineTuningJobEvaluation",
    summary="Run the evaluation of a job again",
    openapi_extra=needs(Permission.FINE_TUNING_WRITE, AuditEvent.EVALUATION_RESTARTED),
)
async def restart_evaluation(
    evaluation: Existing, evaluations: EvaluationStore, body: RestartEvaluation | None = None
) -> JobEvaluationObject:
    """Run a completed, skipped or failed evaluation again, for example after the engine was
    started, or to compare the model with another prompt. Returns 409 if it is in progress.
    """
    if evaluation.status is EvaluationStatus.IN_PROGRESS:
        raise Conflict(
            f"The evaluation of the job {evaluation.id} is in progress. Wait until it has ended."
        )
    try:
        # A prompt of the user's replaces an earlier one.
        prompt = (body and body.baseline_prompt) or evaluation.baseline_prompt
        return JobEvaluationObject.from_record(
            await evaluations.restart(evaluation, baseline_prompt=prompt)
        )
    except Missing as e:
        raise NotFound("The evaluation was deleted.", code="evaluation_not_found") from e


@router.get(
    "/{job_id}/evaluation/report",
    operation_id="getFineTuningJobEvaluationReport",
    summary="Retrieve the evaluation report of a job",
    response_class=Response,
    responses={
        200: {
            "description": "The report in the requested format.",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "text/html": {"schema": {"type": "string"}},
                "text/markdown": {"schema": {"type": "string"}},
            },
        }
    },
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EVALUATION_READ),
)
async def retrieve_report(
    evaluation: Existing,
    labels: LabelStore,
    storage: Artifacts,
    masking: MaskingProcess,
    form: Annotated[
        Literal["json", "html", "md"],
        Query(alias="format", description="Format of the report: JSON, HTML or Markdown."),
    ] = "json",
    personal_data: AskedMask = "show",
    line: Annotated[
        int | None, Query(ge=1, description="`line` of the only row that a JSON report has.")
    ] = None,
) -> Response:
    """Retrieve everything that an evaluation measured: each row with all answers and scores as
    JSON, or the report as Markdown or as one HTML page without external resources.

    With `personal_data=mask`, which needs JSON, values that are found to be personal, and numbers
    that may be, are replaced in all texts, and `masked_values` of each row counts them. Returns 409
    if the evaluation is not completed.
    """
    if personal_data == "mask" and form != "json":
        raise BadRequest(
            "Only the JSON form of a report can be masked. Set 'format' to 'json'.",
            param="personal_data",
        )
    if evaluation.status is not EvaluationStatus.COMPLETED:
        raise Conflict(
            f"The evaluation of the job {evaluation.id} is {evaluation.status}, so it has no "
            "report.",
        )
    try:
        content = await storage.get_bytes(evaluation.key(REPORT_FILE))
    except StorageMissing as e:
        raise NotFound("The report was deleted with its model.", code="evaluation_not_found") from e
    if personal_data == "show":
        lines = () if line is None else (f"lines:{line}",)
        audit_trail.reveal(AuditEvent.EVALUATION_REVEALED, lines)
    if form != "json":
        comparison = await asyncio.to_thread(Comparison.from_json, content)
        found = await apply_labels(evaluation, await labels.all(evaluation), comparison)
        content = await asyncio.to_thread(
            render_report, form, comparison, found.evaluation, found.review
        )
    elif personal_data == "mask" or line is not None:
        report = await asyncio.to_thread(msgspec.json.decode, content)
        if line is not None:
            report["rows"] = [row for row in report["rows"] if row.get("line") == line]
        if personal_data == "mask":
            await mask_report(report, evaluation.project_id, masking)
        content = await asyncio.to_thread(msgspec.json.encode, report)
    return Response(content, media_type=_MEDIA_TYPES[form], headers=_SAFE_HEADERS)
