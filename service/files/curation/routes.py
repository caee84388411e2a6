"""`/v1/dataset_reports`, `/v1/dataset_previews` and `/v1/dataset_cleanings`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from service.core import clock, ids
from service.core.errors import BadRequest, Conflict, NotFound
from service.core.storage import StorageMissing
from service.datasets.checks.issue_codes import CHECKS
from service.files.curation.cleaning_schemas import CreateDatasetCleaning, DatasetCleaning
from service.files.curation.operations import (
    IdempotencyKey,
    OperationId,
    TaskOperations,
    require_rows,
)
from service.files.curation.preview import PREVIEW, PreviewOptions, preview_task
from service.files.curation.recognizers.routes import Store as RecognizerStore
from service.files.curation.records import Task, TaskKind
from service.files.curation.report import FORMS, ReportOptions, report_task
from service.files.curation.reviews.routes import ReviewStore
from service.files.curation.rows import (
    OldIndex,
    PersonalDataMode,
    RowQuery,
    RowReader,
    Sort,
    UnknownLine,
)
from service.files.curation.schemas import (
    CreateDatasetPreview,
    CreateDatasetReport,
    DatasetPreview,
    DatasetReport,
    MarkedRowObject,
)
from service.files.lookup import named_file
from service.files.routes import Store
from service.models.registry import ModelRegistry
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import AppSettings, Caller, resource
from service.web.operations import add_routes
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Resource

_TAGS: Final[list[str | Enum]] = ["Data sets"]
reports = APIRouter(prefix="/v1/dataset_reports", tags=_TAGS)
previews = APIRouter(prefix="/v1/dataset_previews", tags=_TAGS)
cleanings = APIRouter(prefix="/v1/dataset_cleanings", tags=_TAGS)

_MEDIA_TYPES: Final = {"html": "text/html; charset=utf-8", "md": "text/markdown; charset=utf-8"}
# The page contains inline styles only: no scripts, fonts or images.
_SAFE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}
_TEXT: Final = {"schema": {"type": "string"}}


def document(schema: str, what: str, **more: Any) -> dict[int | str, dict[str, Any]]:
    """Return the described response with the content of an operation."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}, **more}
    return {200: {"description": what, "content": content}}


Registry = Annotated[ModelRegistry, Depends(resource("registry"))]


class DatasetReports(TaskOperations[DatasetReport]):
    """The reports on training files."""

    noun = "report"
    schema = DatasetReport
    id_prefix = ids.REPORT
    content = FORMS["json"]


class DatasetPreviews(TaskOperations[DatasetPreview]):
    """The previews of training files."""

    noun = "preview"
    schema = DatasetPreview
    id_prefix = ids.PREVIEW
    content = PREVIEW


class DatasetCleanings(TaskOperations[DatasetCleaning]):
    """The cleanings of files."""

    noun = "cleaning"
    schema = DatasetCleaning
    id_prefix = ids.CLEANING
    kept = "files"


@reports.post(
    "",
    operation_id="createDatasetReport",
    summary="Create a report on a data set",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_REPORT_CREATED),
)
async def create_report(
    body: CreateDatasetReport,
    caller: Caller,
    files: Store,
    registry: Registry,
    recognizers: RecognizerStore,
    settings: AppSettings,
    operations: Annotated[DatasetReports, Depends()],
    idempotency_key: IdempotencyKey = None,
) -> DatasetReport:
    """Create a report with statistics, findings and recommendations: lengths and tokens,
    languages, duplicates, contradictions, personal data, and whether the data is suitable for
    training.

    The same request returns the same report, until a recognizer of the project changes. A report
    that failed or was cancelled is created again.
    """

    async def make() -> Task:
        file = await named_file(files, caller.project_id, body.file_id, "file_id")
        if body.validation_file_id is not None:
            await named_file(
                files, caller.project_id, body.validation_file_id, "validation_file_id"
            )
        models = _token_counting_models(registry, body.models)
        options = ReportOptions(models, body.validation_file_id)
        model = str(settings.personal_data_model or "")
        task = report_task(file, options, await recognizers.digest(caller.project_id), model)
        return task.model_copy(update={"metadata": body.metadata})

    return await operations.create(make, body, caller, idempotency_key)


@reports.get(
    "/{id}/content",
    operation_id="getDatasetReportContent",
    summary="Get the content of a report",
    response_class=Response,
    responses=document(
        "DatasetReportContent",
        "Report in the requested format.",
        **{"text/html": _TEXT, "text/markdown": _TEXT},
    ),
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_REPORT_READ),
)
async def get_report_content(
    id_: OperationId,
    caller: Caller,
    operations: Annotated[DatasetReports, Depends()],
    form: Annotated[
        Literal["json", "html", "md"],
        Query(alias="format", description="Format of the report: JSON, HTML or Markdown."),
    ] = "json",
) -> Response:
    """Get a report as JSON, as an HTML page without external resources, or as Markdown. Returns 409
    if the report is not completed.
    """
    return await send_content(operations, caller, id_, FORMS[form], form)


async def _row_query(
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
) -> RowQuery:
    """Read which rows a request asks for. Raises BadRequest."""
    if issue is not None and issue not in CHECKS:
        raise BadRequest(
            f"No finding has the code '{issue}'. The report lists the codes in `finding_counts` "
            "and `validation.counts`.",
            param="issue",
            code="invalid_value",
        )
    return RowQuery(int(after or 0), limit, issue, language, sort, max_score)


@reports.get(
    "/{id}/rows",
    operation_id="listDatasetReportRows",
    summary="List the rows of a data set",
    response_model=ListOf[MarkedRowObject],
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_ROWS_READ),
)
async def list_report_rows(
    id_: OperationId,
    caller: Caller,
    operations: Annotated[DatasetReports, Depends()],
    query: Annotated[RowQuery, Depends(_row_query)],
    personal_data: Annotated[
        PersonalDataMode,
        Query(
            description="Whether to replace personal data in the rows by labels such as `[EMAIL]`, "
            "or to show it."
        ),
    ] = "mask",
) -> Response:
    """List rows, each with its content, its quality score, and what the report found in it. A page
    has at most 4 MiB of rows, so it may have fewer rows than `limit`.

    Personal data is masked, as far as the report found it in the row. With `personal_data=show`,
    the rows are shown as they are, and the audit log names their lines. Both name the places.

    At most 100,000 findings are kept for each code. A broken row is listed with its findings only.
    Returns 409 if the report is not completed.
    """
    query = query._replace(personal_data=personal_data)
    task = await operations.require_completed(caller.project_id, id_)
    file = await operations.require_file(task)
    try:
        page = await RowReader(operations.files.storage, file, task).page(query)
    except UnknownLine as e:
        raise Resource("row", label="line").unknown_after() from e
    except StorageMissing as e:
        raise operations.lost(task) from e
    except OldIndex as e:
        raise Conflict(
            f"The report {task.id} is from an earlier version, which did not note where personal "
            "data is. Create a new report."
        ) from e
    audit_trail.reveal_rows(page.revealed)
    return Response(page.body, media_type="application/json")


add_routes(
    reports,
    DatasetReports,
    read=Permission.FILES_READ,
    write=Permission.FILES_WRITE,
    cancelled=AuditEvent.FILE_REPORT_CANCELLED,
    deleted=AuditEvent.FILE_REPORT_DELETED,
)


@previews.post(
    "",
    operation_id="createDatasetPreview",
    summary="Create a preview of a file",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_PREVIEW_CREATED),
)
async def create_preview(
    body: CreateDatasetPreview,
    caller: Caller,
    files: Store,
    recognizers: RecognizerStore,
    operations: Annotated[DatasetPreviews, Depends()],
    idempotency_key: IdempotencyKey = None,
) -> DatasetPreview:
    """Read the first rows of a training file with other format options, without uploading it again.

    Each row has the record that was read, the row that jobs would train on, and its findings. The
    preview also has the format that was found, why the file cannot be read if it cannot, and the
    other format options that the file allows: sheets, rows that could name the columns, encodings,
    delimiters, shapes and columns. It works for files in any status. The same request returns the
    same preview.

    With `personal_data=mask`, values that are found to be personal, and numbers that may be, are
    replaced in the texts of all rows and choices.
    """

    async def make() -> Task:
        file = await named_file(files, caller.project_id, body.file_id, "file_id")
        require_rows(file, "file_id", "have previews")
        given = file.format if body.format is None else body.format.stored()
        options = PreviewOptions(given or {}, body.limit, body.personal_data)
        task = preview_task(file, options, await recognizers.digest(caller.project_id))
        return task.model_copy(update={"metadata": body.metadata})

    return await operations.create(make, body, caller, idempotency_key)


@previews.get(
    "/{id}/content",
    operation_id="getDatasetPreviewContent",
    summary="Get the content of a preview",
    response_class=Response,
    responses=document("DatasetPreviewContent", "Completed preview."),
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_PREVIEW_READ),
)
async def get_preview_content(
    id_: OperationId, caller: Caller, operations: Annotated[DatasetPreviews, Depends()]
) -> Response:
    """Get the rows, the findings and the other format options. Returns 409 if the preview is not
    completed.
    """
    return await send_content(operations, caller, id_, PREVIEW)


add_routes(
    previews,
    DatasetPreviews,
    read=Permission.FILES_READ,
    write=Permission.FILES_WRITE,
    cancelled=AuditEvent.FILE_PREVIEW_CANCELLED,
    deleted=AuditEvent.FILE_PREVIEW_DELETED,
)


@cleanings.post(
    "",
    operation_id="createDatasetCleaning",
    summary="Clean a data set",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.FILE_CLEANING_CREATED),
)
async def create_cleaning(
    body: CreateDatasetCleaning,
    caller: Caller,
    files: Store,
    reviews: ReviewStore,
    operations: Annotated[DatasetCleanings, Depends()],
    idempotency_key: IdempotencyKey = None,
) -> DatasetCleaning:
    """Clean a file in the background. The results are new files; the source file is not modified.

    The same file, options and recognizers produce identical bytes. When the cleaning is completed,
    train on `result.training_file_id`. The new files name the file and the cleaning that they come
    from.
    """

    async def make() -> Task:
        file = await named_file(files, caller.project_id, body.file_id, "file_id")
        if body.decisions_file_id is not None:
            await named_file(files, caller.project_id, body.decisions_file_id, "decisions_file_id")
        return Task(
            id=ids.new(ids.CLEANING),
            project_id=caller.project_id,
            created_at=clock.now_s(),
            file_id=file.id,
            kind=TaskKind.CLEANING,
            options=body.stored(),
            metadata=body.metadata,
        )

    async def write_decisions(task: Task) -> None:
        await reviews.write_decisions(await operations.require_file(task), task)

    return await operations.create(
        make, body, caller, idempotency_key, write_decisions if body.use_reviews else None
    )


add_routes(
    cleanings,
    DatasetCleanings,
    read=Permission.FILES_READ,
    write=Permission.FILES_WRITE,
    cancelled=AuditEvent.FILE_CLEANING_CANCELLED,
    deleted=AuditEvent.FILE_CLEANING_DELETED,
)


async def send_content(
    operations: TaskOperations[Any], caller: Principal, task_id: str, name: str, form: str = "json"
) -> Response:
    """Return the response with a document of a completed task. Raises NotFound and Conflict."""
    task = await operations.require_completed(caller.project_id, task_id)
    try:
        content = await operations.files.storage.get_bytes(f"{task.folder}/{name}")
    except StorageMissing as e:
        raise operations.lost(task) from e
    if form == "json":
        return Response(content, media_type="application/json")
    return Response(content, media_type=_MEDIA_TYPES[form], headers=_SAFE_HEADERS)


def _token_counting_models(registry: ModelRegistry, requested: list[str] | None) -> list[str]:
    """Return the base models whose tokenizers count tokens: the requested ones, or all.

    Raises NotFound.
    """
    offered = [entry.id for entry in registry.catalogue.all()]
    for name in requested or ():
        if name not in offered:
            raise NotFound(
                f"The base model '{name[:80]}' is not available here.",
                param="models",
                code="model_not_found",
            )
    return [name for name in offered if requested is None or name in requested]


router = APIRouter()
for one in (reports, previews, cleanings):
    router.include_router(one)
