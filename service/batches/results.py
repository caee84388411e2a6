"""Results of a batch in storage: parts while it is in progress, and its files at the end.

{project}/batches/{id}/{part}    results in the form of the files, written once and never changed

A part has the results for one of the two files, which its name says.
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


class Kind(StrEnum):
    """File that a result belongs to. The value is part of names."""

    OUTPUT = "output"
    ERROR = "error"


class Result(msgspec.Struct, frozen=True):
    """Result of one request: its line in a file, and its part of the batch's counters."""

    number: int
    kind: Kind
    line: bytes
    tally: BatchTally


def line_of(custom_id: str, *, status: int, body: dict[str, Any]) -> bytes:
    """Return the line of a request that was answered, also with an error."""
    response = {"status_code": status, "request_id": ids.request_id(), "body": body}
    return _line(custom_id, response, None)


def line_without_answer(custom_id: str, code: str, message: str) -> bytes:
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


class PartWriter:
    """Writer of the parts of one attempt. The names of its parts are used by no other."""

    def __init__(self, storage: Storage, record: BatchRecord) -> None:
        self._storage = storage
        self._record = record
        self._prefix = f"{record.attempt_name}-{ids.random_part(8)}"
        self._written = 0

    async def write(self, results: Sequence[Result]) -> dict[str, list[int]]:
        """Store results. Returns the numbers of their requests by part."""
        parts = {}
        self._written += 1
        for kind in Kind:
            if of_kind := [result for result in results if result.kind is kind]:
                name = f"{self._prefix}-{self._written:06d}.{kind}"
                data = b"".join(result.line + b"\n" for result in of_kind)
                await self._storage.put_bytes(f"{self._record.folder}/{name}", data)
                parts[name] = [result.number for result in of_kind]
        return parts


async def write_file(
    files: Files,
    record: BatchRecord,
    kind: Kind,
    parts: Iterable[str],
    more: Sequence[bytes] = (),
) -> FileRecord | None:
    """Store a file of the parts' results and of more lines; None if there are none.

    The file must be registered, or else discarded. Raises StorageMissing if a part is gone.
    """
    keys = [f"{record.folder}/{name}" for name in parts if name.endswith(f".{kind}")]
    if not keys and not more:
        return None
    file_id = ids.new(ids.FILE)
    await files.begin(record.project_id, file_id)
    try:
        return await _written(files, record, kind, file_id, _content(files.storage, keys, more))
    except BaseException:
        await files.discard(record.project_id, file_id)
        raise


async def _written(
    files: Files, record: BatchRecord, kind: Kind, file_id: str, content: AsyncIterator[bytes]
) -> FileRecord:
    digest = hashlib.sha256()
    key = f"{record.project_id}/files/{file_id}/content"
    # The parts, which count towards the quota, are deleted then.
    async with await files.storage.writer(key, is_limited=False) as writer:
        size = await write_stream(
            content, writer, [digest], max_bytes=_NO_LIMIT, too_large=_TOO_LARGE
        )
    file = new_record(
        file_id,
        record.project_id,
        filename=f"{record.id}_{kind}.jsonl",
        purpose=Purpose.BATCH_OUTPUT,
        size=size,
        sha256=digest.hexdigest(),
        expires_after_s=record.output_expires_after_s,
        format_=None,
    )
    await files.put_manifest(file)
    return file


async def _content(
    storage: Storage, keys: Iterable[str], more: Sequence[bytes]
) -> AsyncIterator[bytes]:
    for key in keys:
        async for chunk in await storage.stream(key):
            yield chunk
    for line in more:
        yield line + b"\n"
