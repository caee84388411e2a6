"""`/v1/files/merge`, and `/diff` and `/merges` of `/v1/files/{id}`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import JSONResponse, Response

from service.config import Settings
from service.core import clock, ids
from service.core.claims import Claim
from service.core.errors import BadRequest
from service.datasets.contract.versions import Change
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
from service.files.curation.recognizers.records import Recognizers
from service.files.curation.recognizers.routes import Store as RecognizerStore
from service.files.curation.records import Task, TaskKind, Tasks, TaskState
from service.files.curation.versions.diff import DIFF, diff_task, read_diff_rows
from service.files.curation.versions.schemas import (
    DiffPending,
    DiffRowObject,
    MergeObject,
    MergeRequest,
)
from service.files.records import FileRecord, Files, FileStatus, Purpose
from service.files.routes import Store, require_file
from service.files.upload import clean_name
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import AppSettings, Caller
from service.web.idempotency import comparable, create_once
from service.web.openapi.parts import headers
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paged, Resource

router = APIRouter(prefix="/v1/files", tags=["Data sets"])

MERGE = Resource("merge")

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


@router.get(
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
    """Compare a training file with a later one, such as the output of a cleaning: how many rows
    are unchanged, changed, removed and added, and what shifts in languages, lengths, turns, system
    prompts, tools, classes and personal data.

    The order of the rows does not matter, and each copy of a row counts. The first request starts
    the comparison in the background; the response is 202 until it is ready. Later requests return
    the same diff, until a recognizer of the project changes.
    """
    pair = await _pair(files, caller, file_id, other_file)
    task = await _compare(pair, caller, tasks, recognizers, settings)
    if isinstance(task, DiffPending):
        return pending(task)
    async with restarted_if_lost(tasks, task, _LOST):
        content = await files.storage.get_bytes(f"{task.folder}/{DIFF}")
    made = encode_result(task, "file.diff", content, other_file=other_file)
    return Response(made, media_type="application/json")


@router.get(
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
    """List the rows that differ between a training file and a later one, each with its lines and
    both versions: first the changed rows, then the removed ones, then the added ones. A page has at
    most 4 MiB of rows, so it may have fewer rows than `limit`.

    The rows come from the same comparison as the diff, which the first request starts: the response
    is 202 until it is ready.
    """
    pair = await _pair(files, caller, file_id, other_file)
    task = await _compare(pair, caller, tasks, recognizers, settings)
    if isinstance(task, DiffPending):
        return pending(task)
    async with restarted_if_lost(tasks, task, _LOST):
        page = await read_diff_rows(
            files.storage, pair, task, change=change, after=int(after or 0), limit=limit
        )
    return Response(page, media_type="application/json")


@router.post(
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
    """Merge 2 to 20 training files into a new file in the background. The files are not modified.

    Exact duplicates are kept once, and rows can be balanced between files or languages. Questions
    that several files answer differently are counted and named. The same files and options produce
    identical bytes. Poll `retrieveFileMerge` until the status is `completed` or `failed`, then
    train on `merged_file`, which names the files and the merge that it comes from.
    """

    async def make(claim: Claim[Task]) -> Task:
        for number, one in enumerate(body.files):
            await _check_mergeable(files, caller, one.file_id, f"files.{number}.file_id")
        await check_room(settings, tasks, caller)
        task = Task(
            id=ids.new(ids.MERGE),
            project_id=caller.project_id,
            created_at=clock.now_s(),
            file_id=body.files[0].file_id,
            kind=TaskKind.MERGE,
            options=body.stored(clean_name(body.filename)),
        )
        return await tasks.create(task, claim)

    raw = comparable(body)
    return await create_once(
        MergeObject, tasks.redis, caller.project_id, idempotency_key, raw, make
    )


@router.get(
    "/{file_id}/merges",
    operation_id="listFileMerges",
    summary="List merges",
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_merges(
    file_id: str, caller: Caller, files: Store, tasks: TaskStore, paging: Paged
) -> ListOf[MergeObject]:
    """List the merges whose first file this is, newest first. They are deleted with the file."""
    file = await require_file(files, caller.project_id, file_id)
    page = list_tasks(tasks, file, TaskKind.MERGE, paging)
    return await MERGE.list(page, MergeObject.from_record)


@router.get(
    "/{file_id}/merges/{merge_id}",
    operation_id="retrieveFileMerge",
    summary="Retrieve a merge",
    openapi_extra=needs(Permission.FILES_READ),
)
async def retrieve_merge(
    file_id: str, merge_id: str, caller: Caller, files: Store, tasks: TaskStore
) -> MergeObject:
    """Retrieve a merge's status, its output files, what became of the rows of each file, and the
    conflicts between the files. `file_id` is the first of the merged files.
    """
    file = await require_file(files, caller.project_id, file_id)
    return MergeObject.from_record(await get_task(tasks, file, merge_id, ids.MERGE, MERGE))


async def _check_mergeable(files: Files, caller: Principal, file_id: str, param: str) -> None:
    """Raise NotFound, or BadRequest if a parameter names a file that cannot be merged.

    A file of labeled answers may be in error because it lacks a label that another file has. The
    merge finds other errors.
    """
    file = await require_named_file(files, caller, file_id, param)
    _require_rows(file, param)
    if file.row_format != "labeled":
        _require_no_error(file, param)


async def _require_source(files: Files, caller: Principal, file_id: str, param: str) -> FileRecord:
    """Return the training file that a parameter names. Raises NotFound and BadRequest."""
    file = await require_named_file(files, caller, file_id, param)
    _require_rows(file, param)
    _require_no_error(file, param)
    return file


def _require_no_error(file: FileRecord, param: str) -> None:
    if file.status is FileStatus.ERROR:
        raise BadRequest(
            f"The file {file.id} cannot be used: {file.status_details} Clean it first.",
            param=param,
            code="invalid_training_file",
        )


def _require_rows(file: FileRecord, param: str) -> None:
    if file.purpose is not Purpose.FINE_TUNE:
        raise BadRequest(
            f"The file {file.id} has the purpose '{file.purpose}'; only files with the purpose "
            "'fine-tune' can be compared or merged.",
            param=param,
            code="invalid_file_purpose",
        )


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


async def _pair(
    files: Files, caller: Principal, file_id: str, other_id: str
) -> tuple[FileRecord, FileRecord]:
    """Return the files to compare. Raises NotFound, and BadRequest if they are unsuitable."""
    file = await require_file(files, caller.project_id, file_id)
    _require_rows(file, "file_id")
    return file, await _require_source(files, caller, other_id, "other_file")
