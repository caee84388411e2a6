"""Results of a batch: their lines, and the output and error files at its end.

Until then, results are kept in parts. A part holds lines of one of the two files, and its name ends
with that file's name.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from service.batches.records import BatchRecord, BatchTally
from service.core import ids
from service.core.errors import TooLarge
from service.core.storage import Storage
from service.files.records import FileRecord, Files, Purpose, new_record
from service.files.upload import write_stream

_NO_LIMIT: Final = sys.maxsize  # the parts are in the same storage
_TOO_LARGE: Final = TooLarge("The file of results is too large.")


class ResultFile(StrEnum):
    """File that a result belongs to. The names of parts and files end with it."""

    OUTPUT = "output"
    ERROR = "error"


class Result(msgspec.Struct, frozen=True):
    """Result of one request: its line in a file, and what it adds to the batch's counters."""

    number: int
    file: ResultFile
    line: bytes
    tally: BatchTally


def response_line(custom_id: str, *, status: int, body: dict[str, Any]) -> bytes:
    """Return the line of a request that got a response, which may be an error."""
    response = {"status_code": status, "request_id": ids.request_id(), "body": body}
    return _line(custom_id, response, None)


def unsent_line(custom_id: str, code: str, message: str) -> bytes:
    """Return the line of a request that was not sent."""
    return _line(custom_id, None, {"code": code, "message": message})


def _line(custom_id: str, response: Any, error: Any) -> bytes:
    return msgspec.json.encode(
        {
            "id": ids.new(ids.BATCH_REQUEST),
            "custom_id": custom_id,
            "response": response,
            "error": error,
        }
    )


async def write_file(
    files: Files,
    record: BatchRecord,
    which: ResultFile,
    parts: Iterable[str],
    more: Sequence[bytes] = (),
) -> FileRecord | None:
    """Store the file of the parts' lines and `more` lines. Returns None if there are no lines.

    The file must be registered, or else discarded. Raises StorageMissing if a part is gone.
    """
    keys = [f"{record.folder}/{name}" for name in parts if name.endswith(f".{which}")]
    if not keys and not more:
        return None
    file_id = ids.new(ids.FILE)
    await files.begin(record.project_id, file_id)
    try:
        digest = hashlib.sha256()
        key = f"{record.project_id}/files/{file_id}/content"
        # The parts, which count towards the quota, are deleted at the same time.
        async with await files.storage.writer(key, is_limited=False) as writer:
            content = _content(files.storage, keys, more)
            size = await write_stream(
                content, writer, [digest], max_bytes=_NO_LIMIT, too_large=_TOO_LARGE
            )
        file = new_record(
            file_id,
            record.project_id,
            filename=f"{record.id}_{which}.jsonl",
            purpose=Purpose.BATCH_OUTPUT,
            size=size,
            sha256=digest.hexdigest(),
            expires_after_s=record.output_expires_after_s,
            format_=None,
            key_id=record.key_id,
        )
        await files.put_manifest(file)
    except BaseException:
        await files.discard(record.project_id, file_id)
        raise
    return file


async def _content(
    storage: Storage, keys: Iterable[str], more: Sequence[bytes]
) -> AsyncIterator[bytes]:
    for key in keys:
        async for chunk in await storage.stream(key):
            yield chunk
    for line in more:
        yield line + b"\n"
