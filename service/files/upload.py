"""From a streamed form to a stored file and its record."""

from __future__ import annotations

import hashlib
import unicodedata

from service.core import ids, metrics
from service.core.errors import BadRequest, InsufficientStorage, TooLarge
from service.core.storage import StorageFull
from service.files.multipart import Form
from service.files.records import FileRecord, Files, FileStatus, Purpose

_UPLOADABLE = (Purpose.FINE_TUNE, Purpose.USER_DATA)
_EXPIRY_S = range(3600, 2592000 + 1)


async def receive(form: Form, files: Files, project_id: str, *, max_bytes: int) -> FileRecord:
    """Stream the form's file into storage and make it known.

    Raises BadRequest for a bad form, TooLarge over `max_bytes`, InsufficientStorage where
    the disk is full; in every such case nothing of the file is left or listed.
    """
    file_id = ids.new(ids.FILE)
    key = f"{project_id}/files/{file_id}/content"
    digest, size = hashlib.sha256(), 0
    try:
        async with await files.storage.writer(key) as writer:
            async for chunk in form.chunks():
                size += len(chunk)
                if size > max_bytes:
                    raise TooLarge(
                        f"The file is over the limit of {max_bytes} bytes. Split it, or send "
                        "fewer examples: a few hundred good ones do.",
                        param="file",
                    )
                digest.update(chunk)
                await writer.write(chunk)
            purpose, expires_at = _purpose(form), _expires_at(form)
        record = FileRecord(
            id=file_id,
            project_id=project_id,
            created_at=ids.now_s(),
            filename=_clean_name(form.filename),
            purpose=purpose,
            bytes=size,
            sha256=digest.hexdigest(),
            status=(FileStatus.UPLOADED if purpose is Purpose.FINE_TUNE else FileStatus.PROCESSED),
            expires_at=expires_at,
        )
        await files.add(record)
    except StorageFull as e:
        raise InsufficientStorage(
            "The service's storage is full, so the file was not kept. The operator must free "
            "space or enlarge the volume."
        ) from e
    metrics.UPLOADED_BYTES.inc(size)
    return record


def _purpose(form: Form) -> Purpose:
    given = form.fields.get("purpose")
    if given is None:
        raise BadRequest(
            "Missing required parameter: 'purpose'.",
            param="purpose",
            code="missing_required_parameter",
        )
    if given not in _UPLOADABLE:
        raise BadRequest(
            f"'{given[:40]}' is not a purpose that can be uploaded here: use 'fine-tune' or "
            "'user_data'.",
            param="purpose",
            code="invalid_value",
        )
    return Purpose(given)


def _expires_at(form: Form) -> int | None:
    anchor = form.fields.get("expires_after[anchor]")
    seconds = form.fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise BadRequest(
            "expires_after.anchor must be 'created_at'.", param="expires_after[anchor]"
        )
    if seconds is None or not seconds.isdigit() or int(seconds) not in _EXPIRY_S:
        raise BadRequest(
            "expires_after.seconds must be a whole number from 3600 to 2592000.",
            param="expires_after[seconds]",
        )
    return ids.now_s() + int(seconds)


def _clean_name(name: str | None) -> str:
    """The last part of a client's file name, without control characters."""
    last = (name or "file").replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(c for c in last if unicodedata.category(c)[0] != "C")
    return printable[:255] or "file"
