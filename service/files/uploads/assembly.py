"""Stores the parts of an upload, and joins them into a file."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence

from service.core import clock, ids
from service.core.errors import BadRequest, Conflict, TooLarge
from service.core.records import Missing
from service.core.storage import Storage, StorageError, StorageMissing
from service.files.body import Body
from service.files.records import FileRecord, new_record
from service.files.upload import Digest, disk_full_errors, write_stream
from service.files.uploads.records import (
    PartRecord,
    UploadRecord,
    Uploads,
    UploadStatus,
    part_key,
    require_pending,
    require_room,
)
from service.web.resources import Resource

UPLOAD = Resource("Upload object", "upload_id")


async def receive_part(
    uploads: Uploads, upload: UploadRecord, body: Body, *, max_part_bytes: int
) -> PartRecord:
    """Stream one part into storage and register it.

    Raises BadRequest, TooLarge or InsufficientStorage. In each case, nothing is kept.
    """
    require_pending(upload)
    most_bytes = 2 * upload.bytes + max_part_bytes
    require_room(upload, 0, most_bytes)
    part_id, md5 = ids.new(ids.PART), hashlib.md5(usedforsecurity=False)
    key = part_key(upload, part_id)
    with disk_full_errors():
        expected_bytes = min(body.least_bytes, max_part_bytes)
        async with await uploads.storage.writer(key, expected_bytes=expected_bytes) as writer:
            size = await write_stream(
                body.chunks(),
                writer,
                [md5],
                max_bytes=max_part_bytes,
                too_large=TooLarge(
                    f"The part is over the limit of {max_part_bytes} bytes. Send smaller parts.",
                    param="data",
                ),
            )
    part = PartRecord(
        id=part_id,
        project_id=upload.project_id,
        created_at=clock.now_s(),
        upload_id=upload.id,
        bytes=size,
        md5=md5.hexdigest(),
    )
    try:
        part = await uploads.add_part(upload, part, most_bytes=most_bytes)
    except (BadRequest, Conflict):
        await uploads.storage.delete(key)
        raise
    except Missing as e:
        await uploads.storage.delete(key)
        raise UPLOAD.not_found(upload.id) from e
    return part


async def complete(
    uploads: Uploads, upload: UploadRecord, part_ids: Sequence[str], md5: str | None
) -> tuple[UploadRecord, FileRecord | None]:
    """Join the parts into a file, and complete the upload.

    Repeating the call with the same parts returns the same result, even if two requests race: the
    second one discards its bytes. Raises Conflict if the upload has ended otherwise. Raises
    BadRequest if the parts do not form the declared file, and InsufficientStorage: the upload then
    stays pending.
    """
    try:
        return await _complete(uploads, upload, part_ids, md5)
    except (BadRequest, Conflict, StorageMissing, Missing):
        # Another request may have ended the upload in the meantime.
        current = await uploads.get(upload.project_id, upload.id, clock.now_s())
        if current is None:
            raise UPLOAD.not_found(upload.id) from None
        if current.status is not UploadStatus.COMPLETED:
            require_pending(current)
            raise
        if current.part_ids != tuple(part_ids):
            raise Conflict(
                "This upload was completed with different parts.", param="part_ids"
            ) from None
        return current, await uploads.file_of(current)


async def _complete(
    uploads: Uploads, upload: UploadRecord, part_ids: Sequence[str], md5: str | None
) -> tuple[UploadRecord, FileRecord]:
    require_pending(upload)
    parts = _choose(await uploads.parts(upload), part_ids)
    size = sum(part.bytes for part in parts)
    if size != upload.bytes:
        raise BadRequest(
            f"The parts have {size} bytes together, but {upload.bytes} were declared when the "
            "upload was created. Send what is missing, or create a new upload.",
            param="part_ids",
            code="wrong_size",
        )
    file_id = ids.new(ids.FILE)
    await uploads.begin_file(upload, file_id)
    try:
        with disk_full_errors():
            file = await _join(uploads.storage, upload, parts, file_id, md5)
            await uploads.files.put_manifest(file)
    except BaseException:
        await uploads.discard_file(upload, file_id)
        raise
    try:
        return await uploads.complete(upload, part_ids, file, clock.now_s()), file
    except (Conflict, Missing):
        await uploads.discard_file(upload, file_id)
        raise
    # After a Redis error, the file may or may not be registered. The sweep finds out.


def _choose(parts: Sequence[PartRecord], part_ids: Sequence[str]) -> list[PartRecord]:
    by_id = {part.id: part for part in parts}
    if len(set(part_ids)) < len(part_ids):
        raise BadRequest("A part is named twice.", param="part_ids", code="invalid_value")
    for index, part_id in enumerate(part_ids):
        if part_id not in by_id:
            raise BadRequest(
                f"This upload has no part {part_id[:80]}.",
                param=f"part_ids.{index}",
                code="invalid_value",
            )
    return [by_id[part_id] for part_id in part_ids]


async def _join(
    storage: Storage,
    upload: UploadRecord,
    parts: Sequence[PartRecord],
    file_id: str,
    md5: str | None,
) -> FileRecord:
    sha256, whole = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    key, digests = f"{upload.project_id}/files/{file_id}/content", [sha256]
    if md5 is not None:
        digests.append(whole)
    if storage.joins_in_place:
        size = await storage.join([part_key(upload, part.id) for part in parts], key, digests)
    elif len(parts) == 1:
        size = await _copy(storage, part_key(upload, parts[0].id), key, digests)
    else:
        size = await _rewrite(storage, upload, parts, key, digests)
    if size != upload.bytes:
        raise StorageError(f"the bytes of the parts of {upload.id} have changed in storage")
    if md5 is not None and whole.hexdigest() != md5.lower():
        raise BadRequest(
            f"The parts in this order have the md5 {whole.hexdigest()}, not the one given. "
            "Compare the md5 of each part, and their order.",
            param="md5",
            code="wrong_md5",
        )
    return new_record(
        file_id,
        upload.project_id,
        filename=upload.filename,
        purpose=upload.purpose,
        size=size,
        sha256=sha256.hexdigest(),
        expires_after_s=upload.file_expires_after_s,
        format_=upload.format,
        key_id=upload.key_id,
    )


async def _copy(storage: Storage, part: str, key: str, digests: Sequence[Digest]) -> int:
    """Have the storage copy the only part, and hash it. Return its size."""
    await storage.copy(part, key, is_limited=False)  # the part is deleted soon
    size = 0
    async for chunk in await storage.stream(key):
        size += len(chunk)
        await asyncio.gather(*(asyncio.to_thread(digest.update, chunk) for digest in digests))
    return size


async def _rewrite(
    storage: Storage,
    upload: UploadRecord,
    parts: Sequence[PartRecord],
    key: str,
    digests: Sequence[Digest],
) -> int:
    """Read the parts, and write them as one object. Return its size."""
    async with await storage.writer(key, is_limited=False) as writer:  # the parts are deleted soon
        return await write_stream(
            _bytes_of(storage, upload, parts),
            writer,
            digests,
            max_bytes=upload.bytes,
            too_large=TooLarge("The parts in storage are larger than those that were sent."),
        )


async def _bytes_of(
    storage: Storage, upload: UploadRecord, parts: Sequence[PartRecord]
) -> AsyncIterator[bytes]:
    for part in parts:
        async for chunk in await storage.stream(part_key(upload, part.id)):
            yield chunk
