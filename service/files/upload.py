"""Turn the body of an upload into a stored file and its record."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import AsyncIterator

from service.core import ids, metrics, queue
from service.core.backpressure import WAIT_S, Slots
from service.core.errors import BadRequest, RateLimited, TooLarge
from service.files.body import Body
from service.files.format_fields import format_of
from service.files.records import FileRecord, Files, FileStatus, Purpose, new_record
from service.files.stream_to_storage import disk_full_errors, write_stream

_UPLOADABLE = (
    Purpose.FINE_TUNE,
    Purpose.EVALS,
    Purpose.BATCH,
    Purpose.USER_DATA,
    Purpose.MODEL_IMPORT,
)
_BLANK = b" \t\r\n\xef\xbb\xbf"  # the last three are a byte-order mark
MIN_EXPIRY_S, MAX_EXPIRY_S = 3600, 2592000


def upload_slots(most: int, *, wait_s: float = WAIT_S) -> Slots:
    """Return the slots of an API process for the bodies of uploads.

    Each holds 1 to 2 MiB of its file in memory, or more on S3, until its client has sent it.
    """

    def refusal() -> RateLimited:
        return RateLimited(
            f"The service is already receiving {most} uploads, its maximum, and none of them ended "
            "soon enough. Try again in a few seconds, with fewer concurrent uploads.",
            code="too_many_uploads",
            headers={"retry-after": "5"},
        )

    return Slots(most, refusal, wait_s=wait_s)


async def receive(body: Body, files: Files, project_id: str, *, max_bytes: int) -> FileRecord:
    """Stream the body's file into storage and register it.

    Raises BadRequest for an invalid form, TooLarge over `max_bytes` or the project's quota, and
    InsufficientStorage if the disk is full. In each case, the file is neither kept nor listed.
    """
    file_id = ids.new(ids.FILE)
    await files.begin(project_id, file_id)
    try:
        with disk_full_errors():
            record = await _stored(body, files, project_id, file_id, max_bytes=max_bytes)
    except BaseException:
        await files.discard(project_id, file_id)
        raise
    await files.register(record)
    metrics.UPLOADED_BYTES.cell().inc(record.bytes)
    return record


async def _stored(
    body: Body, files: Files, project_id: str, file_id: str, *, max_bytes: int
) -> FileRecord:
    """Write the file's bytes and manifest, and return the record to register it with."""
    digest = hashlib.sha256()
    key = f"{project_id}/files/{file_id}/content"
    expected_bytes = min(body.least_bytes, max_bytes)
    async with await files.storage.writer(key, expected_bytes=expected_bytes) as writer:
        size = await write_stream(
            _not_blank(body.chunks()),
            writer,
            [digest],
            max_bytes=max_bytes,
            too_large=TooLarge(
                f"The file is over the limit of {max_bytes} bytes. Send it in parts through "
                "/v1/uploads, or send fewer examples: a few hundred good ones are enough.",
                param="file",
            ),
        )
        purpose = purpose_of(body.fields.get("purpose"))
        expires_after_s, format_ = _expires_after_s(body), format_of(body.fields)
    record = new_record(
        file_id,
        project_id,
        filename=clean_name(body.filename),
        purpose=purpose,
        size=size,
        sha256=digest.hexdigest(),
        expires_after_s=expires_after_s,
        format_=format_,
    )
    await files.put_manifest(record)
    return record


async def _not_blank(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks. Raises BadRequest after the last one if all are empty or blank."""
    is_blank = True
    async for chunk in chunks:
        is_blank = is_blank and not chunk.strip(_BLANK)
        yield chunk
    if is_blank:
        raise BadRequest(
            "File is empty. Send a file with content.", param="file", code="empty_file"
        )


async def enqueue_check(files: Files, record: FileRecord) -> None:
    """Enqueue the check of a file if it needs one."""
    if record.status is FileStatus.UPLOADED:
        with queue.left_to_the_reconciler():
            await files.checks.enqueue(record)


def purpose_of(given: str | None) -> Purpose:
    """Parse a purpose allowed for uploads. Raises BadRequest."""
    if given is None:
        raise BadRequest(
            "Missing required parameter: 'purpose'.",
            param="purpose",
            code="missing_required_parameter",
        )
    if given not in _UPLOADABLE:
        raise BadRequest(
            f"'{given[:40]}' is not a supported purpose: use 'fine-tune', 'evals', 'batch', "
            "'user_data' or 'model-import'.",
            param="purpose",
            code="invalid_value",
        )
    return Purpose(given)


def _expires_after_s(body: Body) -> int | None:
    anchor = body.fields.get("expires_after[anchor]")
    seconds = body.fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise BadRequest(
            "expires_after.anchor must be 'created_at'.", param="expires_after[anchor]"
        )
    # Ten digits suffice, and int() raises on very long strings.
    short = (seconds or "")[:10]
    if not (short.isascii() and short.isdigit()) or not (
        MIN_EXPIRY_S <= int(short) <= MAX_EXPIRY_S
    ):
        raise BadRequest(
            f"expires_after.seconds must be a whole number from {MIN_EXPIRY_S} to {MAX_EXPIRY_S}.",
            param="expires_after[seconds]",
        )
    return int(short)


def clean_name(name: str | None) -> str:
    """The last component of a client's file name, without control characters."""
    last = (name or "file").replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(c for c in last if unicodedata.category(c)[0] != "C")
    return printable[:255] or "file"
