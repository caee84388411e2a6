"""`/v1/files/preview`, and `/report`, `/rows` and `/clean` of `/v1/files/{id}`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import JSONResponse, Response

from service.core import clock, ids
from service.core.claims import Claim
from service.core.errors import BadRequest, NotFound
from service.datasets.checks.issue_codes import CHECKS
from service.files.curation.file_tasks import (
    TaskStore,
    check_room,
    encode_result,
    get_or_start,
    get_task,
    list_tasks,
    pending,
    require_named_file,
    restarted_if_lost,
)
from service.files.curation.preview import PreviewOptions, preview_key, preview_task
from service.files.curation.recognizers.routes import Store as RecognizerStore
from service.files.curation.records import Task, TaskKind, TaskState
from service.files.curation.report import FORMS, ReportOptions, report_task
from service.files.curation.reviews.routes import ReviewStore
from service.files.curation.rows import OldIndex, RowQuery, RowReader, Sort, UnknownLine
from service.files.curation.schemas import (
    CleaningObject,
    CleanRequest,
    PreviewPending,
    PreviewRequest,
    ReportPending,
    RowObject,
)
from service.files.records import Purpose
from service.files.routes import Store, require_file
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.deps import AppSettings, Caller, resource
from service.web.idempotency import comparable, create_once
from service.web.openapi.parts import headers
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paged, Resource

router = APIRouter(prefix="/v1/files", tags=["Data sets"])

CLEANING = Resource("cleaning")

_MEDIA = {"html": "text/html; charset=utf-8", "md": "text/markdown; charset=utf-8"}
# The page contains inline styles only: no scripts, fonts or images.
_SAFE = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}
_REPORT = {"schema": {"$ref": "#/components/schemas/FileReport"}}
_PREVIEW = {"schema": {"$ref": "#/components/schemas/FilePreview"}}
_TEXT = {"schema": {"type": "string"}}
_PENDING: dict[str, Any] = {
    "model": ReportPending,
    "description": "Report in progress. Retry after `retry-after` seconds.",
    "headers": headers("retry-after"),
}
_PREVIEW_LOST = "The preview is no longer in storage; it is being created again."
_REPORT_LOST = "The report is no longer in storage; it is being generated again."


@router.post(
    "/preview",
    operation_id="createFilePreview",
    summary="Preview a file",
    response_class=JSONResponse,
    response_model=None,
    responses={
        200: {"description": "Completed preview.", "content": {"application/json": _PREVIEW}},
        202: {
            "model": PreviewPending,
            "description": "Preview in progress. Retry after `retry-after` seconds.",
            "headers": headers("retry-after"),
        },
    },
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_PREVIEW_READ),
)
async def preview_file(
    body: PreviewRequest, caller: Caller, files: Store, tasks: TaskStore, settings: AppSettings
) -> Response:
    """Read the first rows of a training file with other format options, without uploading it again.

    Each row has the record that was read, the row that jobs would train on, and its findings. The
    preview also has the format that was found, why the file cannot be read if it cannot, and the
    other format options that the file allows: sheets, rows that could name the columns, encodings,
    delimiters, shapes and columns. It works for files in any status.

    The first request starts the preview in the background; the response is 202 until it is ready.
    Later requests with the same options return the same preview.
    """
    file = await require_named_file(files, caller, body.file_id, "file_id")
    if file.purpose is not Purpose.FINE_TUNE:
        raise BadRequest(
            f"The file {file.id} has the purpose '{file.purpose}'; only files with the purpose "
            "'fine-tune' have previews.",
            param="file_id",
            code="invalid_file_purpose",
        )
    given = file.format if body.format is None else body.format.stored()
    requested = preview_task(file, PreviewOptions(given or {}, body.limit))
    task = await get_or_start(requested, tasks, settings, caller)
    if task.state is TaskState.IN_PROGRESS:
        return pending(PreviewPending(id=task.id, file_id=task.file_id))
    async with restarted_if_lost(tasks, task, _PREVIEW_LOST):
        content = await files.storage.get_bytes(preview_key(task))
    made = encode_result(task, "file.preview", content, format=task.options["format"])
    return Response(made, media_type="application/json")


Model = Annotated[
    str | None,
    Query(
        max_length=256,
        description="Base model whose tokenizer counts tokens; all base models if omitted.",
    ),
]
Encoder = Annotated[
    str | None,
    Query(
        max_length=128,
        deprecated=True,
        description="Text encoder. No longer supported: requests that set it are rejected.",
    ),
]
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]


@router.get(
    "/{file_id}/report",
    operation_id="retrieveFileReport",
    summary="Retrieve a data set report",
    response_class=JSONResponse,
    response_model=None,
    responses={
        200: {
            "description": "Completed report.",
            "content": {"application/json": _REPORT, "text/html": _TEXT, "text/markdown": _TEXT},
        },
        202: _PENDING,
    },
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_REPORT_READ),
)
async def retrieve_report(
    file_id: str,
    caller: Caller,
    files: Store,
    tasks: TaskStore,
    registry: Registry,
    recognizers: RecognizerStore,
    settings: AppSettings,
    model: Model = None,
    validation_file: Annotated[
        str | None,
        Query(max_length=128, description="ID of a validation file to check for shared rows."),
    ] = None,
    encoder: Encoder = None,
    form: Annotated[
        Literal["json", "html", "md"],
        Query(alias="format", description="Format of the report: JSON, HTML or Markdown."),
    ] = "json",
) -> Response:
    """Retrieve statistics, findings and recommendations for a data set: lengths and tokens,
    languages, duplicates, contradictions, personal data, and whether the data is suitable for
    training.

    The first request starts the report in the background; the response is 202 until the report is
    ready. Later requests with the same options return the same report, until a recognizer of the
    project changes.
    """
    file = await require_file(files, caller.project_id, file_id)
    if validation_file is not None:
        await require_named_file(files, caller, validation_file, "validation_file")
    _reject_encoder(encoder)
    options = ReportOptions(_models(registry, model), validation_file)
    digest = await recognizers.digest(caller.project_id)
    requested = report_task(file, options, digest)
    task = await get_or_start(requested, tasks, settings, caller)
    if task.state is TaskState.IN_PROGRESS:
        return pending(ReportPending(id=task.id, file_id=task.file_id))
    async with restarted_if_lost(tasks, task, _REPORT_LOST):
        content = await files.storage.get_bytes(f"{task.folder}/{FORMS[form]}")
    if form == "json":
        made = encode_result(task, "file.report", content)
        return Response(made, media_type="application/json")
    return Response(content, media_type=_MEDIA[form], headers=_SAFE)


@router.get(
    "/{file_id}/rows",
    operation_id="listFileRows",
    summary="List the rows of a data set",
    response_model=ListOf[RowObject],
    responses={202: _PENDING},
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_ROWS_READ),
)
async def list_rows(
    file_id: str,
    caller: Caller,
    files: Store,
    tasks: TaskStore,
    registry: Registry,
    recognizers: RecognizerStore,
    settings: AppSettings,
    issue: Annotated[
        str | None, Query(max_length=64, description="Code of a finding that the rows have.")
    ] = None,
    language: Annotated[
        str | None,
        Query(max_length=16, description="Language of the rows, by its code.", examples=["ja"]),
    ] = None,
    max_score: Annotated[
        float | None,
        Query(ge=0, le=1, description="Highest score of the rows.", examples=[0.6]),
    ] = None,
    sort: Annotated[
        Sort,
        Query(
            description="Order of the rows: `line` for that of the file, `score` for the lowest "
            "scores first."
        ),
    ] = "line",
    after: Annotated[
        str | None,
        Query(
            pattern=r"^[0-9]{1,12}$",
            description="Line to start after: the `last_id` of the previous page.",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    model: Model = None,
    encoder: Encoder = None,
) -> Response:
    """List rows, each with its content, its quality score, and what the report found in it. A page
    has at most 4 MiB of rows, so it may have fewer rows than `limit`.

    The rows come from the report with the same `model`, which the first request starts: the
    response is 202 until it is ready. At most 100,000 findings are kept for each code.
    A broken row is listed with its findings only.
    """
    file = await require_file(files, caller.project_id, file_id)
    if issue is not None and issue not in CHECKS:
        raise BadRequest(
            f"No finding has the code '{issue}'. The report lists the codes in `finding_counts` "
            "and `validation.counts`.",
            param="issue",
            code="invalid_value",
        )
    _reject_encoder(encoder)
    options = ReportOptions(_models(registry, model))
    requested = report_task(file, options, await recognizers.digest(caller.project_id))
    task = await get_or_start(requested, tasks, settings, caller)
    if task.state is TaskState.IN_PROGRESS:
        return pending(ReportPending(id=task.id, file_id=task.file_id))
    query = RowQuery(int(after or 0), limit, issue, language, sort, max_score)
    try:
        async with restarted_if_lost(tasks, task, _REPORT_LOST):
            page = await RowReader(files.storage, file, task).page(query)
    except UnknownLine as e:
        raise Resource("row", label="line").unknown_after() from e
    except OldIndex:
        restarted = await tasks.restart(task)
        return pending(ReportPending(id=restarted.id, file_id=restarted.file_id))
    return Response(page.body, media_type="application/json")


@router.post(
    "/{file_id}/clean",
    operation_id="createFileCleaning",
    summary="Clean a data set",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.FILE_CLEANING_CREATED),
)
async def clean_file(
    file_id: str,
    caller: Caller,
    files: Store,
    tasks: TaskStore,
    settings: AppSettings,
    reviews: ReviewStore,
    body: CleanRequest | None = None,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> CleaningObject:
    """Clean a file in the background. The results are new files; the source file is not modified.

    The same file, options and recognizers produce identical bytes. Poll `retrieveFileCleaning`
    until the status is `completed` or `failed`, then train on `training_file`. The new files name
    the file and the cleaning that they come from.
    """
    file = await require_file(files, caller.project_id, file_id)
    request = body or CleanRequest()
    if request.decisions_file is not None:
        await require_named_file(files, caller, request.decisions_file, "decisions_file")

    async def make(claim: Claim[Task]) -> Task:
        await check_room(settings, tasks, caller)
        task = Task(
            id=ids.new(ids.CLEANING),
            project_id=caller.project_id,
            created_at=clock.now_s(),
            file_id=file.id,
            kind=TaskKind.CLEANING,
            options=request.options(),
        )
        if request.use_reviews:
            await reviews.write_decisions(file, task)
        return await tasks.create(task, claim)

    sent = comparable(request).decode()
    raw = f"{file.id} {sent}".encode()
    return await create_once(
        CleaningObject, tasks.redis, caller.project_id, idempotency_key, raw, make
    )


@router.get(
    "/{file_id}/clean",
    operation_id="listFileCleanings",
    summary="List a file's cleanings",
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_cleanings(
    file_id: str, caller: Caller, files: Store, tasks: TaskStore, paging: Paged
) -> ListOf[CleaningObject]:
    """List a file's cleanings, newest first."""
    file = await require_file(files, caller.project_id, file_id)
    page = list_tasks(tasks, file, TaskKind.CLEANING, paging)
    return await CLEANING.list(page, CleaningObject.from_record)


@router.get(
    "/{file_id}/clean/{cleaning_id}",
    operation_id="retrieveFileCleaning",
    summary="Retrieve a cleaning",
    openapi_extra=needs(Permission.FILES_READ),
)
async def retrieve_cleaning(
    file_id: str, cleaning_id: str, caller: Caller, files: Store, tasks: TaskStore
) -> CleaningObject:
    """Retrieve a cleaning's status, its output files, and the number of dropped and changed rows
    by reason. `diff_file` describes each affected row.
    """
    file = await require_file(files, caller.project_id, file_id)
    return CleaningObject.from_record(
        await get_task(tasks, file, cleaning_id, ids.CLEANING, CLEANING)
    )


def _models(registry: ModelRegistry, requested: str | None) -> list[str]:
    """Return the base models whose tokenizers count tokens: the requested one, or all."""
    offered = [entry.id for entry in registry.catalogue.all()]
    if requested is None:
        return offered
    if requested not in offered:
        raise NotFound(
            f"The base model '{requested[:80]}' is not available here.",
            param="model",
            code="model_not_found",
        )
    return [requested]


def _reject_encoder(requested: str | None) -> None:
    if requested is not None:
        raise BadRequest(
            f"The installation has no encoder '{requested[:80]}': reports no longer compare rows "
            "with encoders. Omit 'encoder'.",
            param="encoder",
            code="unsupported_parameter",
        )
