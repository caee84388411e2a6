"""Writes training files from stored chats."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from service.core.errors import BadRequest, TooLarge
from service.core.redis import batched
from service.files.records import FileRecord, Files, Purpose
from service.files.stored_chats.records import StoredChatRecord, StoredChats
from service.files.upload import write_file

_CHATS_PER_READ: Final = 64
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
    fields = {
        "filename": filename,
        "purpose": Purpose.FINE_TUNE,
        "expires_after_s": expires_after_s,
        "format_": None,
    }
    return await write_file(
        files,
        project_id,
        _rows(stored_chats, records),
        lambda: fields,
        max_bytes=sys.maxsize,
        too_large=_TOO_LARGE,
    )


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
    """Yield the rows of chats. Raises BadRequest after the last one if there were none."""
    encode = msgspec.json.Encoder().encode
    is_empty = True
    for some in batched(records, _CHATS_PER_READ):
        for _, chat in await stored_chats.read_all(some):
            is_empty = False
            yield encode(chat.row) + b"\n"
    if is_empty:
        raise no_chats_error()
