"""`/v1/fine_tuning/jobs/{id}/evaluation/labels`: which answers people prefer."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query

from service.core.errors import BadRequest, Conflict, Forbidden, LimitReached, NotFound
from service.core.records import Missing
from service.core.storage import StorageMissing
from service.jobs.evaluation.labels.records import (
    MAX_LABELS,
    TIE,
    LabelRecord,
    TooManyLabels,
    answers_digest,
)
from service.jobs.evaluation.labels.review import review_labels
from service.jobs.evaluation.labels.schemas import (
    EvaluationLabel,
    EvaluationLabelList,
    PutEvaluationLabel,
)
from service.jobs.evaluation.records import EvaluationStatus
from service.jobs.evaluation.results import read_comparison
from service.jobs.evaluation.routes import Artifacts, Existing, LabelStore
from service.jobs.evaluation.schemas import HumanReviewObject
from service.verdict.comparison import Comparison, Row
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import Caller
from service.web.permissions import Permission, needs
from service.web.resources import Deleted, Paged, Resource, deleted, list_of

router = APIRouter(prefix="/v1/fine_tuning/jobs/{job_id}/evaluation/labels", tags=["Fine-tuning"])

LABEL: Final = Resource("label", "row")
Line = Annotated[int, Path(ge=1, le=2**32 - 1, description="`line` of the row in the report.")]


async def _report(evaluation: Existing, storage: Artifacts) -> Comparison:
    if evaluation.status is not EvaluationStatus.COMPLETED:
        raise Conflict(
            f"The evaluation of the job {evaluation.id} is {evaluation.status}, so it has no "
            "answers to label."
        )
    try:
        return await read_comparison(storage, evaluation)
    except StorageMissing as e:
        raise _deleted() from e


Measured = Annotated[Comparison, Depends(_report)]


@router.get(
    "",
    operation_id="listFineTuningJobEvaluationLabels",
    summary="List the labels of an evaluation",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EVALUATION_LABELS_READ),
)
async def list_labels(
    evaluation: Existing,
    comparison: Measured,
    caller: Caller,
    labels: LabelStore,
    paging: Paged,
    row: Annotated[int | None, Query(ge=1, description="Row to filter by.")] = None,
    mine: Annotated[bool, Query(description="Whether to list only the caller's labels.")] = False,
) -> EvaluationLabelList:
    """List what people said about the answers of an evaluation in the order of rows, and what it
    says together: how often they prefer each model, and whether the measure that decided agrees
    with them.
    """
    every = await labels.all(evaluation)
    review, current = await review_labels(every, comparison)
    name = _name(caller)
    found = [
        label
        for label in every
        if (row is None or label.row == row) and (not mine or label.reviewer == name)
    ]
    page, has_more = LABEL.slice(found, replace(paging, oldest_first=True))
    notes = await labels.notes(page)
    audit_trail.count(labels=len(page))
    listed = list_of(
        [
            EvaluationLabel.from_record(
                label, notes.get(label.id), caller=name, is_current=label.id in current
            )
            for label in page
        ],
        has_more,
    )
    return EvaluationLabelList(
        **dict(listed),
        human_review=HumanReviewObject.from_review(review, len(every)) if every else None,
    )


@router.put(
    "/{row}",
    operation_id="putFineTuningJobEvaluationLabel",
    summary="Label the better of two answers",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EVALUATION_LABEL_UPDATED),
)
async def put_label(
    row: Line,
    body: PutEvaluationLabel,
    evaluation: Existing,
    comparison: Measured,
    caller: Caller,
    labels: LabelStore,
) -> EvaluationLabel:
    """Say which of two answers to a row is better, or change one's own label. Each reviewer has one
    label per row and pair of columns.

    Labels show how often people agree with the measure that decided the verdict. If the evaluation
    runs again, they calibrate the judge. They are deleted with the model.
    """
    wanted = _label(body, _row(comparison, row), row, _name(caller))
    try:
        label = await labels.set(evaluation, wanted, body.note)
    except TooManyLabels as e:
        raise LimitReached(
            f"The evaluation already has {MAX_LABELS:,} labels, which is the maximum. Delete some, "
            "or evaluate the job again on other rows."
        ) from e
    except Missing as e:
        raise _deleted() from e
    return EvaluationLabel.from_record(label, body.note, caller=label.reviewer, is_current=True)


@router.delete(
    "/{row}",
    operation_id="deleteFineTuningJobEvaluationLabels",
    summary="Delete a reviewer's labels of a row",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EVALUATION_LABELS_DELETED),
)
async def delete_labels(
    row: Line,
    evaluation: Existing,
    caller: Caller,
    labels: LabelStore,
    compared: Annotated[
        list[str] | None,
        Query(
            min_length=2,
            max_length=2,
            description="Pair of columns whose label is deleted. By default, all labels that the "
            "caller gave to the row.",
        ),
    ] = None,
    reviewer: Annotated[
        str | None,
        Query(
            max_length=512,
            description="`reviewer` of the labels, if they are another person's. Only "
            "administrators of the project may delete those.",
        ),
    ] = None,
) -> Deleted:
    """Delete a reviewer's labels of a row with their notes: the caller's by default. Those of
    others stay.
    """
    name = _name(caller)
    if reviewer not in (None, name) and not caller.may(Permission.PROJECT_WRITE):
        raise Forbidden("Only administrators of the project may delete labels of other people.")
    found = [
        label.id
        for label in await labels.all(evaluation)
        if (label.row, label.reviewer) == (row, reviewer or name)
        and (compared is None or sorted(compared) == sorted(label.compared))
    ]
    if not found or not await labels.delete(evaluation, found):
        raise LABEL.not_found(str(row))
    return deleted(str(row), "fine_tuning.job.evaluation.label")


def _row(comparison: Comparison, line: int) -> Row:
    found = next((row for row in comparison.rows if row.line == line), None)
    if found is None:
        raise NotFound(
            f"The report has no row with the line {line}. `rows` of the report lists them.",
            param="row",
        )
    return found


def _label(body: PutEvaluationLabel, row: Row, line: int, reviewer: str) -> LabelRecord:
    """Return the label as a record. Raises BadRequest if the columns do not fit the row."""
    first, second = body.compared
    digest = answers_digest(row, body.compared)
    if first == second or digest is None:
        given = [name for name, answer in row.answers.items() if answer.error is None]
        raise BadRequest(
            "'compared' must name two different columns with an answer to this row: "
            f"{', '.join(given)}.",
            param="compared",
        )
    if body.winner not in (first, second, TIE):
        raise BadRequest(
            f"'winner' must be one of the compared columns or '{TIE}'.", param="winner"
        )
    return LabelRecord(
        row=line,
        compared=(first, second),
        winner=body.winner,
        reviewer=reviewer,
        answers=digest,
        created_at=0,
        labeled_at=0,
        took_ms=body.took_ms,
    )


def _name(caller: Principal) -> str:
    return caller.token_subject or caller.key_id


def _deleted() -> NotFound:
    return NotFound("The report was deleted with its model.", code="evaluation_not_found")
