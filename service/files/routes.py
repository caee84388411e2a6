"""`/v1/files`: upload, list, retrieve, download and delete files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from service.core import clock, ids
from service.core.backpressure import Slots
from service.core.errors import NotFound
from service.core.storage import StorageMissing
from service.files.body import BYTES, FILE_BODY, body_of
from service.files.records import FileRecord, Files, FileStatus, Purpose
from service.files.schemas import FileDeleted, FileObject
from service.files.upload import enqueue_check, receive
from service.web.audit_events import AuditEvent
from service.web.deps import AppSettings, Caller, resource
from service.web.filters import CountedList, ListFilter, by_status, find
from service.web.openapi.parts import headers
from service.web.permissions import Permission, needs
from service.web.resources import Paging, Resource, long_list, ordered_paging

router = APIRouter(prefix="/v1/files", tags=["Files"])


Store = Annotated[Files, Depends(resource("files"))]
JobsNeeding = Annotated[
    Callable[[str, str], Awaitable[list[str]]], Depends(resource("jobs_needing_file"))
]
"""Returns the IDs of a project's unfinished jobs, batches and generations that read a file."""
EraseFile = Annotated[Callable[..., Awaitable[FileDeleted]], Depends(resource("erase_file"))]
"""Deletes a file for a key: `erase_file(record, key_id, cascade=…)`."""
UploadSlots = Annotated[Slots, Depends(resource("upload_slots"))]

FILE = Resource("File object", "id")


async def require_file(store: Files, project_id: str, file_id: str) -> FileRecord:
    """Return the project's file. Raises NotFound."""
    record = None
    if ids.is_valid(file_id, ids.FILE):
        record = await store.get(project_id, file_id, clock.now_s())
    return FILE.get_or_404(record, file_id)


@router.post(
    "",
    operation_id="createFile",
    summary="Upload a file",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.FILE_CREATED, **FILE_BODY),
)
async def create_file(
    request: Request, caller: Caller, store: Store, slots: UploadSlots, settings: AppSettings
) -> FileObject:
    """Upload a file as a multipart form, as the SDKs do, or as raw bytes with the fields in the
    query string. The file streams to storage in one pass.

    A file with the purpose `fine-tune` is then checked line by line. Its status is `uploaded`
    until the check ends, then `processed`, or `error` with the reason in `status_details`.
    Supported formats are JSON Lines, JSON, CSV, TSV, Parquet, XLSX, XLS and ODS, optionally
    compressed with gzip, zstd, bzip2 or xz, or in a ZIP or TAR archive. A text or Markdown file
    becomes rows of texts, for continued pre-training. Set `format` if the columns have custom
    names. Use `/v1/uploads` for larger files.
    """
    body = body_of(request, "file")
    async with slots.hold(caller.project_id):
        record = await receive(
            body,
            store,
            caller.project_id,
            max_bytes=settings.max_file_bytes,
            key_id=caller.key_id,
        )
    await enqueue_check(store, record)
    return FileObject.from_record(record)


@router.get(
    "",
    operation_id="listFiles",
    summary="List files",
    response_model=CountedList[FileObject],
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_files(
    caller: Caller,
    store: Store,
    paging: Annotated[Paging, ordered_paging("desc", default=10_000, most=10_000)],
    wanted: Annotated[ListFilter, by_status(FileStatus)],
    purpose: Annotated[Purpose | None, Query(description="Purpose to filter by.")] = None,
) -> Response:
    """List the project's files, newest first by default. Expired files are omitted."""
    if wanted.is_set:
        now_s = clock.now_s()
        found = await FILE.read(
            find(
                store.records,
                caller.project_id,
                wanted,
                paging,
                texts=("filename",),
                fields=("expires_at", "purpose"),
                also=lambda file: (
                    purpose in (None, file.purpose)
                    and (file.expires_at is None or file.expires_at > now_s)
                ),
            )
        )
        shown = FileObject.from_record
        return await long_list(found.items, shown, found.has_more, counts=found.counts)
    page = await FILE.read(
        store.page(caller.project_id, clock.now_s(), **paging.bounds, purpose=purpose)
    )
    return await long_list(page.items, FileObject.from_record, page.has_more)


@router.get(
    "/{file_id}",
    operation_id="getFile",
    summary="Retrieve a file",
    openapi_extra=needs(Permission.FILES_READ),
)
async def retrieve_file(file_id: str, caller: Caller, store: Store) -> FileObject:
    """Retrieve a file's metadata and the result of its check: `status`, plus the number of rows
    and warnings, or the line and the error in `status_details`.
    """
    return FileObject.from_record(await require_file(store, caller.project_id, file_id))


@router.get(
    "/{file_id}/content",
    operation_id="getFileContent",
    summary="Download a file",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Content of the file.",
            "headers": headers("content-disposition"),
            "content": {"application/octet-stream": {"schema": BYTES}},
        }
    },
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.FILE_CONTENT_READ),
)
async def download_file(file_id: str, caller: Caller, store: Store) -> StreamingResponse:
    """Download the exact bytes that were uploaded, or that a job or a cleaning wrote."""
    record = await require_file(store, caller.project_id, file_id)
    try:
        chunks = await store.storage.stream(record.content_key)
    except StorageMissing as e:
        raise NotFound("The bytes of this file are no longer in storage.", param="id") from e
    return StreamingResponse(
        chunks,
        media_type="application/octet-stream",
        headers={
            "content-length": str(record.bytes),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(record.filename)}",
        },
    )


@router.delete(
    "/{file_id}",
    operation_id="deleteFile",
    summary="Delete a file",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.FILE_DELETED),
)
async def delete_file(
    file_id: str,
    caller: Caller,
    store: Store,
    jobs_needing: JobsNeeding,
    erase_file: EraseFile,
    cascade: Annotated[
        bool,
        Query(
            description="Whether to delete everything that was trained on the file too: models, "
            "checkpoints, exports and evaluations. Needs the permission `model.write`."
        ),
    ] = False,
) -> FileDeleted:
    """Delete a file's record, content and reports immediately. `models` lists the models that were
    trained on the file, and `derived_files` the files that were made from it. Both are kept.

    With `cascade=true`, the models of all jobs that read the file are deleted with their
    checkpoints, exports and evaluations, and unfinished jobs are cancelled. The request fails with
    409 while an alias points at one of the models; then nothing is deleted.

    `unfinished_jobs` lists the jobs, batches and generations that still read the file: they fail
    unless they have already started. `receipts` has the IDs of signed receipts, which say what was
    erased; see `GET /v1/erasure_receipts/{receipt_id}`.
    """
    if cascade:
        caller.require(Permission.MODEL_WRITE)
    record = await require_file(store, caller.project_id, file_id)
    answer = await erase_file(record, caller.key_id, cascade=cascade)
    jobs = await jobs_needing(caller.project_id, record.id)
    return answer.model_copy(update={"unfinished_jobs": jobs})
