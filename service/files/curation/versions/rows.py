"""Pages of the rows that differ between two files, read from the index of their diff."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from service.core.storage import Storage
from service.datasets.contract.versions import (
    CHANGES,
    ENTRY_BYTES,
    INDEX,
    OTHER_TEXTS,
    TEXTS,
    Change,
    DiffIndex,
    Entry,
    decode_entries,
)
from service.files.curation.records import Task
from service.files.curation.rows import bounded, read_range, read_rows
from service.files.records import FileRecord


async def diff_rows(
    storage: Storage,
    files: tuple[FileRecord, FileRecord],
    diff: Task,
    *,
    change: Change | None,
    after: int,
    limit: int,
) -> bytes:
    """Return a page of the rows that differ as a list response. Raises StorageMissing.

    Memory and time do not depend on the size of the files.
    """
    data = await storage.get_bytes(f"{diff.folder}/{INDEX}")
    index = msgspec.json.decode(data, type=DiffIndex)
    first, end = index.range_of(change)
    start = max(first, after)
    stop = min(end, start + limit)
    entries: Sequence[Entry] = []
    if start < stop:
        key = f"{diff.folder}/{CHANGES}"
        found = await read_range(storage, key, start * ENTRY_BYTES, stop * ENTRY_BYTES)
        entries = bounded(decode_entries(found))
    file, other = files
    keys = (
        f"{diff.folder}/{TEXTS}" if index.has_texts else file.canonical_key,
        f"{diff.folder}/{OTHER_TEXTS}" if index.has_other_texts else other.canonical_key,
    )
    texts = await read_rows(storage, keys[0], [e.row for e in entries if e.row])
    others = await read_rows(storage, keys[1], [e.other for e in entries if e.other])
    rows = [_object(start + n, e, texts, others) for n, e in enumerate(entries, 1)]
    return await asyncio.to_thread(_response, rows, has_more=start + len(entries) < end)


def _object(
    position: int, entry: Entry, texts: dict[int, bytes], others: dict[int, bytes]
) -> dict[str, Any]:
    return {
        "id": str(position),
        "object": "file.diff.row",
        "change": entry.change,
        "line": entry.row and entry.row.line,
        "other_line": entry.other and entry.other.line,
        "row": entry.row and msgspec.Raw(texts[entry.row.line].rstrip(b"\n")),
        "other_row": entry.other and msgspec.Raw(others[entry.other.line].rstrip(b"\n")),
    }


def _response(rows: list[dict[str, Any]], *, has_more: bool) -> bytes:
    return msgspec.json.encode(
        {
            "object": "list",
            "data": rows,
            "has_more": has_more,
            "first_id": rows[0]["id"] if rows else None,
            "last_id": rows[-1]["id"] if rows else None,
        }
    )
