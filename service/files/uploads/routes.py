"""`/v1/uploads`: OpenAI's create, add part, complete and cancel, plus retrieve and list parts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from service.core import clock, ids
from service.core.errors import BadRequest, LimitReached
from service.files.body import body_of, body_schema
from service.files.routes import UploadSlots
from service.files.upload import clean_name, enqueue_check
from service.files.uploads import assembly
from service.files.uploads.records import (
    LIFETIME_S,
    UploadRecord,
    Uploads,
    UploadStatus,
    require_pending,
)
from service.files.uploads.schemas import (
    UploadComplete,
    UploadCreate,
    UploadObject,
    UploadPartObject,
)
from service.web.audit_events import AuditEvent
from service.web.deps import AppSettings, Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, list_of

router = APIRouter(prefix="/v1/uploads", tags=["Uploads"])


Store = Annotated[Uploads, Depends(resource("uploads"))]


async def _existing(store: Store, caller: Caller, upload_id: str) -> UploadRecord:
    upload = None
    if ids.is_valid(upload_id, ids.UPLOAD):
        upload = await store.get(caller.project_id, upload_id, clock.now_s())
    return assembly.UPLOAD.get_or_404(upload, upload_id)


Existing = Annotated[UploadRecord, Depends(_existing)]


@router.post(
    "",
    operation_id="createUpload",
    summary="Create a multipart upload",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.UPLOAD_CREATED),
)
async def create_upload(
    body: UploadCreate, caller: Caller, store: Store, settings: AppSettings
) -> UploadObject:
    """Create an upload for a file that exceeds the limit of `/v1/files`, or for an unreliable
    connection. A file may have up to 8 GiB, in parts of up to 64 MiB. The upload expires after
    one hour unless it is completed.
    """
    if body.bytes > settings.max_upload_bytes:
        raise BadRequest(
            f"The file is over the limit of {settings.max_upload_bytes} bytes.",
            param="bytes",
            code="invalid_value",
        )
    now_s = clock.now_s()
    if await store.pending(caller.project_id, now_s) >= settings.max_pending_uploads_per_project:
        raise LimitReached(
            f"The project may have {settings.max_pending_uploads_per_project} uploads in "
            f"progress. Complete or cancel one; each ends after an hour."
        )
    upload = UploadRecord(
        id=ids.new(ids.UPLOAD),
        project_id=caller.project_id,
        created_at=now_s,
        filename=clean_name(body.filename),
        purpose=body.purpose,
        bytes=body.bytes,
        mime_type=body.mime_type,
        expires_at=now_s + LIFETIME_S,
        file_expires_after_s=body.expires_after and body.expires_after.seconds,
        format=body.format and body.format.stored(),
        key_id=caller.key_id,
    )
    return UploadObject.from_record(await store.create(upload))


@router.get(
    "/{upload_id}",
    operation_id="getUpload",
    summary="Retrieve an upload",
    openapi_extra=needs(Permission.FILES_READ),
)
async def retrieve_upload(upload: Existing, store: Store) -> UploadObject:
    """Retrieve an upload's status (`pending`, `completed`, `cancelled` or `expired`) and the
    resulting file.
    """
    return UploadObject.from_record(upload, await store.file_of(upload))


@router.post(
    "/{upload_id}/parts",
    operation_id="createUploadPart",
    summary="Add a part",
    openapi_extra=needs(
        Permission.FILES_WRITE, AuditEvent.UPLOAD_PART_ADDED, requestBody=body_schema("data", {})
    ),
)
async def add_part(
    request: Request, upload: Existing, store: Store, slots: UploadSlots, settings: AppSettings
) -> UploadPartObject:
    """Add a part as the field `data` of a multipart form, as the SDKs do, or as raw bytes.

    Parts may arrive in any order and in parallel; `completeUpload` sets their order.
    """
    body = body_of(request, "data")
    async with slots.hold(upload.project_id):
        part = await assembly.receive_part(
            store, upload, body, max_part_bytes=settings.max_upload_part_bytes
        )
    return UploadPartObject.from_record(part)


@router.get(
    "/{upload_id}/parts",
    operation_id="listUploadParts",
    summary="List upload parts",
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_parts(upload: Existing, store: Store) -> ListOf[UploadPartObject]:
    """List the received parts, oldest first, with the size and MD5 of each, so that an
    interrupted client can send the missing parts.
    """
    return list_of(
        [UploadPartObject.from_record(part) for part in await store.parts(upload)], has_more=False
    )


@router.post(
    "/{upload_id}/complete",
    operation_id="completeUpload",
    summary="Complete an upload",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.UPLOAD_COMPLETED),
)
async def complete_upload(body: UploadComplete, upload: Existing, store: Store) -> UploadObject:
    """Join the parts into a file, in the order of `part_ids`. Their total size must match the
    declared size, and the result must match `md5` if given. A `fine-tune` file is then checked,
    as after a single-request upload. Repeating the request with the same parts returns the same
    result.
    """
    upload, file = await assembly.complete(store, upload, body.part_ids, body.md5)
    if file is not None:
        await enqueue_check(store.files, file)
    await store.purge(upload)
    return UploadObject.from_record(upload, file)


@router.post(
    "/{upload_id}/cancel",
    operation_id="cancelUpload",
    summary="Cancel an upload",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.UPLOAD_CANCELLED),
)
async def cancel_upload(upload: Existing, store: Store) -> UploadObject:
    """Cancel an upload and delete its parts. It then accepts no more parts. A completed upload
    cannot be canceled; delete its file instead.
    """
    if upload.status is not UploadStatus.CANCELLED:
        require_pending(upload)
        with assembly.UPLOAD.existing(upload.id):
            upload = await store.end(upload, UploadStatus.CANCELLED, clock.now_s())
    await store.purge(upload)
    return UploadObject.from_record(upload)
