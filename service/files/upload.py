"""Receives uploads: streams the file to storage in one pass, and registers it.

The form fields are parsed after the file, because they may follow it in the body.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from service.core import ids, queue
from service.core.backpressure import WAIT_S, Slots
from service.core.errors import BadRequest, RateLimited, TooLarge, no_room
from service.core.storage import StorageFull, Writer
from service.files.records import FileRecord, Files, FileStatus, Purpose, new_record
from service.files.schemas import FormatFields
from service.web.names import without_hidden
from service.web.validation import from_validation

if TYPE_CHECKING:
    from service.files.body import Body  # not imported, since workers receive no bodies

_UPLOADABLE = (
    Purpose.FINE_TUNE,
    Purpose.EVALS,
    Purpose.BATCH,
    Purpose.USER_DATA,
    Purpose.MODEL_IMPORT,
)
_BLANK = b" \t\r\n\xef\xbb\xbf"  # the last three are a byte-order mark
MIN_EXPIRY_S, MAX_EXPIRY_S = 3600, 2592000
_MAX_FORMAT_BYTES = 16 * 1024
_FLAT_FORMAT = re.compile(r"format\[([^\[\]]+)\](?:\[(.+)\])?", re.DOTALL)
# uvloop delivers 250 KiB at a time. Passing such chunks on individually reached 0.6 of the speed
# because of the thread hops; blocks of 2 MiB reached 0.9.
_BLOCK_BYTES = 1024 * 1024


def upload_slots(most: int, *, wait_s: float = WAIT_S) -> Slots:
    """Return the slots of an API process for the bodies of uploads.

    Each holds 1 to 2 MiB of its file in memory, or more on S3, until its client has sent it.
    """

    def refusal() -> RateLimited:
        return RateLimited(
            f"The service is already receiving {most} uploads, its maximum, and none of them ended "
            "soon enough. Try again in a few seconds, with fewer concurrent uploads.",
            code="limit_reached",
            headers={"retry-after": "5"},
        )

    return Slots(most, refusal, wait_s=wait_s)


async def receive(
    body: Body, files: Files, project_id: str, *, max_bytes: int, key_id: str = ""
) -> FileRecord:
    """Stream the body's file into storage and register it. `key_id` is the caller's key.

    Raises BadRequest for an invalid form, TooLarge over `max_bytes` or the project's quota, and
    InsufficientStorage if the disk is full. In each case, the file is neither kept nor listed.
    """

    def fields() -> dict[str, Any]:
        return {
            "filename": clean_name(body.filename),
            "purpose": _parse_purpose(body.fields.get("purpose")),
            "expires_after_s": _parse_expiry_s(body),
            "format_": _parse_format(body.fields),
            "key_id": key_id,
        }

    return await write_file(
        files,
        project_id,
        _not_blank(body.chunks()),
        fields,
        max_bytes=max_bytes,
        too_large=TooLarge(
            f"The file is over the limit of {max_bytes} bytes. Send it in parts through "
            "/v1/uploads, or send fewer examples: a few hundred good ones are enough.",
            param="file",
        ),
        expected_bytes=min(body.least_bytes, max_bytes),
    )


async def write_file(
    files: Files,
    project_id: str,
    chunks: AsyncIterator[bytes],
    fields: Callable[[], dict[str, Any]],
    *,
    max_bytes: int,
    too_large: TooLarge,
    expected_bytes: int = 0,
) -> FileRecord:
    """Write chunks to a new file and register it. On an error, no file is left.

    `fields` returns those of `new_record`, and is called after the last chunk. Raises `too_large`,
    and what the chunks, `fields` and `disk_full_errors` raise.
    """
    file_id = ids.new(ids.FILE)
    await files.begin(project_id, file_id)
    digest = hashlib.sha256()
    key = f"{project_id}/files/{file_id}/content"
    try:
        with disk_full_errors():
            async with await files.storage.writer(key, expected_bytes=expected_bytes) as writer:
                size = await write_stream(
                    chunks, writer, [digest], max_bytes=max_bytes, too_large=too_large
                )
                given = fields()
            record = new_record(file_id, project_id, size=size, sha256=digest.hexdigest(), **given)
            await files.put_manifest(record)
    except BaseException:
        await files.discard(project_id, file_id)
        raise
    return await files.register(record)


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


class Digest(Protocol):
    """A digest of hashlib."""

    def update(self, data: bytes, /) -> None:
        """Update the digest with bytes."""
        ...


async def write_stream(
    chunks: AsyncIterator[bytes],
    writer: Writer,
    digests: Sequence[Digest],
    *,
    max_bytes: int,
    too_large: TooLarge,
) -> int:
    """Write and hash the chunks, and return the number of bytes.

    Raises `too_large` over `max_bytes`. One block is hashed in a thread (hashlib releases the
    GIL) and written while the next is read. At most these two blocks are held in memory.
    """
    size = 0
    writing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    writing.set_result(None)
    try:
        async for block in _blocks(chunks):
            size += len(block)
            if size > max_bytes:
                raise too_large
            await writing
            writing = asyncio.ensure_future(_write_block(block, writer, digests))
    finally:
        await writing
    return size


async def _write_block(block: bytes, writer: Writer, digests: Sequence[Digest]) -> None:
    hashing = (asyncio.to_thread(digest.update, block) for digest in digests)
    await asyncio.gather(writer.write(block), *hashing)


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join chunks into blocks. Each block is a new object, because obstore writes it later."""
    held: list[bytes] = []
    size = 0
    async for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= _BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


@contextlib.contextmanager
def disk_full_errors() -> Iterator[None]:
    """Turn StorageFull into InsufficientStorage, or into TooLarge if it is the project's quota."""
    try:
        yield
    except StorageFull as e:
        raise no_room(e) from e


def _parse_purpose(given: str | None) -> Purpose:
    """Return the purpose of an upload. Raises BadRequest."""
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


def _parse_expiry_s(body: Body) -> int | None:
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
    """Return the last component of a client's file name, without hidden characters."""
    last = (name or "file").replace("\\", "/").rsplit("/", 1)[-1]
    return without_hidden(last)[:255] or "file"


def _parse_format(fields: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the format options in form fields or query parameters; None without any.

    `format` is a JSON object, or flattened: OpenAI's SDK sends
    `extra_body={"format": {"columns": {"prompt": "Frage"}}}` as `format[columns][prompt]`.
    Raises BadRequest.
    """
    given = {name: value for name, value in fields.items() if name.startswith("format")}
    if not given:
        return None
    if sum(len(n.encode()) + len(v.encode()) for n, v in given.items()) > _MAX_FORMAT_BYTES:
        raise BadRequest(
            f"'format' is over the limit of {_MAX_FORMAT_BYTES} bytes.", param="format"
        )
    try:
        # The fields of a form are strings, even where JSON has a number.
        parsed = FormatFields.model_validate(_nest_format(given), strict="format" in given)
    except ValidationError as e:
        raise from_validation(
            [{**fault, "loc": ("format", *fault["loc"])} for fault in e.errors()]
        ) from e
    return parsed.stored()


def _nest_format(given: Mapping[str, str]) -> Any:
    if "format" in given:
        if len(given) > 1:
            raise BadRequest("Send 'format' as one JSON object or flattened.", param="format")
        try:
            return json.loads(given["format"])
        except (ValueError, RecursionError) as e:
            raise BadRequest(
                'Invalid value for \'format\': a JSON object, such as {"container": "csv"}.',
                param="format",
                code="invalid_json",
            ) from e
    nested: dict[str, Any] = {}
    for name, value in given.items():
        found = _FLAT_FORMAT.fullmatch(name)
        if found is None:
            raise BadRequest(
                f"Unknown parameter: '{name[:80]}'.", param=name[:80], code="unknown_parameter"
            )
        field, key = found.groups()
        if key is None:
            nested[field] = value
        elif isinstance(inner := nested.setdefault(field, {}), dict):
            inner[key] = value
    return nested
