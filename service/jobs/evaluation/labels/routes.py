"""`/v1/fine_tuning/jobs/{id}/evaluation/labels`: which answers people prefer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query

from service.core.errors import BadRequest, Conflict, Forbidden, LimitReached, NotFound
from service.core.records import Missing
from service.core.storage import StorageMissing
from service.files.curation.masking import Masking
from service.jobs.evaluation.labels.queue import (
    DEFAULT_OVERLAP,
    MAX_OVERLAP,
    Pair,
    build_queue,
    order_for,
    pairs_of,
    shown_digest,
    shown_order,
)
from service.jobs.evaluation.labels.records import (
    MAX_LABELS,
    TIE,
    LabelRecord,
    TooManyLabels,
    answers_digest,
)
from service.jobs.evaluation.labels.review import disputed, review_labels
from service.jobs.evaluation.labels.schemas import (
    FIRST,
    SECOND,
    AnswerToLabel,
    EvaluationLabel,
    EvaluationLabelList,
    EvaluationLabelQueue,
    EvaluationLabelTask,
    LabelProgress,
    PutEvaluationLabel,
)
from service.jobs.evaluation.records import EvaluationStatus
from service.jobs.evaluation.results import read_comparison
from service.jobs.evaluation.routes import Artifacts, Existing, LabelStore, MaskingProcess
from service.jobs.evaluation.schemas import HumanReviewObject
from service.verdict.comparison import Comparison, Row
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import Caller
from service.web.filters import AskedMask
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
    is_disputed: Annotated[
        bool,
        Query(
            alias="disputed",
            description="Whether to list only labels of rows on which reviewers differ, those with "
            "opposite preferences first.",
        ),
    ] = False,
) -> EvaluationLabelList:
    """List what people said about the answers of an evaluation in the order of rows, and what it
    says together: how often they prefer each model, how well they agree with each other, and
    whether the measure that decided agrees with them.

    Labels of others appear after one has labeled the same answers oneself. Administrators of the
    project see all.
    """
    every = await labels.all(evaluation)
    review, current = await review_labels(every, comparison)
    name = _name(caller)
    listed_from = every
    if is_disputed:
        listed_from = disputed([label for label in every if label.id in current])
    seen = {label.subject for label in every if label.reviewer == name}
    sees_all = caller.may(Permission.PROJECT_WRITE)
    found = [
        label
        for label in listed_from
        if (row is None or label.row == row)
        and (not mine or label.reviewer == name)
        and (sees_all or label.subject in seen)
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


@router.get(
    "/queue",
    operation_id="getFineTuningJobEvaluationLabelQueue",
    summary="Retrieve the next answers to compare",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EVALUATION_READ),
)
async def retrieve_queue(
    evaluation: Existing,
    comparison: Measured,
    caller: Caller,
    labels: LabelStore,
    masking: MaskingProcess,
    compared: Annotated[
        list[str] | None,
        Query(
            min_length=2,
            max_length=2,
            description="Pair of columns to compare. By default, the tuned model and the best "
            "prompt, or else the base model.",
        ),
    ] = None,
    overlap: Annotated[
        int,
        Query(
            ge=1,
            le=MAX_OVERLAP,
            description="Number of labels that each row should have. Rows with that many are not "
            "in the queue.",
        ),
    ] = DEFAULT_OVERLAP,
    row: Annotated[
        int | None,
        Query(ge=1, description="`line` of the only row to return, also if it is labeled."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    personal_data: AskedMask = "show",
) -> EvaluationLabelQueue:
    """Retrieve the next rows that the caller has not labeled, with two answers each, and the
    progress of all reviewers. Which model gave which answer is not said until it is labeled.

    Rows that other people began come first, so that several label the same rows. The others are in
    random order.
    """
    name = _name(caller)
    pair = _pair(compared, comparison)
    queue = await asyncio.to_thread(
        build_queue,
        comparison,
        await labels.all(evaluation),
        pair,
        evaluation_id=evaluation.id,
        reviewer=name,
        overlap=overlap,
    )
    rows = queue.open if row is None else [one for one in queue.comparable if one.line == row]
    tasks = []
    for one in rows[:limit]:
        order = order_for(name, evaluation.id, one, pair)
        answers = [one.answers[column] for column in order]
        tasks.append(
            EvaluationLabelTask(
                row=one.line or 0,
                language=one.language,
                prompt=one.prompt,
                answers=[AnswerToLabel(text=a.text, tool_calls=a.tool_calls) for a in answers],
                shown=shown_digest(one, order),
                labels=queue.labels[one.line or 0],
            )
        )
    if personal_data == "mask":
        tasks = await _masked(tasks, evaluation.project_id, masking)
    else:
        lines = [one.row for one in tasks]
        audit_trail.reveal_rows(lines, event=AuditEvent.EVALUATION_REVEALED)
    return EvaluationLabelQueue(
        tasks=tasks,
        compared=list(pair),
        pairs=[list(one) for one in pairs_of(comparison)],
        progress=LabelProgress.from_queue(queue, name, overlap),
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
    label per row and pair of columns. The response names the column of the better answer, also if
    the queue showed the answers without their columns.

    If people show a preference and agree with each other, it enters the verdict. If the evaluation
    runs again, labels calibrate the judge. They are deleted with the model.
    """
    found = _row(comparison, row)
    wanted = _label(body if body.shown is None else _revealed(body, found), found, _name(caller))
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


def _pair(compared: list[str] | None, comparison: Comparison) -> Pair:
    """Return the requested pair of columns. Raises BadRequest and Conflict."""
    known = pairs_of(comparison)
    if compared is None and not known:
        raise Conflict("The evaluation has no two columns to compare.")
    first, second = sorted(compared or known[0])
    if (first, second) not in known:
        pairs = "; ".join(", ".join(pair) for pair in known)
        raise BadRequest(
            f"'compared' must be one of the pairs of columns: {pairs}.", param="compared"
        )
    return first, second


async def _masked(
    tasks: list[EvaluationLabelTask], project_id: str, masking: Masking
) -> list[EvaluationLabelTask]:
    """Return the tasks with labels in place of personal data. Raises Unavailable."""
    fields = {"prompt", "answers"}
    result = await masking.mask(project_id, [[one.model_dump(include=fields) for one in tasks]])
    return [
        EvaluationLabelTask.model_validate(one.model_dump() | texts | {"masked_values": count})
        for one, texts, count in zip(tasks, result.groups[0], result.masked[0], strict=True)
    ]


def _row(comparison: Comparison, line: int) -> Row:
    found = next((row for row in comparison.rows if row.line == line), None)
    if found is None:
        raise NotFound(
            f"The report has no row with the line {line}. `rows` of the report lists them.",
            param="row",
        )
    return found


def _revealed(body: PutEvaluationLabel, row: Row) -> PutEvaluationLabel:
    """Return a label of the queue's answers with their columns. Raises BadRequest and Conflict."""
    first, second = body.compared
    if first == second or answers_digest(row, body.compared) is None:
        return body  # which is refused
    order = shown_order(row, (first, second), body.shown or "")
    if order is None:
        raise Conflict(
            "The row does not have the answers that 'shown' stands for. The evaluation may have "
            "run again: read the queue again."
        )
    winners = dict(zip((FIRST, SECOND, TIE), (*order, TIE), strict=True))
    if body.winner not in winners:
        raise BadRequest(
            f"With 'shown', 'winner' must be '{FIRST}', '{SECOND}' or '{TIE}'.", param="winner"
        )
    return body.model_copy(update={"compared": list(order), "winner": winners[body.winner]})


def _label(body: PutEvaluationLabel, row: Row, reviewer: str) -> LabelRecord:
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
        row=row.line or 0,
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
