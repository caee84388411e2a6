"""Writes training files from stored chats."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from service.core import ids
from service.core.errors import BadRequest, TooLarge
from service.core.redis import batched
from service.files.records import FileRecord, Files, Purpose, new_record
from service.files.stored_chats.records import StoredChatRecord, StoredChats
from service.files.upload import disk_full_errors, write_stream

_AT_ONCE: Final = 64
_TOO_LARGE: Final = TooLarge("The file is too large.")  # never raised: only the quota limits it


async def make_file(
    stored_chats: StoredChats,
    files: Files,
    project_id: str,
    records: Sequence[StoredChatRecord],
    *,
    filename: str,
    expires_after_s: int | None,
) -> FileRecord:
    """Write the rows of chats to a new file, which is checked like any other.

    Raises BadRequest if no chat exists anymore, TooLarge over the project's quota, and
    InsufficientStorage if the disk is full. In each case, no file is left.
    """
    file_id = ids.new(ids.FILE)
    await files.begin(project_id, file_id)
    try:
        digest = hashlib.sha256()
        key = f"{project_id}/files/{file_id}/content"
        with disk_full_errors():
            async with await files.storage.writer(key) as writer:
                size = await write_stream(
                    _rows(stored_chats, records),
                    writer,
                    [digest],
                    max_bytes=sys.maxsize,
                    too_large=_TOO_LARGE,
                )
        if size == 0:
            raise no_chats_error()
        record = new_record(
            file_id,
            project_id,
            filename=filename,
            purpose=Purpose.FINE_TUNE,
            size=size,
            sha256=digest.hexdigest(),
            expires_after_s=expires_after_s,
            format_=None,
        )
        await files.put_manifest(record)
    except BaseException:
        await files.discard(project_id, file_id)
        raise
    return await files.register(record)


def no_chats_error() -> BadRequest:
    """Return the error of a request that matches no chats."""
    return BadRequest(
        "No stored chat completion with a complete answer matches. List them with GET "
        "/v1/chat/completions. If there are none, switch on 'capture' in the project's settings, "
        "and wait for chats.",
        code="no_stored_chats",
    )


async def _rows(
    stored_chats: StoredChats, records: Sequence[StoredChatRecord]
) -> AsyncIterator[bytes]:
    encode = msgspec.json.Encoder().encode
    for some in batched(records, _AT_ONCE):
        for _, chat in await stored_chats.read_all(some):
            yield encode(chat.row) + b"\n"
