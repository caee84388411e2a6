"""Comparisons and merges of version 0.2: `/v1/files/merge`, and `/diff` and `/merges` of
`/v1/files/{id}`.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Header, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from service.config import Settings
from service.core import ids
from service.core.claims import Claim
from service.datasets.contract.versions import Change
from service.files.curation.deprecated import OldState, TaskFailure, old_state
from service.files.curation.file_tasks import (
    TaskStore,
    check_room,
    encode_result,
    get_or_start,
    get_task,
    list_tasks,
    pending,
    restarted_if_lost,
)
from service.files.curation.recognizers.records import Recognizers
from service.files.curation.recognizers.routes import Store as RecognizerStore
from service.files.curation.records import Task, TaskKind, Tasks, TaskState
from service.files.curation.versions.diff import DIFF, diff_task, read_diff_rows
from service.files.curation.versions.routes import new_merge, require_pair
from service.files.curation.versions.schemas import (
    DiffRowObject,
    FileToMerge,
    MergedFileObject,
    MergeRequest,
    RowOfFileObject,
)
from service.files.records import FileRecord, Files, FileStatus
from service.files.routes import Store, require_file
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deprecation import deprecated_router
from service.web.deps import AppSettings, Caller
from service.web.idempotency import comparable, create_once
from service.web.openapi.parts import headers
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paged, Resource

_TAGS: list[str | Enum] = ["Data sets"]
diffs, rows, merges = (
    deprecated_router("/v1/files", successor=f"/v1/{path}", tags=_TAGS)
    for path in ("dataset_diffs", "dataset_diffs/{id}/rows", "dataset_merges")
)

MERGE = Resource("merge")


class DiffPending(BaseModel):
    """A comparison in progress. Retry after `retry-after` seconds."""

    id: str = Field(description="ID of the diff.")
    object: Literal["file.diff"] = "file.diff"
    file_id: str = Field(description="ID of the earlier file.")
    other_file: str = Field(description="ID of the later file.")
    status: Literal[OldState.IN_PROGRESS] = Field(
        default=OldState.IN_PROGRESS, description="Status of the comparison. Always `in_progress`."
    )


class MergeObject(BaseModel):
    """A merge of files. The merged file is a new file."""

    id: str = Field(description="ID of the merge, prefixed with `filemerge-`.")
    object: Literal["file.merge"] = "file.merge"
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    finished_at: int | None = Field(
        description="Time the merge ended, as a Unix timestamp in seconds; null while it runs."
    )
    file_id: str = Field(
        description="ID of the first file, below which the merge is retrieved and listed."
    )
    files: list[FileToMerge] = Field(description="Files to merge, as requested.")
    filename: str = Field(description="Name of the merged file.")
    status: OldState = Field(
        description="Status of the merge: `in_progress`, then `completed` or `failed`."
    )
    options: dict[str, Any] = Field(description="Options of the merge.")
    error: TaskFailure | None = Field(description="Error that made the merge fail; null otherwise.")
    merged_file: str | None = Field(default=None, description="ID of the merged file.")
    diff_file: str | None = Field(
        default=None,
        description="ID of a JSON Lines file that names each row that was left out, with the "
        "reason, and each row that conflicts with one of another file.",
    )
    rows: int | None = Field(default=None, description="Number of rows in the merged file.")
    sources: list[MergedFileObject] | None = Field(
        default=None, description="Result of the merge for the rows of each file."
    )
    languages: dict[str, int] | None = Field(
        default=None, description="Number of rows in the merged file, by language."
    )
    conflicts: int | None = Field(
        default=None,
        description="Number of questions in the merged file that several files answer differently.",
    )
    conflict_examples: list[list[RowOfFileObject]] | None = Field(
        default=None, description="Rows of the first 20 conflicts, up to five each."
    )

    @classmethod
    def from_record(cls, task: Task) -> Self:
        """Return the API object of a record."""
        return cls(
            id=task.id,
            created_at=task.created_at,
            finished_at=task.finished_at,
            file_id=task.file_id,
            status=old_state(task),
            error=TaskFailure.from_record(task),
            **task.options,
            **(task.result or {}),
        )


_DIFF = {"schema": {"$ref": "#/components/schemas/FileDiff"}}
_PENDING: dict[str, Any] = {
    "model": DiffPending,
    "description": "Comparison in progress. Retry after `retry-after` seconds.",
    "headers": headers("retry-after"),
}
_LOST = "The diff is no longer in storage; the files are being compared again."

OtherFile = Annotated[
    str,
    Query(max_length=128, description="ID of the later file, which has passed its check."),
]


@diffs.get(
    "/{file_id}/diff",
    operation_id="retrieveFileDiff",
    summary="Compare two files",
    response_class=JSONResponse,
    response_model=None,
    responses={
        200: {"description": "Completed comparison.", "content": {"application/json": _DIFF}},
        202: _PENDING,
    },
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_DIFF_READ),
)
async def retrieve_diff(
    file_id: str,
    other_file: OtherFile,
    caller: Caller,
    files: Store,
    tasks: TaskStore,
    recognizers: RecognizerStore,
    settings: AppSettings,
) -> Response:
    """Use `createDatasetDiff`."""
    pair = await _pair(files, caller, file_id, other_file)
    task = await _compare(pair, caller, tasks, recognizers, settings)
    if isinstance(task, DiffPending):
        return pending(task)
    async with restarted_if_lost(tasks, task, _LOST):
        content = await files.storage.get_bytes(f"{task.folder}/{DIFF}")
    made = encode_result(task, "file.diff", content, other_file=other_file)
    return Response(made, media_type="application/json")


@rows.get(
    "/{file_id}/diff/rows",
    operation_id="listFileDiffRows",
    summary="List the rows that differ",
    response_model=ListOf[DiffRowObject],
    responses={202: _PENDING},
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_DIFF_ROWS_READ),
)
async def list_diff_rows(
    file_id: str,
    other_file: OtherFile,
    caller: Caller,
    files: Store,
    tasks: TaskStore,
    recognizers: RecognizerStore,
    settings: AppSettings,
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
) -> Response:
    """Use `listDatasetDiffRows`."""
    pair = await _pair(files, caller, file_id, other_file)
    task = await _compare(pair, caller, tasks, recognizers, settings)
    if isinstance(task, DiffPending):
        return pending(task)
    async with restarted_if_lost(tasks, task, _LOST):
        page = await read_diff_rows(
            files.storage, pair, task, change=change, after=int(after or 0), limit=limit
        )
    audit_trail.reveal_rows(page.revealed, page.revealed_others)
    return Response(page.body, media_type="application/json")


@merges.post(
    "/merge",
    operation_id="createFileMerge",
    summary="Merge files",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.FILE_MERGE_CREATED),
)
async def merge_files(
    body: MergeRequest,
    caller: Caller,
    files: Store,
    tasks: TaskStore,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> MergeObject:
    """Use `createDatasetMerge`."""

    async def make(claim: Claim[Task]) -> Task:
        task = await new_merge(body, caller, files)
        await check_room(settings, tasks, caller)
        return await tasks.create(task, claim)

    raw = comparable(body)
    return await create_once(
        MergeObject, tasks.redis, caller.project_id, idempotency_key, raw, make
    )


@merges.get(
    "/{file_id}/merges",
    operation_id="listFileMerges",
    summary="List merges",
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_merges(
    file_id: str, caller: Caller, files: Store, tasks: TaskStore, paging: Paged
) -> ListOf[MergeObject]:
    """Use `listDatasetMerges`."""
    file = await require_file(files, caller.project_id, file_id)
    page = list_tasks(tasks, file, TaskKind.MERGE, paging)
    return await MERGE.list(page, MergeObject.from_record)


@merges.get(
    "/{file_id}/merges/{merge_id}",
    operation_id="retrieveFileMerge",
    summary="Retrieve a merge",
    openapi_extra=needs(Permission.FILES_READ),
)
async def retrieve_merge(
    file_id: str, merge_id: str, caller: Caller, files: Store, tasks: TaskStore
) -> MergeObject:
    """Use `getDatasetMerge`."""
    file = await require_file(files, caller.project_id, file_id)
    return MergeObject.from_record(await get_task(tasks, file, merge_id, ids.MERGE, MERGE))


async def _pair(
    files: Files, caller: Principal, file_id: str, other_id: str
) -> tuple[FileRecord, FileRecord]:
    await require_file(files, caller.project_id, file_id)
    return await require_pair(files, caller, file_id, other_id, "other_file")


async def _compare(
    pair: tuple[FileRecord, FileRecord],
    caller: Principal,
    tasks: Tasks,
    recognizers: Recognizers,
    settings: Settings,
) -> Task | DiffPending:
    """Return the completed comparison of two files, or start it."""
    file, other = pair
    task = diff_task(file, other, await recognizers.digest(caller.project_id))
    # The rows of the later file are stored when its check ends. A copy of them next to the earlier
    # file would outlive the later one.
    if other.status is not FileStatus.UPLOADED:
        task = await get_or_start(task, tasks, settings, caller)
        if task.state is TaskState.COMPLETED:
            return task
    return DiffPending(id=task.id, file_id=file.id, other_file=other.id)


router = APIRouter()
for one in (diffs, rows, merges):
    router.include_router(one)
