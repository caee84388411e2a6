"""`/v1/dataset_diffs` and `/v1/dataset_merges`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, ClassVar, Final

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from service.core import clock, ids
from service.core.errors import BadRequest, Conflict
from service.core.storage import StorageMissing
from service.datasets.contract.versions import Change
from service.files.curation.operations import (
    IdempotencyKey,
    OperationId,
    TaskOperations,
    require_rows,
)
from service.files.curation.recognizers.routes import Store as RecognizerStore
from service.files.curation.records import Task, TaskKind
from service.files.curation.routes import document, send_content
from service.files.curation.rows import OldIndex, PersonalDataMode
from service.files.curation.versions.diff import DIFF, diff_task, read_diff_rows
from service.files.curation.versions.schemas import (
    CreateDatasetDiff,
    CreateDatasetMerge,
    DatasetDiff,
    DatasetMerge,
    DiffRowObject,
)
from service.files.lookup import named_file
from service.files.records import FileRecord, Files, FileStatus
from service.files.routes import Store
from service.files.upload import clean_name
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import Caller
from service.web.operations import add_routes
from service.web.permissions import Permission, needs
from service.web.resources import ListOf

_TAGS: Final[list[str | Enum]] = ["Data sets"]
_USE: Final = "can be compared or merged"
diffs = APIRouter(prefix="/v1/dataset_diffs", tags=_TAGS)
merges = APIRouter(prefix="/v1/dataset_merges", tags=_TAGS)


class DatasetDiffs(TaskOperations[DatasetDiff]):
    """The comparisons of training files."""

    noun = "diff"
    schema = DatasetDiff
    id_prefix = ids.DIFF
    filters: ClassVar = {
        "file_id": "ID of the earlier file.",
        "other_file_id": "ID of the later file.",
    }
    content = DIFF

    def matches(self, record: Task, filters: Mapping[str, str]) -> bool:
        """Return whether the record has these values of the `filters`."""
        values = {"file_id": record.file_id, "other_file_id": record.options["other_file"]}
        return filters.items() <= values.items()


class DatasetMerges(TaskOperations[DatasetMerge]):
    """The merges of training files."""

    noun = "merge"
    schema = DatasetMerge
    id_prefix = ids.MERGE
    kept = "files"
    filters: ClassVar = {"file_id": "ID of one of the merged files."}

    def matches(self, record: Task, filters: Mapping[str, str]) -> bool:
        """Return whether the record has these values of the `filters`."""
        merged = {one["file_id"] for one in record.options["files"]}
        return "file_id" not in filters or filters["file_id"] in merged


@diffs.post(
    "",
    operation_id="createDatasetDiff",
    summary="Compare two files",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_DIFF_CREATED),
)
async def create_diff(
    body: CreateDatasetDiff,
    caller: Caller,
    files: Store,
    recognizers: RecognizerStore,
    operations: Annotated[DatasetDiffs, Depends()],
    idempotency_key: IdempotencyKey = None,
) -> DatasetDiff:
    """Compare a training file with a later one, such as the output of a cleaning: how many rows
    are unchanged, changed, removed and added, and what shifts in languages, lengths, turns, system
    prompts, tools, classes and personal data.

    The order of the rows does not matter, and each copy of a row counts. The same request returns
    the same diff, until a recognizer of the project changes. Returns 409 while the later file is
    being checked.
    """

    async def make() -> Task:
        file = await named_file(files, caller.project_id, body.file_id, "file_id")
        require_rows(file, "file_id", _USE)
        other = await named_file(files, caller.project_id, body.other_file_id, "other_file_id")
        require_rows(other, "other_file_id", _USE)
        _require_no_error(other, "other_file_id")
        # The rows of the later file are stored when its check ends. A copy of them next to the
        # earlier file would outlive the later one.
        if other.status is FileStatus.UPLOADED:
            raise Conflict(
                f"The file {other.id} is still being checked. Try again when its status is "
                "`processed`.",
                param="other_file_id",
            )
        task = diff_task(file, other, await recognizers.digest(caller.project_id))
        return task.model_copy(update={"metadata": body.metadata})

    return await operations.create(make, body, caller, idempotency_key)


@diffs.get(
    "/{id}/content",
    operation_id="getDatasetDiffContent",
    summary="Get the content of a diff",
    response_class=Response,
    responses=document("DatasetDiffContent", "Completed comparison."),
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_DIFF_READ),
)
async def get_diff_content(
    id_: OperationId,
    caller: Caller,
    files: Store,
    operations: Annotated[DatasetDiffs, Depends()],
) -> Response:
    """Get the comparison, with statistics of both files and what shifts between them. Returns 409
    if it is not completed.
    """
    task = await operations.require_completed(caller.project_id, id_)
    # Its classes are in the statistics, and they must not outlive it.
    await named_file(files, caller.project_id, task.options["other_file"], "id")
    return await send_content(operations, caller, id_, DIFF)


@diffs.get(
    "/{id}/rows",
    operation_id="listDatasetDiffRows",
    summary="List the rows that differ",
    response_model=ListOf[DiffRowObject],
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_DIFF_ROWS_READ),
)
async def list_diff_rows(
    id_: OperationId,
    caller: Caller,
    files: Store,
    operations: Annotated[DatasetDiffs, Depends()],
    change: Annotated[
        Change | None, Query(description="Kind of difference; all if omitted.")
    ] = None,
    after: Annotated[
        str | None,
        Query(
            pattern=r"^[0-9]{1,12}$",
            description="Position to start after: the `last_id` of the previous page.",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    personal_data: Annotated[
        PersonalDataMode,
        Query(
            description="Whether to show personal data in the rows, or to replace it by labels "
            "such as `[EMAIL]`."
        ),
    ] = "show",
) -> Response:
    """List the rows that differ between a training file and a later one, each with its lines and
    both versions: first the changed rows, then the removed ones, then the added ones. A page has at
    most 4 MiB of rows, so it may have fewer rows than `limit`. Returns 409 if the diff is not
    completed.
    """
    task = await operations.require_completed(caller.project_id, id_)
    file = await operations.require_file(task)
    # Its rows may be needed, and they must not outlive it.
    other = await named_file(files, caller.project_id, task.options["other_file"], "id")
    try:
        page = await read_diff_rows(
            files.storage,
            (file, other),
            task,
            change=change,
            after=int(after or 0),
            limit=limit,
            personal_data=personal_data,
        )
    except StorageMissing as e:
        raise operations.lost(task) from e
    except OldIndex as e:
        raise Conflict(
            f"The diff {task.id} is from an earlier version, which did not note where personal "
            "data is. Delete it and create it again."
        ) from e
    audit_trail.reveal_rows(page.revealed, page.revealed_others)
    return Response(page.body, media_type="application/json")


add_routes(
    diffs,
    DatasetDiffs,
    read=Permission.FILES_READ,
    write=Permission.FILES_WRITE,
    cancelled=AuditEvent.FILE_DIFF_CANCELLED,
    deleted=AuditEvent.FILE_DIFF_DELETED,
)


@merges.post(
    "",
    operation_id="createDatasetMerge",
    summary="Merge files",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.FILE_MERGE_CREATED),
)
async def create_merge(
    body: CreateDatasetMerge,
    caller: Caller,
    files: Store,
    operations: Annotated[DatasetMerges, Depends()],
    idempotency_key: IdempotencyKey = None,
) -> DatasetMerge:
    """Merge 2 to 20 training files into a new file in the background. The files are not modified.

    Exact duplicates are kept once, and rows can be balanced between files or languages. Questions
    that several files answer differently are counted and named. The same files and options produce
    identical bytes. When the merge is completed, train on `result.merged_file_id`, which names the
    files and the merge that it comes from.
    """

    async def make() -> Task:
        for number, one in enumerate(body.files):
            await _check_mergeable(files, caller, one.file_id, f"files.{number}.file_id")
        return Task(
            id=ids.new(ids.MERGE),
            project_id=caller.project_id,
            created_at=clock.now_s(),
            file_id=body.files[0].file_id,
            kind=TaskKind.MERGE,
            options=body.stored(clean_name(body.filename)),
            metadata=body.metadata,
        )

    return await operations.create(make, body, caller, idempotency_key)


add_routes(
    merges,
    DatasetMerges,
    read=Permission.FILES_READ,
    write=Permission.FILES_WRITE,
    cancelled=AuditEvent.FILE_MERGE_CANCELLED,
    deleted=AuditEvent.FILE_MERGE_DELETED,
)


async def _check_mergeable(files: Files, caller: Principal, file_id: str, param: str) -> None:
    """Raise NotFound, or BadRequest if a parameter names a file that cannot be merged.

    A file of labeled answers may be in error because it lacks a label that another file has. The
    merge finds other errors.
    """
    file = await named_file(files, caller.project_id, file_id, param)
    require_rows(file, param, _USE)
    if file.row_format != "labeled":
        _require_no_error(file, param)


def _require_no_error(file: FileRecord, param: str) -> None:
    if file.status is FileStatus.ERROR:
        raise BadRequest(
            f"The file {file.id} cannot be used: {file.status_details} Clean it first.",
            param=param,
            code="invalid_training_file",
        )


router = APIRouter()
for one in (diffs, merges):
    router.include_router(one)
