"""Previews, reports and cleanings of version 0.2: `/v1/files/preview`, and `/report`, `/rows` and
`/clean` of `/v1/files/{id}`.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Header, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from service.core import clock, ids
from service.core.claims import Claim
from service.core.errors import BadRequest
from service.files.curation.cleaning_schemas import CleaningRequest
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
from service.files.curation.routes import (
    MEDIA_TYPES,
    SAFE_HEADERS,
    AskedRows,
    Form,
    Registry,
    read_rows_page,
    require_training_file,
    token_counting_models,
)
from service.files.curation.rows import OldIndex
from service.files.curation.schemas import RowObject
from service.files.routes import Store, require_file
from service.files.schemas import FormatFields
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.deprecation import deprecated_router
from service.web.deps import AppSettings, Caller
from service.web.idempotency import create_once
from service.web.openapi.parts import headers
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paged, Resource

_TAGS: list[str | Enum] = ["Data sets"]
previews, reports, rows, cleanings = (
    deprecated_router("/v1/files", successor=f"/v1/{path}", tags=_TAGS)
    for path in (
        "dataset_previews",
        "dataset_reports",
        "dataset_reports/{id}/rows",
        "dataset_cleanings",
    )
)

CLEANING = Resource("cleaning")


class OldState(StrEnum):
    """State of a task."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


def old_state(task: Task) -> OldState:
    """Return the state of a task. Version 0.2 did not have cancelled ones."""
    return OldState.FAILED if task.state is TaskState.CANCELLED else OldState(task.state)


class TaskFailure(BaseModel):
    """Reason a task failed."""

    code: str = Field(description="Machine-readable error code.")
    message: str = Field(description="What went wrong, and how to fix it.")

    @classmethod
    def from_record(cls, task: Task) -> TaskFailure | None:
        """Return why a task failed, or None."""
        if task.state is TaskState.CANCELLED:
            return cls(code="cancelled", message="It was cancelled.")
        error = task.error
        return None if error is None else cls(code=error.code, message=error.message)


class ReportPending(BaseModel):
    """A report in progress. Retry after `retry-after` seconds."""

    id: str = Field(description="ID of the report.")
    object: Literal["file.report"] = "file.report"
    file_id: str = Field(description="ID of the file that the report covers.")
    status: Literal[OldState.IN_PROGRESS] = Field(
        default=OldState.IN_PROGRESS, description="Status of the report. Always `in_progress`."
    )


class PreviewRequest(BaseModel):
    """A file to preview, and the options to read it with."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file_id: Annotated[str, Field(max_length=128)] = Field(
        description="ID of the file, which has the purpose `fine-tune`."
    )
    format: FormatFields | None = Field(
        default=None,
        description="Format options to read the file with; with `{}`, everything is detected. "
        "Defaults to the options given at upload.",
    )
    limit: Annotated[int, Field(ge=1, le=100)] = Field(
        default=20, description="Maximum number of rows. Fewer are shown if they are large."
    )


class PreviewPending(BaseModel):
    """A preview in progress. Retry after `retry-after` seconds."""

    id: str = Field(description="ID of the preview.")
    object: Literal["file.preview"] = "file.preview"
    file_id: str = Field(description="ID of the file.")
    status: Literal[OldState.IN_PROGRESS] = Field(
        default=OldState.IN_PROGRESS, description="Status of the preview. Always `in_progress`."
    )


class CleanRequest(CleaningRequest):
    """Cleaning options. The first row of a set of duplicates is kept.

    By default, a row is dropped only if it is invalid, or identical to an earlier row in all
    content used for training.
    """

    decisions_file: Annotated[str, Field(max_length=128)] | None = Field(
        default=None,
        description="ID of a file of the purpose `user_data` with decisions on single rows, one "
        'JSON object per line: `{"line": 7, "action": "keep"}`, `"drop"`, or `"edit"` with the '
        "`row` to use instead. A row that is kept or edited is not dropped as a duplicate or "
        "contradiction.",
    )
    format: FormatFields | None = Field(
        default=None,
        description="Format options of the file. Defaults to the options given at upload.",
    )


class CleaningObject(BaseModel):
    """A cleaning of a file. Its outputs are separate files."""

    id: str = Field(description="ID of the cleaning, prefixed with `fileclean-`.")
    object: Literal["file.cleaning"] = "file.cleaning"
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    finished_at: int | None = Field(
        description="Time the cleaning ended, as a Unix timestamp in seconds; null while it runs."
    )
    file_id: str = Field(description="ID of the source file.")
    status: OldState = Field(
        description="Status of the cleaning: `in_progress`, then `completed` or `failed`."
    )
    options: dict[str, Any] = Field(description="Options of the cleaning.")
    error: TaskFailure | None = Field(
        description="Error that made the cleaning fail; null otherwise."
    )
    training_file: str | None = Field(
        default=None, description="ID of the file with the rows to train on."
    )
    validation_file: str | None = Field(
        default=None, description="ID of the file with the held-out rows."
    )
    diff_file: str | None = Field(
        default=None,
        description="ID of a JSON Lines file that describes what happened to each affected row.",
    )
    source_rows: int | None = Field(default=None, description="Number of rows in the source file.")
    training_rows: int | None = Field(
        default=None, description="Number of rows in `training_file`."
    )
    validation_rows: int | None = Field(
        default=None, description="Number of rows in `validation_file`."
    )
    dropped: dict[str, int] | None = Field(
        default=None, description="Number of dropped rows, by reason."
    )
    changed: dict[str, int] | None = Field(default=None, description="Number of changes, by kind.")
    changed_rows: int | None = Field(default=None, description="Number of rows with changes.")

    @classmethod
    def from_record(cls, task: Task) -> Self:
        """Return the API object of a record."""
        return cls(
            id=task.id,
            created_at=task.created_at,
            finished_at=task.finished_at,
            file_id=task.file_id,
            status=old_state(task),
            options=task.options,
            error=TaskFailure.from_record(task),
            **(task.result or {}),
        )


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


@previews.post(
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
    """Use `createDatasetPreview`."""
    file = await require_training_file(files, caller, body.file_id)
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


@reports.get(
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
    form: Form = "json",
) -> Response:
    """Use `createDatasetReport`."""
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
    return Response(content, media_type=MEDIA_TYPES[form], headers=SAFE_HEADERS)


@rows.get(
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
    query: AskedRows,
    model: Model = None,
    encoder: Encoder = None,
) -> Response:
    """Use `listDatasetReportRows`."""
    file = await require_file(files, caller.project_id, file_id)
    _reject_encoder(encoder)
    options = ReportOptions(_models(registry, model))
    requested = report_task(file, options, await recognizers.digest(caller.project_id))
    task = await get_or_start(requested, tasks, settings, caller)
    if task.state is TaskState.IN_PROGRESS:
        return pending(ReportPending(id=task.id, file_id=task.file_id))
    try:
        async with restarted_if_lost(tasks, task, _REPORT_LOST):
            return await read_rows_page(files, file, task, query)
    except OldIndex:
        restarted = await tasks.restart(task)
        return pending(ReportPending(id=restarted.id, file_id=restarted.file_id))


@cleanings.post(
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
    body: CleanRequest | None = None,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> CleaningObject:
    """Use `createDatasetCleaning`."""
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
            key_id=caller.key_id,
            options=request.stored(request.format, request.decisions_file),
        )
        return await tasks.create(task, claim)

    raw = f"{file.id} {request.model_dump_json()}".encode()
    return await create_once(
        CleaningObject, tasks.redis, caller.project_id, idempotency_key, raw, make
    )


@cleanings.get(
    "/{file_id}/clean",
    operation_id="listFileCleanings",
    summary="List a file's cleanings",
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_cleanings(
    file_id: str, caller: Caller, files: Store, tasks: TaskStore, paging: Paged
) -> ListOf[CleaningObject]:
    """Use `listDatasetCleanings`."""
    file = await require_file(files, caller.project_id, file_id)
    page = list_tasks(tasks, file, TaskKind.CLEANING, paging)
    return await CLEANING.list(page, CleaningObject.from_record)


@cleanings.get(
    "/{file_id}/clean/{cleaning_id}",
    operation_id="retrieveFileCleaning",
    summary="Retrieve a cleaning",
    openapi_extra=needs(Permission.FILES_READ),
)
async def retrieve_cleaning(
    file_id: str, cleaning_id: str, caller: Caller, files: Store, tasks: TaskStore
) -> CleaningObject:
    """Use `getDatasetCleaning`."""
    file = await require_file(files, caller.project_id, file_id)
    return CleaningObject.from_record(
        await get_task(tasks, file, cleaning_id, ids.CLEANING, CLEANING)
    )


def _models(registry: ModelRegistry, requested: str | None) -> list[str]:
    return token_counting_models(registry, None if requested is None else [requested], "model")


def _reject_encoder(requested: str | None) -> None:
    if requested is not None:
        raise BadRequest(
            f"The installation has no encoder '{requested[:80]}': reports no longer compare rows "
            "with encoders. Omit 'encoder'.",
            param="encoder",
            code="unsupported_parameter",
        )


router = APIRouter()
for one in (previews, reports, rows, cleanings):
    router.include_router(one)
